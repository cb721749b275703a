"""Which checkpoint a run goes on from."""

from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from minmax.commands.checkpoint import read_checkpoint


def newest_checkpoint(run: Path) -> Path | None:
    """The run's newest whole checkpoint: `last.ckpt`, or the one before it; None without any.

    Raises:
        ValueError: there are some, and none is whole.
    """
    files = [run / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous")]
    files = [file for file in files if file.is_file()]
    for file in files:
        try:
            read_checkpoint(file)
        except ValueError as error:
            rank_zero_warn(f"{file} is passed over: {error}")
        else:
            return file
    if files:
        raise ValueError(
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
