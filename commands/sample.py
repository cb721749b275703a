"""`python cli.py sample`: draw images from a trained generator."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(prog="cli.py sample", description=__doc__, allow_abbrev=False)
    options.add_argument("--checkpoint", required=True, help="a .ckpt file of a run")
    options.add_argument("--count", type=int, default=64, help="number of images (default 64)")
    options.add_argument(
        "--output",
        required=True,
        help="FILE.png for one grid, FILE.npz for arrays (images uint8 [N, H, W, C], labels int64 "
        "[N]), or a folder for one PNG file an image",
    )
    options.add_argument(
        "--classes",
        nargs="+",
        help="names or numbers of the classes to draw in equal shares, of a class-conditional "
        "model (default: all)",
    )
    options.add_argument("--seed", type=int, default=0, help="of the latents (default 0)")
    options.add_argument("--batch-size", type=int, default=256, help="images at once (default 256)")
    options.add_argument("--overwrite", action="store_true", help="replace what is at --output")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parser().parse_args(arguments)
    for name in ("count", "batch_size"):
        if getattr(options, name) < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least 1, got {getattr(options, name)}")
    output = Path(options.output)
    if output.suffix not in ("", ".png", ".npz"):
        raise ValueError(f"--output {output} must end in .png or .npz, or be a folder")
    if output.is_dir() and any(
        not re.match(r"\d{6}.*\.png$", old.name) for old in output.iterdir()
    ):
        raise ValueError(f"--output {output} is a folder that holds other files: choose another")
    if output.exists() and not options.overwrite:
        raise ValueError(f"--output {output} exists: choose another, or add --overwrite")
    # Only now, since it takes seconds: wrong options have been named.
    from commands.checkpoint import load_model
    from commands.drawing import choose_labels, draw, write

    model, class_names = load_model(options.checkpoint)
    labels = choose_labels(model, class_names, options.classes, options.count)
    images = draw(model, labels, options.count, options.seed, options.batch_size)
    write(images, labels if model.conditional else None, class_names, output)
    print(f"{options.count} images are in {output}")
