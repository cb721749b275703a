"""Files that are whole or not there."""

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minmax.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

PARTS = ".part-"
TORCH = "PytorchStreamWriter|inline_container|open file failed"
"""What torch's own writer says, in a RuntimeError, where others raise an OSError."""
REMEDY = "Make room, or choose a place that can be written"


@contextmanager
def whole(file: str | Path, kept: str = "", remedy: str = REMEDY) -> Iterator[Path]:
    """A place to write a file or a folder at, which is moved to its own when all is written.

    The place has the same name, in a hidden folder beside its own, which no other process uses. A
    file is on the disk before it is moved, and the move before this returns, so that a crash
    leaves the one of before, or this one whole. What the block raises leaves the one of before,
    and no folder that was not there. A file keeps its permissions, and what a link leads to is
    replaced, not the link.

    Args:
        file: where it belongs; its folder is made.
        kept: the name under which the file of before stays beside it; if empty, it goes.
        remedy: what to do if it can't be written.

    Raises:
        UserError: it can't be written: no room, no right to, or something else is there.
    """
    file, place = Path(file), Path(os.path.realpath(file))
    made = [folder for folder in place.parents if not folder.exists()]
    try:
        with _named(file, remedy):
            if place.exists() and not (place.is_file() or place.is_dir()):
                raise FileExistsError(0, "it is a device or a pipe")
            place.parent.mkdir(parents=True, exist_ok=True)
            folder, lock = _own_folder(place.parent)
        try:
            with _named(file, remedy, folder):
                yield folder / place.name
            with _named(file, remedy):
                _move(folder / place.name, place, kept)
        finally:
            with suppress(OSError):
                discard(folder)
            if lock is not None:
                os.close(lock)
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _named(file: Path, remedy: str, within: Path | None = None) -> Iterator[None]:
    """Turn what the system says into a line that names the file.

    What is said of files that lie elsewhere than `within` is about something else.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError):
            about = error.filename
            if error.errno is None or (
                within and isinstance(about, str) and not Path(about).is_relative_to(within)
            ):
                raise
        elif not re.search(TORCH, str(error)):
            raise
        reason = getattr(error, "strerror", "torch can't write: no room, most likely")
        raise UserError(
            f"{file} can't be written ({reason}); what was there is as it was. {remedy}"
        ) from error


def _own_folder(parent: Path) -> tuple[Path, int | None]:
    """A new folder in another, and the lock by which others see that it is in use.

    Those that processes left that were killed, and that nobody holds, are removed. Where there are
    no locks, they stay.
    """
    if fcntl is None:
        return Path(tempfile.mkdtemp(prefix=PARTS, dir=parent)), None
    for old in parent.glob(f"{PARTS}*"):
        with suppress(OSError):
            lock = os.open(old, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                discard(old)
            finally:
                os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PARTS, dir=parent))
        with suppress(FileNotFoundError):  # taken for a killed process's
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, lock
            os.close(lock)


def _move(part: Path, place: Path, kept: str) -> None:
    """Put a file or a folder in its place; one that is there stays until then."""
    before = None
    if place.exists():
        shutil.copymode(place, part)
        if kept:
            before = place.with_name(kept)
        elif part.is_dir() and place.is_dir():  # no folder can take the place of a filled one
            before = Path(tempfile.mkdtemp(dir=part.parent)) / "before"
    if part.is_file():
        synchronise(part)
    if before is not None:
        os.replace(place, before)
    try:
        os.replace(part, place)
    except BaseException:
        if before is not None:
            os.replace(before, place)
        raise
    synchronise(place.parent)


def discard(file: Path) -> None:
    """Remove a file or folder, if it is there."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def synchronise(place: Path) -> None:
    """Have the system bring a file's content, or a folder's list of names, to the disk."""
    if os.name == "nt" and place.is_dir():  # it opens no folders
        return
    descriptor = os.open(place, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_archive(file: Path) -> None:
    """Read a zip archive (what `torch.save` writes), and compare what it holds with its checksums.

    `torch.load` doesn't: a bit that has flipped on the disk would become another weight.

    Raises:
        UserError: something in it has changed since it was written, or it is no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{file} is damaged ({error})") from error
    if damaged is not None:
        raise UserError(f"{file} is damaged: the checksum of {damaged} in it is wrong")
