"""The speed of `cli.py fit` as users run it, beside that of its step alone."""

import sys
import traceback
from pathlib import Path
from statistics import median
from typing import Any

import cli
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.replayed import Replayed
from minmax.gpu.systems import CONFIGS, Options, build, data_arguments, write
from minmax.gpu.timing import rate, use_precision
from minmax.scalars import read_scalars

SECONDS = 6
HEAD = (
    f"Images a second of `cli.py fit` for {SECONDS} seconds, with all that a training has but "
    "scores: the median of the later half of the logged values. `limit` is the system's step in "
    "bfloat16 as CUDA graphs, driven without a trainer."
)


def fit(name: str, run: Path, options: Options) -> float:
    """Train for some seconds; return images a second."""
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / f"{name}.yaml"), *data_arguments(name, options)),
            *("--trainer.accelerator", "gpu" if options.device.type == "cuda" else "cpu"),
            *("--trainer.precision", "bf16-mixed", "--trainer.limit_val_batches", "0"),
            *("--trainer.max_time", f"00:00:00:{SECONDS:02}", "--trainer.max_epochs", "-1"),
            *("--trainer.max_steps", "-1", "--trainer.default_root_dir", str(run)),
        ]
    )
    _, rates = read_scalars(run)["time/images_per_second"]
    return median(rates[len(rates) // 2 :])


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options, rows = Options.of(arguments, __doc__), list[dict[str, Any]]()
    sys.argv[1:] = []
    for name in options.in_time(options.systems):
        try:
            project = fit(name, options.details / name, options)
            system = build(name, options)
            kind = Replayed if options.device.type == "cuda" else Driven
            limit = rate(kind(system.module, system.loader, use_precision("bf16-mixed")), 1.0)
            row: dict[str, Any] = {"fit": project, "limit": limit, "fit / limit": project / limit}
        except (Exception, SystemExit) as error:  # the others are wanted
            traceback.print_exc()
            row = {"failed": f"{type(error).__name__}: {error}"[:120]}
        rows.append({"system": name, **row})
        write(options, HEAD, rows)


if __name__ == "__main__":
    main()
