"""`python cli.py report`: one page about runs or a study, with pictures, curves and scores."""

import argparse
import base64
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from tqdm import tqdm

from minmax.commands.figures import QUANTITIES, chart
from minmax.commands.groups import Group, groups_of, score_rows
from minmax.commands.scores import reports_of, score_table
from minmax.diagnosis import Curves, history
from minmax.errors import UserError, files_named
from minmax.files import whole
from minmax.scalars import read_scalars

GRID = re.compile(r"fake_(\d+)", re.ASCII)


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
    study, found = groups_of(folders)
    page, charts = render(study, found)
    place = output.with_name(f"{output.stem}_figures")
    with ExitStack() as files:  # all are written before the first is moved to its place
        for name, content in charts.items():
            files.enter_context(whole(place / f"{name}.png")).write_bytes(content)
        part = files.enter_context(whole(output))
        part.write_text(page, "utf-8", "backslashreplace")  # names of files may be no text
    print(f"Report: {output}  Charts: {place}")


def render(study: dict[str, Any], found: Sequence[Group]) -> tuple[str, dict[str, bytes]]:
    """The page, and its charts by the names of their quantities.

    Raises:
        UserError: Jinja2 or matplotlib is missing.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise UserError('pages are made by Jinja2: pip install ".[report]"') from error
    runs = [run for group in found for run in group.runs]
    bar = tqdm(runs, desc="Reading runs", unit="run", delay=1, leave=False)
    scalars = {run: curves_of(run) for run in bar}
    charts = {}
    for quantity, (_, names) in tqdm(QUANTITIES.items(), desc="Drawing", delay=1, leave=False):
        curves = {
            group.name: [scalars[run][n] for run in group.runs for n in names if n in scalars[run]]
            for group in found
        }
        if (drawn := chart(quantity, curves)) is not None:
            charts[quantity] = drawn
    template = resources.files("minmax.commands").joinpath("report.html").read_text()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template).render(
        study=study,
        title=study.get("title") or ", ".join(group.name for group in found),
        table=score_rows(found),
        charts={QUANTITIES[name][0]: embedded(drawn) for name, drawn in charts.items()},
        real=next(filter(None, (picture(run, "real") for run in runs)), None),
        groups=[described(group, found[0], scalars) for group in found],
    )
    return page, charts


def curves_of(run: Path) -> Curves:
    """The run's curves; none but a warning where there are none."""
    try:
        return read_scalars(run)
    except UserError as error:
        warnings.warn(f"{error}; its curves are left out", stacklevel=2)
        return {}


def described(group: Group, base: Group, scalars: dict[Path, Curves]) -> dict[str, Any]:
    """What the page says of a group."""
    config, other = group.config(), base.config()
    changes = [
        (name, other.get(name, "-"), config.get(name, "-"))
        for name in sorted(config.keys() | other.keys())
        if config.get(name) != other.get(name)
    ]
    return {
        "name": group.name,
        "changes": changes if group is not base else [],
        "settings": yaml.safe_dump(config, sort_keys=False),
        "failed": {str(run): words for run, words in group.failed.items()},
        "waiting": group.waiting,
        "runs": [described_run(run, scalars[run]) for run in group.runs],
    }


def described_run(run: Path, curves: Curves) -> dict[str, Any]:
    """What the page says of a run."""
    reports = reports_of(run, "its scores are left out")
    files = sorted((run / "pictures").glob("fake_*.png"))
    grids = [(int(name[1]), file.stem) for file in files if (name := GRID.fullmatch(file.stem))]
    shown = [(seen, picture(run, name)) for seen, name in grids]
    return {
        "name": run.name,
        "folder": str(run),
        "findings": findings(curves),
        "last": picture(run, "fake_last"),
        "nearest": picture(run, "nearest_last"),
        "grids": [(seen, content) for seen, content in shown if content],
        "scores": {name: score_table(report) for name, report in reports.items()},
        "protocol": yaml.safe_dump(reports["last"]["protocol"]) if "last" in reports else "",
    }


def findings(curves: Curves) -> list[str]:
    """What the run's diagnosis says of its curves, failure by failure."""
    told = []
    for episode in history(curves):
        over = episode.until_images
        length = f", until {over:,}" if over else ""
        name = episode.finding.name.replace("_", " ")
        told.append(
            f"{name} (since {episode.finding.since_images:,} images{length}): "
            f"{episode.finding.sentence}"
        )
    return told


def picture(run: Path, name: str) -> str | None:
    """A picture of the run, to stand in the page; None if there is none that can be read."""
    file = run / "pictures" / f"{name}.png"
    if not file.is_file():
        return None
    try:
        with Image.open(file) as image:
            channels = image.convert("RGB").split()
    except Exception as error:  # a damaged file can make Pillow raise anything
        warnings.warn(f"{file} is damaged ({error}): the picture is left out", stacklevel=2)
        return None
    gray = all(channel.tobytes() == channels[0].tobytes() for channel in channels)
    content = BytesIO()  # gray pictures as such, in half the bytes
    (channels[0] if gray else Image.merge("RGB", channels)).save(content, "PNG", optimize=True)
    return embedded(content.getvalue())


def embedded(content: bytes) -> str:
    """A PNG as an address."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
