"""Writes the page about runs or a study: pictures, curves, scores, settings."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from minmax.diagnosis import Curves, history
from minmax.errors import UserError
from minmax.files import whole
from minmax.films import pictures_in
from minmax.reporting.comparison import score_rows
from minmax.reporting.embedded import embedded, picture
from minmax.reporting.figures import chart, quantities
from minmax.reporting.groups import Group, groups_of
from minmax.reporting.tables import score_table
from minmax.scalars import read_scalars


def write_page(folders: Sequence[Path], output: Path) -> Path:
    """Write the page about a study or about runs, and its charts beside it.

    Returns:
        The folder of the charts.
    """
    page, charts = render(*groups_of(folders))
    place = output.with_name(f"{output.stem}_figures")
    with ExitStack() as files:  # write all files before moving the first to its place
        for name, content in charts.items():
            files.enter_context(whole(place / f"{name}.png")).write_bytes(content)
        part = files.enter_context(whole(output))
        part.write_text(page, "utf-8", "backslashreplace")  # file names may be invalid text
    return place


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
    for name, quantity in tqdm(quantities().items(), desc="Drawing", delay=1, leave=False):
        curves = {
            group.name: [
                scalars[run][log_name]
                for run in group.runs
                for log_name in quantity.names
                if log_name in scalars[run]
            ]
            for group in found
        }
        if (drawn := chart(quantity, curves)) is not None:
            charts[name] = drawn
    template = resources.files("minmax.reporting").joinpath("report.html").read_text()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template).render(
        study=study,
        title=study.get("title") or ", ".join(group.name for group in found),
        table=score_rows(found),
        charts={quantities()[name].title: embedded(drawn) for name, drawn in charts.items()},
        real=next(filter(None, (picture(run, "real") for run in runs)), None),
        groups=[described(group, found[0], scalars) for group in found],
    )
    return page, charts


def curves_of(run: Path) -> Curves:
    """The run's curves; empty, with a warning, if there are none."""
    try:
        return read_scalars(run)
    except UserError as error:
        warnings.warn(f"{error}; its curves are left out", stacklevel=2)
        return {}


def described(group: Group, base: Group, scalars: dict[Path, Curves]) -> dict[str, Any]:
    """The template's values for a group."""
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
        "runs": [described_run(run, scalars[run], group.tested[run]) for run in group.runs],
    }


def described_run(run: Path, curves: Curves, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The template's values for a run."""
    shown = [(seen, picture(run, file.stem)) for seen, file in pictures_in(run / "pictures")]
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
    """The failures that the diagnosis finds in the run's curves, one sentence each."""
    sentences = []
    for episode in history(curves):
        over = episode.until_images
        length = f", until {over:,}" if over else ""
        name = episode.finding.name.replace("_", " ")
        sentences.append(
            f"{name} (since {episode.finding.since_images:,} images{length}): "
            f"{episode.finding.sentence}"
        )
    return sentences
