"""`python cli.py curves`: draw the curves of runs from their TensorBoard files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minmax.errors import files_named
from minmax.reporting.panels import draw


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(prog="cli.py curves", description=__doc__, allow_abbrev=False)
    options.add_argument("runs", nargs="+", help="folders of runs")
    options.add_argument("--output", required=True, help="FILE.png or FILE.svg; replaced if there")
    chosen = options.parse_args(arguments)
    draw([Path(run) for run in chosen.runs], Path(chosen.output))
    print(f"The curves are in {chosen.output}")
