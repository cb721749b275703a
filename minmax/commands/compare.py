"""`python cli.py compare`: put the test scores of runs side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minmax.errors import UserError, files_named
from minmax.files import whole
from minmax.reporting.comparison import compare
from minmax.reporting.tables import FORMATS


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py compare", description=__doc__, allow_abbrev=False
    )
    options.add_argument(
        "runs",
        nargs="+",
        help="folders of runs that were tested; those that differ in their seed alone become one "
        "row: mean, and standard deviation over the seeds",
    )
    options.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    options.add_argument("--output", help="a new file to write to, instead of the terminal")
    chosen = options.parse_args(arguments)
    if chosen.output and Path(chosen.output).exists():
        raise UserError(f"--output {chosen.output} exists: choose another")
    text = FORMATS[chosen.format](compare([Path(run) for run in chosen.runs]))
    if chosen.output:
        with whole(chosen.output) as part:
            part.write_text(text + "\n", "utf-8", "backslashreplace")
        print(f"The comparison is in {chosen.output}")
    else:
        print(text)
