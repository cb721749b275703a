"""Files that are written whole or not at all."""

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
"""What torch's writer says in a RuntimeError, where others raise an OSError."""
REMEDY = "Make room, or choose a place that can be written"
RUNS_REMEDY = (
    "Make room there or let it be written, then go on with --resume true, or choose another "
    "--trainer.default_root_dir"
)
"""What helps a training whose folder can't be written."""


@contextmanager
def whole(file: str | Path, kept: str = "", remedy: str = REMEDY) -> Iterator[Path]:
    """Yield a temporary path to write to, and move it to `file` when the block ends.

    The temporary path has the same name, in a hidden folder beside `file` that no other process
    uses. The content is synchronised to the disk before the move, and the move before this
    returns. So a crash leaves the old file or the whole new one. If the block raises, the old file
    stays, and new folders are removed. The old file's permissions are kept. If `file` is a link,
    its target is replaced.

    Args:
        file: where it belongs; its folder is made.
        kept: name for the old file, which then stays in the same folder; if empty, it is removed.
        remedy: what to do if it can't be written.

    Raises:
        UserError: no room, no permission, or `file` is a device or a pipe.
    """
    file, place = Path(file), Path(os.path.realpath(file))
    new_folders = [folder for folder in place.parents if not folder.exists()]
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
        for folder in new_folders:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _named(file: Path, remedy: str, within: Path | None = None) -> Iterator[None]:
    """Turn the system's errors into one line that names the file.

    Errors about files outside of `within` pass unchanged.
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
            f"{file} can't be written ({reason}); what was there is unchanged. {remedy}"
        ) from error


def _own_folder(parent: Path) -> tuple[Path, int | None]:
    """A new hidden folder in `parent`, and its lock, which shows others that it is in use.

    Folders that killed processes left there are removed; on systems without locks they stay.
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
        with suppress(FileNotFoundError):  # another process has removed it as unlocked
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, lock
            os.close(lock)


def _move(part: Path, place: Path, kept: str) -> None:
    """Move a file or a folder to its place; the old one stays until then."""
    before = None
    if place.exists():
        shutil.copymode(place, part)
        if kept:
            before = place.with_name(kept)
        elif part.is_dir() and place.is_dir():  # a folder can't replace one with content
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
    """Flush a file's content, or a folder's list of names, to the disk."""
    if os.name == "nt" and place.is_dir():  # Windows can't open folders
        return
    descriptor = os.open(place, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_archive(file: Path) -> None:
    """Check the checksums of a zip archive, the format that `torch.save` writes.

    `torch.load` doesn't: a bit that flipped on the disk would change a weight.

    Raises:
        UserError: a checksum is wrong, or it is no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{file} is damaged ({error})") from error
    if damaged is not None:
        raise UserError(f"{file} is damaged: the checksum of {damaged} in it is wrong")
