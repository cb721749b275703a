"""Whether steps that are replayed as CUDA graphs train as steps that aren't, and how much faster.

Both train 200 steps in float32 from the same weights on the same batches, with the same kernels
(cuDNN's deterministic ones) and random numbers. Two trainings without graphs say whether the
kernels themselves repeat their bits.
"""

import time
from typing import Any

import torch

from gan_modules.bookkeeping.captured import CapturedStep
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.machine import synchronize
from minmax.benchmarks.replayed import Replayed
from minmax.gpu.systems import Options, Row, System, build, tabulate
from minmax.gpu.timing import use_precision

STEPS = 200
HEAD = (
    f"{STEPS} steps with and without CUDA graphs in float32: greatest absolute differences of all "
    "weights and buffers between two trainings without (repeats), and between one with and one "
    "without (replays); images a second of the last half."
)


class Warm(Replayed):
    """Never captures, and is the same otherwise: rates are tensors, on the stream of captures."""

    def train(self, batch: Any, index: int) -> None:
        """Update the networks."""
        for kind in self.captured.kinds.values():
            kind.steps = 0
        super().train(batch, index)


def trained(kind: type[Driven], system: System, steps: int) -> tuple[dict[str, Any], float, Any]:
    """Train; return all weights and buffers, images a second of the last half, and the loop."""
    loop = kind(system.module, system.loader, False)
    images, start = 0, 0.0
    for number in range(steps):
        if number == steps // 2:
            synchronize(loop.module.device)
            images, start = 0, time.perf_counter()
        torch.manual_seed(number)  # as `reseed` does in each batch
        images += loop.step()
    synchronize(loop.module.device)
    rate = images / (time.perf_counter() - start)
    return {n: v.clone() for n, v in loop.module.state_dict().items()}, rate, loop


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The greatest absolute difference."""
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in one)


def row_of(system: System, steps: int = STEPS) -> Row:
    """The figures of a system."""
    wanted, eager, _ = trained(Warm, system, steps)
    again, _, _ = trained(Warm, system, steps)
    replayed, graph, loop = trained(Replayed, system, steps)
    captured: CapturedStep = loop.captured
    repeats, replays = apart(wanted, again), apart(wanted, replayed)
    return {
        "captures": captured.captures,
        "repeats": repeats,
        "replays": replays,
        "passes": "yes" if replays <= 2 * repeats else "no",
        "images/s": eager,
        "images/s, replayed": graph,
        "times": graph / eager,
    }


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options = Options.of(arguments, __doc__)
    use_precision("32-true")
    torch.backends.cudnn.deterministic = True
    rows = tabulate(options, HEAD, options.systems, lambda name: [row_of(build(name, options))])
    if any(row.get("passes") != "yes" for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
