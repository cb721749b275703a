"""`python cli.py compare`: put the test scores of runs side by side."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from minmax.commands.scores import aligned, better, comma_separated, markdown, read_reports, shown
from minmax.errors import UserError, files_named
from minmax.files import whole
from minmax.run_config import read_run_config

FORMATS = {"table": aligned, "markdown": markdown, "csv": comma_separated}
# What two scores must share to be compared.
SHARED = (
    "training_sha256",
    "held_out_sha256",
    "split",
    "real_images",
    "generated_images",
    "features",
    "seed",
)


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


def compare(runs: Sequence[Path]) -> list[list[str]]:
    """A table: a row for each group of runs and each of its checkpoints, then the references.

    Raises:
        UserError: a run was not tested, or in another way than the first.
    """
    reports = {run: read_reports(run) for run in dict.fromkeys(runs)}
    first = next(iter(next(iter(reports.values())).values()))
    for run, checkpoints in reports.items():
        for name, report in checkpoints.items():
            check_protocol(f"{run} ({name})", report["protocol"], first["protocol"])
    all_reports = [report for held in reports.values() for report in held.values()]
    scores = list(dict.fromkeys(score for report in all_reports for score in report["scores"]))
    rows = [["run", "checkpoint", *(f"{score} ({better(score)})" for score in scores)]]
    for members in groups(list(reports)):
        label = members[0].name + (f" and {len(members) - 1} more" if members[1:] else "")
        for name in sorted({name for run in members for name in reports[run]}):
            held = [reports[run][name]["scores"] for run in members if name in reports[run]]
            rows.append([label, name, *(spread(score, held) for score in scores)])
    for name, values in first["references"].items():
        rows.append([name, "reference", *(shown(values.get(score)) for score in scores)])
    return rows


def check_protocol(name: str, protocol: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to compare what was measured in different ways."""
    for key in SHARED:
        if protocol.get(key) != wanted.get(key):
            raise UserError(
                f"{name} can't be compared with the first run: its {key} is {protocol.get(key)}, "
                f"there it is {wanted.get(key)}. Test both again with the same data and --quality"
            )


def groups(runs: Sequence[Path]) -> list[list[Path]]:
    """Runs whose configurations differ in nothing but the seed and the folder."""
    found: dict[str, list[Path]] = {}
    for run in runs:
        try:
            config = read_run_config(run / "config.yaml")
            for key in ("seed_everything", "ckpt_path"):
                config.pop(key, None)
            config["trainer"].pop("default_root_dir", None)
            identity = yaml.safe_dump(config)
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            identity = str(run)  # nothing is known of it: alone
        found.setdefault(identity, []).append(run)
    return list(found.values())


def spread(score: str, reports: Sequence[Mapping[str, float | None]]) -> str:
    """Mean of a score over runs, and its standard deviation if there are several."""
    values = [value for report in reports if (value := report.get(score)) is not None]
    if not values:
        return "-"
    return shown(mean(values)) + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")
