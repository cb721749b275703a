"""Tables of scores: for the terminal, in Markdown, and in CSV."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from minmax.metrics.table import score_of


def score_table(report: Mapping[str, Any]) -> str:
    """A checkpoint's scores beside those of the references, one row for each score."""
    columns = {"generated": report["scores"], **report["references"]}
    rows = [["score", "better", *columns]]
    for score in report["scores"]:
        values = [shown(column.get(score)) for column in columns.values()]
        rows.append([score, score_of(score).better, *values])
    text = aligned(rows)
    if "classes" in report:
        names = list(next(iter(report["classes"].values())))
        by_class = [["class", *names]]
        for name, values in report["classes"].items():
            by_class.append([name, *(shown(values.get(score)) for score in names)])
        text += "\n\n" + aligned(by_class)
    return text


def headed(score: str) -> str:
    """The heading of a score's column: its name, and which values are better."""
    return f"{score} ({score_of(score).better})"


def shown(value: float | None) -> str:
    """A value with four digits; a dash if there is none."""
    return "-" if value is None else f"{value:.4g}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal; the first column is left-aligned, the others right-aligned."""
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
    """Escape a text so that Markdown shows it unchanged, in one line."""
    special = r"[\\`*|<>&~\[\]]|(?<!\w)_|_(?!\w)"
    return re.sub(special, r"\\\g<0>", " ".join(text.split()))


def comma_separated(rows: Sequence[Sequence[str]]) -> str:
    """A table in CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip()


FORMATS = {"table": aligned, "markdown": markdown, "csv": comma_separated}
