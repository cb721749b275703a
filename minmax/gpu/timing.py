"""The speed of every system in float32, TF32 and bfloat16: its step alone, and a plain loop's."""

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import torch

from gan_modules.bookkeeping.captured import WARM
from minmax.benchmarks.driven import Driven, NoTrainer
from minmax.benchmarks.loops import LOOPS
from minmax.benchmarks.machine import most_memory, synchronize
from minmax.benchmarks.replayed import Replayed
from minmax.gpu.systems import Options, System, build, write

PRECISIONS = ("32-true", "TF32", "bf16-mixed")
LAZY_STEPS = 16 * (WARM + 1) + 6
"""In which a term of each 16th step is captured."""
HEAD = (
    "Images a second of each system's own step, driven without a trainer (`limit`, and `graph` as a"
    " CUDA graph), and of a plain loop; medians of 3 turns."
)


def use_precision(name: str) -> bool:
    """Set how float32 is multiplied; return whether forward passes are in bfloat16."""
    tf32 = name == "TF32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    return name == "bf16-mixed"


def rate(loop: Driven, seconds: float, turns: int = 3) -> float:
    """Images a second of a loop, over whole turns of its generator."""
    cycle, device = loop.module.discriminator_steps, loop.module.device

    def timed(count: int) -> tuple[float, int]:
        synchronize(device)
        start = time.perf_counter()
        images = sum(loop.step() for _ in range(count))
        synchronize(device)
        return time.perf_counter() - start, images

    timed(warm_steps(loop))
    taken, _ = timed(cycle)
    count = cycle * max(1, round(seconds / turns / max(taken, 1e-6)))
    measured = [timed(count) for _ in range(turns)]
    return median(images / taken for taken, images in measured)


def warm_steps(loop: Driven) -> int:
    """Steps before the speed is even: whole turns, in which each kind of step is captured."""
    cycle = loop.module.discriminator_steps
    if isinstance(loop, Replayed) and has_lazy_terms(loop):
        return cycle * -(-LAZY_STEPS // cycle)
    return cycle * (WARM + 2)


def has_lazy_terms(loop: Driven) -> bool:
    """Whether some turns of the generator have other kinds of steps than the next one."""
    trainer: NoTrainer = cast(Any, loop.module.trainer)
    first, kinds = trainer.global_step, list[Any]()
    for number in range(LAZY_STEPS):
        trainer.global_step = first + number
        kinds.append(loop.module.kind_of_step())
    trainer.global_step = first
    return set(kinds[: loop.module.discriminator_steps]) != set(kinds)


def loops_of(system: System, bfloat16: bool) -> dict[str, Callable[[], Driven]]:
    """How each loop of a system is made, by its name."""
    given = (system.module, system.loader, bfloat16)
    loops: dict[str, Callable[[], Driven]] = {"limit": lambda: Driven(*given)}
    if system.module.device.type == "cuda":
        loops["graph"] = lambda: Replayed(*given)
    if (by_hand := LOOPS.get(type(system.module))) is not None:
        loops["plain"] = lambda: by_hand(*given)
    return loops


def row_of(system: System, precision: str, seconds: float) -> dict[str, Any]:
    """The figures of a system in a precision."""
    bfloat16 = use_precision(precision)
    row: dict[str, Any] = {"system": system.name, "batch": system.loader.batch_size}
    row["precision"] = precision
    for name, make in loops_of(system, bfloat16).items():
        if system.module.device.type == "cuda":
            gc.collect()  # earlier loops, which hold themselves
            torch.cuda.reset_peak_memory_stats()
        try:
            row[name] = rate(make(), seconds)
        except RuntimeError as error:
            row[name] = f"failed: {str(error).strip().splitlines()[0][:80]}"
        row[f"{name}, MiB"] = most_memory(system.module.device) // 2**20
    return row


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options, rows = Options.of(arguments, __doc__), list[dict[str, Any]]()
    for name in options.in_time(options.systems):
        try:
            system = build(name, options)
            rows += [row_of(system, precision, 0.4) for precision in PRECISIONS]
        except Exception as error:  # the others are wanted
            rows.append({"system": name, "precision": f"{type(error).__name__}: {error}"[:120]})
        write(options, HEAD, rows)


if __name__ == "__main__":
    main()
