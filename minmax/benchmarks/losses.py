"""Checks that a change is neutral: trainings before and after it are bit-identical.

Each configuration that both checkouts have is trained for a few batches in each, by the checkout's
own `cli.py fit`, on the same synthetic images, in float32 and on one CPU thread.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minmax import documents
from minmax.benchmarks.recorded import differences, read

BATCH_SIZE = 16
LEAST = 5
"""Batches of a generator's turn in configs/wgan_gp_*.yaml, without which nothing is logged."""
GRAY = ("MNIST", "FashionMNIST", "Digits")
"""Data sets with one channel; of others, `grayscale` decides."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare two checkouts; exit code 1 where a configuration differs or fails."""
    chosen = options().parse_args(arguments)
    if chosen.batches < LEAST:
        sys.exit(f"error: --batches is {chosen.batches}, but WGAN-GP logs every fifth: 5 or more")
    pairs = [pair(text) for text in chosen.config or common(chosen.old, chosen.new)]
    if not pairs:
        sys.exit(f"error: {chosen.old} and {chosen.new} have no configs/*.yaml in common")
    print("| config | batches | before and after |\n| --- | --- | --- |")
    failed = False
    with tempfile.TemporaryDirectory(prefix="minmax-losses-") as scratch:
        images = Path(scratch) / "images"
        write_images(images, 10, chosen.batches)
        for names in pairs:
            lines = compare(chosen, names, images, Path(scratch) / names[0])
            failed |= bool(lines)
            row = "<br>".join(lines) or "identical"
            print(f"| {' = '.join(dict.fromkeys(names))} | {chosen.batches} | {row} |", flush=True)
    sys.exit(int(failed))


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m minmax.benchmarks.losses", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("old", type=Path, help="checkout before the change")
    parser.add_argument("new", type=Path, nargs="?", default=Path(), help="after it (.)")
    parser.add_argument("--batches", type=int, default=12, help="of 16 images (12)")
    parser.add_argument(
        "--config",
        action="append",
        metavar="NAME[=NEW_NAME,...]",
        help="of configs/, without .yaml; under which names in the new checkout (all in common)",
    )
    parser.add_argument("--ignore", default="", help="regular expression of names left out")
    parser.add_argument("--old-options", default="", help="more options of fit in the old")
    parser.add_argument("--new-options", default="", help="and in the new")
    return parser


def common(old: Path, new: Path) -> list[str]:
    """The names of the configurations that both checkouts have."""
    names = ({path.stem for path in (root / "configs").glob("*.yaml")} for root in (old, new))
    return sorted(set.intersection(*names))


def pair(text: str) -> tuple[str, str]:
    """A configuration's name in the old checkout, and its names in the new one."""
    old, _, new = text.partition("=")
    return old, new or old


def write_images(folder: Path, classes: int, batches: int) -> None:
    """Write random colour images, one folder for each class, enough for these batches."""
    draw = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class_{label}").mkdir(parents=True)
        for number in range(batches * BATCH_SIZE // classes + 2):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class_{label}" / f"{number}.png")


def compare(
    chosen: argparse.Namespace, names: tuple[str, str], images: Path, runs: Path
) -> list[str]:
    """Train one configuration in both checkouts; return a line for each difference or failure."""
    data = documents.read(chosen.old / "configs" / f"{names[0]}.yaml")["data"]
    given = [*settings(chosen.batches), *data_options(data, images)]
    old, new = runs / "old", runs / "new"
    of_old = [*given, *shlex.split(chosen.old_options)]
    of_new = [*given, *shlex.split(chosen.new_options)]
    with ThreadPoolExecutor(2) as side_by_side:
        first = side_by_side.submit(train, chosen.old, names[0], of_old, old)
        second = side_by_side.submit(train, chosen.new, names[1], of_new, new)
    errors = {"old": first.result(), "new": second.result()}
    failures = [f"{side}: {error}" for side, error in errors.items() if error]
    return failures or differences(read(old), read(new), BATCH_SIZE, chosen.ignore)


def settings(batches: int) -> list[str]:
    """Options of a short training that logs every batch, without scores and pictures."""
    return [
        *("--trainer.accelerator", "cpu", "--trainer.precision", "32-true"),
        *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", str(batches)),
        *("--trainer.limit_val_batches", "0", "--trainer.log_every_n_steps", "1"),
        *("--trainer.enable_progress_bar", "false", "--pictures.every_images", "1000000000"),
    ]


def data_options(data: dict[str, Any], images: Path) -> list[str]:
    """Options that use the synthetic images with a config's size, channels and number of classes.

    Args:
        data: the `data` section of the configuration.
        images: folder with one folder for each class.
    """
    own = data["init_args"]
    gray = own.get("grayscale", data["class_path"].rpartition(".")[2] in GRAY)
    given = ["--data", "datamodules.ImageFolder", "--data.init_args.root", str(images)]
    given += ["--data.init_args.image_size", str(own["image_size"])]
    given += ["--data.init_args.grayscale", str(gray).lower()]
    given += ["--data.init_args.batch_size", str(BATCH_SIZE), "--data.init_args.val_fraction", "0"]
    if own.get("classes"):
        named = [f"class_{label}" for label in range(len(own["classes"]))]
        given += ["--data.init_args.classes", f"[{', '.join(named)}]"]
    return given


def train(checkout: Path, names: str, given: list[str], run: Path) -> str:
    """Train in a checkout, in a process of its own; return the last line of its error, if any."""
    root = str(checkout.absolute())
    command = [sys.executable, "cli.py", "fit"]
    for name in names.split(","):
        command += ["--config", f"configs/{name}.yaml"]
    command += [*given, "--trainer.default_root_dir", str(run)]
    alone = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=alone, capture_output=True, text=True)
    return (done.stderr.strip() or "failed").splitlines()[-1] if done.returncode else ""


if __name__ == "__main__":
    main()
