"""`python cli.py average`: choose the width of a run's average after its training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minmax.admission import add_option
from minmax.errors import UserError, files_named


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py average", description=__doc__, allow_abbrev=False
    )
    options.add_argument("run", help="folder of a run that was trained with ema_widths")
    options.add_argument(
        "--width",
        type=float,
        required=True,
        help="relative width: the standard deviation of the weights' times, as a share of the "
        "training so far. 0.05 and 0.1 are usual; 0.289 is the mean of all weights",
    )
    options.add_argument(
        "--output", required=True, help="FILE.ckpt, for sample, test --ckpt_path, and export"
    )
    options.add_argument("--overwrite", action="store_true", help="replace what is at --output")
    add_option(options)
    chosen = options.parse_args(arguments)
    run, output = Path(chosen.run), Path(chosen.output)
    if output.suffix != ".ckpt":
        raise UserError(f"--output {output} must end in .ckpt")
    if (run / "checkpoints").resolve() in output.resolve().parents:
        raise UserError(
            f"--output {output} lies among the run's own checkpoints: choose another folder"
        )
    if output.exists() and not chosen.overwrite:
        raise UserError(f"--output {output} exists: choose another, or add --overwrite")
    if not run.is_dir():
        raise UserError(f"{run} is no folder of a run")
    # This import takes seconds, so wrong options are refused first.
    from gan_modules.parts.average import power_of
    from minmax.generation.averaging import write_average

    power_of(chosen.width, "--width")
    count = write_average(run, chosen.width, output)
    print(f"The average of width {chosen.width}, made of {count} kept ones, is in {output}")
