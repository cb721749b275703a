"""Chooses the checkpoints that a command reads."""

import os
from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import UserError


def to_go_on_from(folder: Path, ckpt_path: str | None, resume: bool) -> str | None:
    """The checkpoint that a training resumes; None if it starts anew.

    Args:
        folder: of the run.
        ckpt_path: as the user gave it.
        resume: use the run's newest checkpoint, if there is one.

    Raises:
        UserError: `ckpt_path` is `last`, and there is no checkpoint.
    """
    if ckpt_path != "last" and not resume:
        return ckpt_path
    newest = newest_checkpoint(folder)
    if newest is not None:
        given = Path(ckpt_path or newest)
        if ckpt_path != "last" and not (given.exists() and os.path.samefile(given, newest)):
            rank_zero_info(f"--ckpt_path {ckpt_path} began this run, or would; now it goes on")
        return str(newest)
    if ckpt_path == "last":
        raise UserError(
            f"--ckpt_path last: there is no checkpoint in {folder}/checkpoints. Name the run's "
            "folder with --trainer.default_root_dir, or leave --ckpt_path out"
        )
    return ckpt_path


def to_score(folder: Path, command: str) -> list[str]:
    """The checkpoints of a run that `test` scores: its best and its last.

    Args:
        folder: of the run.
        command: `test`; `validate` finds none, and needs `--ckpt_path`.

    Raises:
        UserError: there is none.
    """
    files = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    found = [str(file) for file in files if file.is_file()]
    if command != "test" or not found:
        raise UserError(
            f"{command} needs a checkpoint: give --ckpt_path RUN/checkpoints/last.ckpt, say"
            + (", or --config RUN/config.yaml of a run that has one" * (command == "test"))
        )
    return found


def newest_checkpoint(run: Path) -> Path | None:
    """The run's newest whole checkpoint, `last.ckpt` or `previous.ckpt`; None if it has none.

    Raises:
        UserError: all checkpoints are damaged.
    """
    files = [run / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous")]
    files = [file for file in files if file.is_file()]
    for file in files:
        try:
            read_checkpoint(file)
        except UserError as error:
            rank_zero_warn(f"{file} is passed over: {error}")
        else:
            return file
    if files:
        raise UserError(
            f"--resume: none of {', '.join(map(str, files))} is whole. Put a copy in their place, "
            "or delete the run and train it anew"
        )
    return None


def saves(run: Path) -> dict[str, int]:
    """The run's checkpoints by file name, and when each was written, in nanoseconds."""
    found = {}
    for file in (run / "checkpoints").glob("*.ckpt"):
        with suppress(FileNotFoundError):  # another process is moving it
            found[file.name] = file.stat().st_mtime_ns
    return found


def belongs_to(checkpoint: str | Path, run: Path) -> bool:
    """Whether a checkpoint lies in a run's folder, even if links lead to either."""
    file = Path(checkpoint)
    folders = {file.absolute().parent.parent, file.resolve().parent.parent}
    return run.is_dir() and any(f.is_dir() and os.path.samefile(f, run) for f in folders)
