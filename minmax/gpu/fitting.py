"""The speed of `cli.py fit` as users run it, beside that of its step alone."""

import sys
from statistics import median

from minmax.benchmarks.driven import Driven
from minmax.benchmarks.replayed import Replayed
from minmax.gpu.systems import Options, Row, build, tabulate
from minmax.gpu.timing import rate, use_precision
from minmax.gpu.training import fit
from minmax.scalars import read_scalars

SECONDS = 6
HEAD = (
    f"Images a second of `cli.py fit` for {SECONDS} seconds, with all that a training has but "
    "scores: the median of the later half of the logged values. `limit` is the system's step in "
    "bfloat16 as CUDA graphs, driven without a trainer."
)


def figures(name: str, options: Options) -> Row:
    """Images a second of a configuration's training, and of its step alone."""
    run = fit(name, SECONDS, options, "--trainer.precision", "bf16-mixed")
    _, rates = read_scalars(run)["time/images_per_second"]
    project = median(rates[len(rates) // 2 :])
    system = build(name, options)
    kind = Replayed if options.device.type == "cuda" else Driven
    limit = rate(kind(system.module, system.loader, use_precision("bf16-mixed")), 1.0)
    return {"fit": project, "limit": limit, "fit / limit": project / limit}


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options = Options.of(arguments, __doc__)
    sys.argv[1:] = []
    tabulate(options, HEAD, options.systems, lambda name: [figures(name, options)])


if __name__ == "__main__":
    main()
