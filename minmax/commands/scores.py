"""Scores of a run: kept in its `metrics.json`, and shown as tables."""

import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minmax import strict_json
from minmax.errors import UserError
from minmax.files import whole
from minmax.lock import locked

FILE = "metrics.json"
HIGHER = ("is", "precision", "recall", "density", "coverage", "class_match", "class_entropy")


def run_folder(checkpoint: Path) -> Path:
    """The run that a checkpoint belongs to."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == "checkpoints" else folder


def better(score: str) -> str:
    """Which values of a score are the better ones."""
    if score.startswith("nearest"):
        return "near 1"
    return "higher" if score in HIGHER or score.rpartition("_")[0] in HIGHER else "lower"


def write_report(checkpoint: Path, report: Mapping[str, Any]) -> Path:
    """Put a checkpoint's report into its run's `metrics.json`, beside those of the others.

    Args:
        checkpoint: its name without suffix is the report's.
        report: scores, references and protocol.

    Returns:
        The file.
    """
    folder = run_folder(checkpoint)
    file = folder / FILE
    with locked(folder / ".metrics.lock", wait=True):  # another process may add one just now
        others = reports_of(folder, "what it held of other checkpoints is lost: test them again")
        reports = {**others, checkpoint.stem: report}
        with whole(file) as part:
            part.write_text(strict_json.dumps(reports, indent=2) + "\n")
    return file


def read_reports(run: Path) -> dict[str, dict[str, Any]]:
    """The reports of a run's checkpoints, by their names.

    Raises:
        UserError: the run has none, or the file is damaged.
    """
    try:
        reports: dict[str, dict[str, Any]] = strict_json.loads((run / FILE).read_bytes())
        for name, report in reports.items():
            columns = (report["scores"], *report["references"].values())
            columns += tuple(report.get("classes", {}).values())
            values = [value for column in columns for value in column.values()]
            if not all(value is None or isinstance(value, int | float) for value in values):
                raise TypeError("a score is no number")
            file = run / "checkpoints" / f"{name}.ckpt"
            if file.is_file():  # the run may have been moved since
                report["protocol"]["checkpoint"] = str(file)
            report["protocol"].keys()
        return reports
    except FileNotFoundError as error:
        raise UserError(
            f"{run} has no {FILE}: make it with `python cli.py test --config {run}/config.yaml`"
        ) from error
    except OSError as error:
        raise UserError(f"{run / FILE} can't be read ({error.strerror})") from error
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{run / FILE} is damaged: delete it, and test the run again") from error


def reports_of(run: Path, consequence: str) -> dict[str, dict[str, Any]]:
    """The same; none where there are none, and none but a warning where the file is damaged."""
    if not (run / FILE).is_file():
        return {}
    try:
        return read_reports(run)
    except UserError as error:
        warnings.warn(f"{error}; {consequence}", stacklevel=2)
        return {}


def score_table(report: Mapping[str, Any]) -> str:
    """The scores of a checkpoint beside those of the references, a row a score."""
    columns = {"generated": report["scores"], **report["references"]}
    rows = [["score", "better", *columns]]
    for score in report["scores"]:
        values = [shown(column.get(score)) for column in columns.values()]
        rows.append([score, better(score), *values])
    text = aligned(rows)
    if "classes" in report:
        names = list(next(iter(report["classes"].values())))
        by_class = [["class", *names]]
        for name, values in report["classes"].items():
            by_class.append([name, *(shown(values.get(score)) for score in names)])
        text += "\n\n" + aligned(by_class)
    return text


def shown(value: float | None) -> str:
    """A value with four digits; a dash if there is none."""
    return "-" if value is None else f"{value:.4g}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    head, *others = ["| " + " | ".join(map(plain, row)) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *others])


def plain(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    special = r"[\\`*|<>&~\[\]]|(?<!\w)_|_(?!\w)"
    return re.sub(special, r"\\\g<0>", " ".join(text.split()))


def comma_separated(rows: Sequence[Sequence[str]]) -> str:
    """A table in CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip()
