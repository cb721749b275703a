"""Files that are whole or not there."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(file: str | Path) -> Iterator[Path]:
    """A place to write a file or a folder at, which is moved to its own when all is written.

    The place lies in the same folder and has the same suffix. A file is on the disk before it is
    moved, and the move before this returns, so that a crash leaves the one of before, or this one
    whole. What the block raises leaves the one of before. A folder that is replaced is removed
    first.

    Args:
        file: where it belongs; its folder is made.

    Raises:
        ValueError: it can't be written: no room, or no right to.
    """
    file = Path(file)
    part = file.with_name(f".{file.stem}.part{file.suffix}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        discard(part)  # of a process that was killed
        yield part
        if part.is_file():
            synchronise(part)
        if file.is_dir():
            discard(file)
        os.replace(part, file)
        synchronise(file.parent)
    except OSError as error:
        raise ValueError(
            f"{file} can't be written ({error.strerror or error}); what was there is as it was. "
            "Make room, or choose a place that can be written"
        ) from error
    finally:
        with suppress(OSError):
            discard(part)


def discard(file: Path) -> None:
    """Remove a file or folder, if it is there."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def synchronise(place: Path) -> None:
    """Have the system bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_archive(file: Path) -> None:
    """Read a zip archive (what `torch.save` writes), and compare what it holds with its checksums.

    `torch.load` doesn't: a bit that has flipped on the disk would become another weight.

    Raises:
        ValueError: something in it has changed since it was written, or it is no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"{file} is damaged ({error})") from error
    if damaged is not None:
        raise ValueError(f"{file} is damaged: the checksum of {damaged} in it is wrong")
