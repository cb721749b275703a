"""Which checkpoints a command is about."""

import os
from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import UserError


def to_go_on_from(folder: Path, ckpt_path: str | None, resume: bool) -> str | None:
    """The checkpoint that a training begins with; None from the start.

    Args:
        folder: of the run.
        ckpt_path: that was asked for.
        resume: whether the run's own is asked for, if there is one.

    Raises:
        UserError: `last` is asked for, and there is none.
    """
    if ckpt_path != "last" and not resume:
        return ckpt_path
    newest = newest_checkpoint(folder)
    if newest is not None:
        return str(newest)
    if ckpt_path == "last":
        raise UserError(
            f"--ckpt_path last: there is no checkpoint in {folder}/checkpoints. Name the run's "
            "folder with --trainer.default_root_dir, or leave --ckpt_path out"
        )
    return ckpt_path


def to_score(folder: Path, command: str) -> list[str]:
    """The checkpoints of a run that `test` is about: its best and its last.

    Args:
        folder: of the run.
        command: `test`, or `validate`, which has to be given one.

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
    """The run's newest whole checkpoint: `last.ckpt`, or the one before it; None without any.

    Raises:
        UserError: there are some, and none is whole.
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
    """The run's checkpoints, and when each was written."""
    found = {}
    for file in (run / "checkpoints").glob("*.ckpt"):
        with suppress(FileNotFoundError):  # another process is moving it
            found[file.name] = file.stat().st_mtime_ns
    return found


def belongs_to(checkpoint: str | Path, run: Path) -> bool:
    """Whether a checkpoint lies in a run's folder, by whatever path either is reached."""
    file = Path(checkpoint)
    folders = {file.absolute().parent.parent, file.resolve().parent.parent}
    return run.is_dir() and any(f.is_dir() and os.path.samefile(f, run) for f in folders)
