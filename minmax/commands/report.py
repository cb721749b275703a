"""`python cli.py report`: one page about runs or a study, with pictures, curves and scores."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from minmax.errors import UserError, files_named


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(prog="cli.py report", description=__doc__, allow_abbrev=False)
    options.add_argument("folders", nargs="+", help="a study's folder, or those of runs")
    options.add_argument(
        "--output",
        help="FILE.html, replaced if there; default: report.html in the first folder. Its charts "
        "also stand beside it as PNG files",
    )
    chosen = options.parse_args(arguments)
    folders = [Path(folder) for folder in dict.fromkeys(chosen.folders)]
    output = Path(chosen.output or folders[0] / "report.html")
    if output.suffix.lower() != ".html" or output.is_dir():
        raise UserError(f"--output {output} must end in .html")
    there = next(folder for folder in output.absolute().parents if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise UserError(f"--output {output} can't be written: choose another place than {there}")
    from minmax.reporting.page import write_page  # slow, so wrong options are refused first

    charts = write_page(folders, output)
    print(f"Report: {output}  Charts: {charts}")
