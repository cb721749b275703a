"""Trainings as users run them, for the seconds that are left: pictures, scores and curves."""

import json
import sys
import time
from pathlib import Path

import cli
from minmax.gpu.systems import CONFIGS, Options, Row, data_arguments, tabulate
from minmax.scalars import read_scalars

RUNS = ["dcgan_mnist", "r3gan_small_cifar10"]
"""Each takes two fifths of the time that is left, and the last one all of it."""
AFTER = 12.0
"""Seconds for scores and curves after a training."""
HEAD = "Trainings by `cli.py fit`, then `cli.py test`; images a second: the median of those logged."


def fit(name: str, seconds: float, options: Options, *more: str) -> Path:
    """Train a configuration for some seconds without scores; return the run's folder."""
    run, data = options.details / name, data_arguments(name, options)
    if options.images and "cifar10" in name:
        data = ["--data.init_args.root", options.images]
        data = ["--data=datamodules.ImageFolder", *data, "--data.init_args.image_size=32"]
    hours, rest = divmod(round(seconds), 3600)
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / f"{name}.yaml"), *data),
            *("--trainer.accelerator", "gpu" if options.device.type == "cuda" else "cpu"),
            f"--trainer.max_time=00:{hours:02}:{rest // 60:02}:{rest % 60:02}",
            *("--trainer.max_epochs", "-1", "--trainer.max_steps", "-1"),
            *("--trainer.limit_val_batches", "0"),
            *("--trainer.default_root_dir", str(run), *more),
        ]
    )
    return run


def train(name: str, seconds: float, options: Options) -> Row:
    """Train, score and draw the curves; return the figures."""
    start = time.monotonic()
    run = fit(name, max(3, seconds - AFTER), options)
    trained = time.monotonic() - start
    cli.main(["test", "--config", str(run / "config.yaml")])
    cli.main(["curves", str(run), "--output", str(options.details / f"{name}_curves.png")])
    logged = read_scalars(run)
    images, rates = logged["time/images_per_second"]
    report = json.loads((run / "metrics.json").read_text())["last"]
    return {
        "seconds": trained,
        "images": int(images[-1]),
        "images/s": sorted(rates)[len(rates) // 2],
        **report["scores"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options = Options.of(arguments, __doc__)
    sys.argv[1:] = []
    chosen = RUNS if set(RUNS) <= set(options.systems) else options.systems

    def rows_of(name: str) -> list[Row]:
        share = 1.0 if name == chosen[-1] else 0.4
        return [train(name, (options.until - time.monotonic()) * share, options)]

    tabulate(options, HEAD, chosen, rows_of)


if __name__ == "__main__":
    main()
