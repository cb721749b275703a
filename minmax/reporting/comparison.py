"""Tables that compare the scores of checkpoints and of groups of runs."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from minmax.errors import UserError
from minmax.metrics.table import score_of
from minmax.reporting.groups import Group, of_one_configuration
from minmax.reporting.metrics_file import read_reports, say_of_earlier
from minmax.reporting.tables import headed, shown

# Keys of the protocol that must be equal for scores to be compared.
SHARED = (
    "training_sha256",
    "held_out_sha256",
    "split",
    "real_images",
    "generated_images",
    "features",
    "seed",
)


def compare(runs: Sequence[Path]) -> list[list[str]]:
    """A table: a row for each group of runs and each of its checkpoints, then the references.

    Raises:
        UserError: a run was not tested, or with another protocol than the first.
    """
    reports = {run: read_reports(run) for run in {run.resolve(): run for run in runs}.values()}
    for run, of_run in reports.items():
        say_of_earlier(run, of_run)
    first = next(iter(next(iter(reports.values())).values()))
    for run, checkpoints in reports.items():
        for name, report in checkpoints.items():
            check_protocol(f"{run} ({name})", report["protocol"], first["protocol"])
    all_reports = [report for of_run in reports.values() for report in of_run.values()]
    scores = list(dict.fromkeys(score for report in all_reports for score in report["scores"]))
    rows = [["run", "checkpoint", *map(headed, scores)]]
    for members in of_one_configuration(list(reports)):
        label = members[0].name + (f" and {len(members) - 1} more" if members[1:] else "")
        for name in sorted({name for run in members for name in reports[run]}):
            values = [reports[run][name]["scores"] for run in members if name in reports[run]]
            rows.append([label, name, *(spread(score, values) for score in scores)])
    for name, reference in first["references"].items():
        rows.append([name, "reference", *(shown(reference.get(score)) for score in scores)])
    return rows


def check_protocol(name: str, protocol: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to compare scores of protocols that differ in a key of `SHARED`."""
    for key in SHARED:
        if protocol.get(key) != wanted.get(key):
            raise UserError(
                f"{name} can't be compared with the first run: its {key} is {protocol.get(key)}, "
                f"there it is {wanted.get(key)}. Test both again with the same data and --quality"
            )


def spread(score: str, reports: Sequence[Mapping[str, float | None]]) -> str:
    """Mean of a score over runs, with its standard deviation if there are several.

    If some of the runs have no such score, it says how many have.
    """
    values = [value for report in reports if (value := report.get(score)) is not None]
    if not values:
        return "-"
    deviation = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    of_all = f" ({len(values)} of {len(reports)})" if len(values) < len(reports) else ""
    return f"{shown(mean(values))}{deviation}{of_all}"


def score_rows(found: Sequence[Group]) -> list[list[str]]:
    """A table of the last checkpoints' scores, sorted by the first score, best at the top.

    Groups of which a run has no first score come behind those of which all runs have one.
    Runs that were tested with different protocols stand in it all the same, with a warning.
    """
    reports = {group.name: group.reports for group in found}
    tested = [(run, report) for of_group in reports.values() for run, report in of_group.items()]
    for run, report in tested[1:]:
        try:
            check_protocol(str(run), report["protocol"], tested[0][1]["protocol"])
        except UserError as error:
            warnings.warn(f"{error}; it stands in the table all the same", stacklevel=2)
    scores = {name: [one["scores"] for one in of.values()] for name, of in reports.items()}
    names = list(dict.fromkeys(name for runs in scores.values() for run in runs for name in run))
    rows = [["variant", "seeds", *map(headed, names)]]

    def rank(group: Group) -> tuple[bool, float]:
        runs = scores[group.name]
        ranks = [
            score_of(name).order(value)
            for run in runs
            for name in names[:1]
            if (value := run.get(name)) is not None
        ]
        return not ranks or len(ranks) < len(runs), mean(ranks) if ranks else float("inf")

    for group in sorted(found, key=rank):
        seeds = f"{len(scores[group.name])}"
        seeds += f", {len(group.failed)} failed" if group.failed else ""
        seeds += f", {group.waiting} not done" if group.waiting else ""
        rows.append([group.name, seeds, *(spread(name, scores[group.name]) for name in names)])
    return rows
