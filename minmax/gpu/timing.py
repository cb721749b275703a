"""The speed of every system in float32, TF32 and bfloat16: its step alone, and a plain loop's."""

import gc
import time
from collections.abc import Callable
from statistics import median

import torch

from minmax.benchmarks.driven import Driven
from minmax.benchmarks.loops import LOOPS
from minmax.benchmarks.machine import most_memory, synchronize
from minmax.benchmarks.replayed import Replayed, period, warm_steps
from minmax.gpu.systems import Options, Row, System, build, tabulate

PRECISIONS = ("32-true", "TF32", "bf16-mixed")
HEAD = (
    "Images a second of each system's own step, driven without a trainer (`limit`, and `graph` as a"
    " CUDA graph), and of a plain loop; medians of 3 turns."
)


def use_precision(name: str) -> bool:
    """Set how float32 is multiplied; return whether forward passes are in bfloat16.

    Beside bfloat16 it is multiplied as by default, and as in a training: convolutions in TF32.
    """
    torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
    torch.backends.cudnn.allow_tf32 = name != "32-true"
    return name == "bf16-mixed"


def rate(loop: Driven, seconds: float, turns: int = 3) -> float:
    """Images a second of a loop, over as many steps as it takes until their kinds repeat."""
    steps, device = period(loop), loop.module.device

    def timed(count: int) -> tuple[float, int]:
        synchronize(device)
        start = time.perf_counter()
        images = sum(loop.step() for _ in range(count))
        synchronize(device)
        return time.perf_counter() - start, images

    timed(warm_steps(loop))
    taken, _ = timed(steps)
    count = steps * max(1, round(seconds / turns / max(taken, 1e-6)))
    measured = [timed(count) for _ in range(turns)]
    return median(images / taken for taken, images in measured)


def loops_of(system: System, bfloat16: bool) -> dict[str, Callable[[], Driven]]:
    """How each loop of a system is made, by its name."""
    given = (system.module, system.loader, bfloat16)
    loops: dict[str, Callable[[], Driven]] = {"limit": lambda: Driven(*given)}
    if system.module.device.type == "cuda":
        loops["graph"] = lambda: Replayed(*given)
    if (by_hand := LOOPS.get(type(system.module))) is not None:
        loops["plain"] = lambda: by_hand(*given)
    return loops


def row_of(system: System, precision: str, seconds: float) -> Row:
    """The figures of a system in a precision."""
    bfloat16 = use_precision(precision)
    row: Row = {"batch": system.loader.batch_size, "precision": precision}
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
    options = Options.of(arguments, __doc__)

    def rows_of(name: str) -> list[Row]:
        system = build(name, options)
        return [row_of(system, precision, 0.4) for precision in PRECISIONS]

    tabulate(options, HEAD, options.systems, rows_of)


if __name__ == "__main__":
    main()
