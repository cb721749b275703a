"""A run's `metrics.json`: the reports of its checkpoints."""

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minmax import strict_json
from minmax.errors import UserError
from minmax.files import whole
from minmax.lock import locked
from minmax.metrics.table import score_of
from minmax.run_config import run_folder

FILE = "metrics.json"
CHECKSUM = "checkpoint_crc32"
"""Key of the checkpoint's checksum in its report."""


def write_report(checkpoint: Path, report: Mapping[str, Any]) -> Path:
    """Add a checkpoint's report to its run's `metrics.json`; reports of others stay.

    Args:
        checkpoint: its name without suffix becomes the report's key.
        report: scores, references and protocol.

    Returns:
        The file.
    """
    folder = run_folder(checkpoint)
    file = folder / FILE
    with locked(folder / ".metrics.lock", wait=True):  # another process may be adding one
        others = reports_of(folder, "reports of other checkpoints are lost: test them again")
        reports = {**others, checkpoint.stem: {**report, CHECKSUM: checksum(checkpoint)}}
        with whole(file) as part:
            part.write_text(strict_json.dumps(reports, indent=2) + "\n")
    return file


def checksum(checkpoint: Path) -> int | None:
    """One number for the checksums that a checkpoint's archive holds; None if it is no archive."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            parts = [f"{part.filename} {part.CRC}" for part in archive.infolist()]
    except (OSError, zipfile.BadZipFile):
        return None
    return zlib.crc32("\n".join(parts).encode())


def of_another(checkpoint: Path, report: Mapping[str, Any]) -> bool:
    """Whether a report is known to be of a checkpoint with other contents."""
    now, then = checksum(checkpoint), report.get(CHECKSUM)
    return None not in (now, then) and now != then


def say_of_earlier(run: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Warn of each checkpoint that was saved anew since it was scored, as far as is known."""
    for name, report in reports.items():
        if of_another(run / "checkpoints" / f"{name}.ckpt", report):
            warnings.warn(
                f"{run}: its scores are those of an earlier {name}.ckpt. Test it again with "
                f"`python cli.py test --config {run}/config.yaml`",
                stacklevel=2,
            )


def read_reports(run: Path) -> dict[str, dict[str, Any]]:
    """The reports of a run's checkpoints, by their names.

    Raises:
        UserError: the run has none, or the file is damaged or holds an unknown score.
    """
    names: set[str] = set()
    try:
        reports: dict[str, dict[str, Any]] = strict_json.loads((run / FILE).read_bytes())
        if not reports:
            raise ValueError("it holds no report")
        for name, report in reports.items():
            columns = (report["scores"], *report["references"].values())
            columns += tuple(report.get("classes", {}).values())
            names.update(*columns)
            values = [value for column in columns for value in column.values()]
            if not all(value is None or isinstance(value, int | float) for value in values):
                raise TypeError("a score is no number")
            file = run / "checkpoints" / f"{name}.ckpt"
            if file.is_file():  # the run may have been moved since
                report["protocol"]["checkpoint"] = str(file)
            report["protocol"].keys()
    except FileNotFoundError as error:
        if not run.is_dir():
            raise UserError(f"{run} is no folder: give the folder of a run") from error
        raise UserError(
            f"{run} has no {FILE}: make it with `python cli.py test --config {run}/config.yaml`"
        ) from error
    except OSError as error:
        raise UserError(f"{run / FILE} can't be read ({error.strerror})") from error
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{run / FILE} is damaged: delete it, and test the run again") from error
    for name in sorted(names):
        try:
            score_of(name)
        except UserError as error:
            raise UserError(f"{run / FILE}: {error}") from error
    return reports


def reports_of(run: Path, consequence: str) -> dict[str, dict[str, Any]]:
    """Like `read_reports`, but empty without a file, and empty with a warning if it is damaged."""
    if not (run / FILE).is_file():
        return {}
    try:
        return read_reports(run)
    except UserError as error:
        warnings.warn(f"{error}; {consequence}", stacklevel=2)
        return {}
