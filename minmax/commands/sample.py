"""`python cli.py sample`: draw images from a trained generator."""

import argparse
import math
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from minmax.admission import add_option
from minmax.errors import UserError, files_named

KINDS = (".png", ".npz", ".gif", ".mp4")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(prog="cli.py sample", description=__doc__, allow_abbrev=False)
    options.add_argument("--checkpoint", required=True, help="a .ckpt file of a run")
    options.add_argument("--count", type=int, default=64, help="number of images (default 64)")
    options.add_argument(
        "--output",
        required=True,
        help="FILE.png for one grid (a row a class, of a class-conditional model), FILE.npz for "
        "arrays (images uint8 [N, H, W, C], labels int64 [N]; of points, points float32 [N, 2]), a "
        "folder for one PNG file an image; "
        "with --interpolate also FILE.gif or FILE.mp4",
    )
    options.add_argument(
        "--classes",
        nargs="+",
        help="names or numbers of the classes to draw in equal shares, of a class-conditional "
        "model (default: all, in the shares of `asked_classes`: equal ones unless it was given)",
    )
    options.add_argument("--seed", type=int, default=0, help="of the latents (default 0)")
    options.add_argument(
        "--truncation",
        type=float,
        help="greatest absolute value in the latents (BigGAN's truncation trick): better and less "
        "varied images (default: none)",
    )
    options.add_argument(
        "--psi",
        type=float,
        help="of generators with a mapping (StyleGAN2): w moves towards its average, to this share "
        "of its distance; below 1 better and less varied images (default: 1)",
    )
    options.add_argument(
        "--mix-seed",
        type=int,
        metavar="SEED",
        help="of generators with a mapping: the last styles are those of the latents of this seed",
    )
    options.add_argument(
        "--mix-from",
        type=int,
        default=0,
        metavar="STYLE",
        help="number of the first of these styles; 4 of 8 mixes coarse and fine ones at 32 pixels "
        "(default 0)",
    )
    options.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="N images on the way from each of the --count latents to the next (spherical); a row "
        "of the grid is one way",
    )
    options.add_argument(
        "--nearest",
        action="store_true",
        help="a grid with the nearest training image beside each (by thumbnails of 8x8 pixels); "
        "needs config.yaml and the data of the checkpoint's run",
    )
    options.add_argument(
        "--average",
        type=int,
        help="which of several averages draws: 1 is the first (default), 0 the generator itself",
    )
    options.add_argument("--batch-size", type=int, default=256, help="images at once (default 256)")
    options.add_argument(
        "--devices",
        type=int,
        default=1,
        help="GPUs, or processes on the CPU, that share the work for a folder or FILE.npz",
    )
    options.add_argument("--overwrite", action="store_true", help="replace what is at --output")
    add_option(options)
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parser().parse_args(arguments)
    output, kind = Path(options.output), kind_of(options.output)
    check(options, output, kind)
    # These imports take seconds, so wrong options are refused first.
    from minmax.generation.drawing import prepared
    from minmax.generation.writing import write

    model, job = prepared(options)
    write(model, job, output, kind, options.devices, options.interpolate, options.nearest)
    print(f"{len(job.latents)} images are in {output}")


@files_named()
def kind_of(output: str) -> str:
    """One of `KINDS`, or an empty string for a folder.

    Raises:
        UserError: the name has the suffix of another kind of file.
    """
    suffix = Path(output).suffix.lower()
    if output.endswith("/") or Path(output).is_dir():
        return ""
    if suffix in KINDS or not re.fullmatch(r"\.[a-z]{2,4}\d?", suffix):  # samples_v1.0 is a folder
        return suffix if suffix in KINDS else ""
    raise UserError(
        f"--output {output} must end in {', '.join(KINDS)}, or be a folder (a new one with such a "
        "name needs a slash at its end)"
    )


@files_named()
def check(options: argparse.Namespace, output: Path, kind: str) -> None:
    """Refuse options that are wrong or contradict each other."""
    for name, least in (("count", 1), ("batch_size", 1), ("devices", 1), ("interpolate", 2)):
        value = getattr(options, name)
        if value is not None and value < least:
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be at least {least}, got {value}")
    for name in ("seed", "mix_seed"):
        value = getattr(options, name)
        if value is not None and abs(value) >= 2**63:
            raise UserError(f"--{name.replace('_', '-')} must be below 2**63, got {value}")
    if options.truncation is not None and not options.truncation > 0:
        raise UserError(f"--truncation must be above 0, got {options.truncation}")
    if options.psi is not None and not math.isfinite(options.psi):
        raise UserError(f"--psi must be a number, got {options.psi}")
    if options.mix_from and options.mix_seed is None:
        raise UserError(
            f"--mix-from {options.mix_from} says where --mix-seed begins: add it, or leave both out"
        )
    if options.interpolate and options.count < 2:
        raise UserError("--interpolate goes from one latent to the next: give --count 2 or more")
    if kind in (".gif", ".mp4") and not options.interpolate:
        raise UserError(f"--output {output}: films show --interpolate N; add it, or choose .png")
    if kind == ".mp4" and find_spec("av") is None:
        raise UserError('--output *.mp4 is written by PyAV: pip install ".[video]"')
    if options.nearest and (kind != ".png" or options.interpolate):
        raise UserError("--nearest is shown in a grid, without --interpolate: --output FILE.png")
    if options.devices > 1 and kind not in ("", ".npz"):
        raise UserError(
            "--devices share the work for a folder or for FILE.npz: --output says which"
        )
    held = list(output.iterdir()) if output.is_dir() else None
    if held and not all(re.match(r"(?s)\d{6}.*\.png$", old.name) for old in held):
        raise UserError(f"--output {output} is a folder that holds other files: choose another")
    if output.exists() and held != [] and not options.overwrite:
        raise UserError(f"--output {output} exists: choose another, or add --overwrite")
