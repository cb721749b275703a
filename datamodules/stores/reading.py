"""Reading parts of large files, from any thread and any process."""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import NamedTuple

MOST_OPEN = 256
CHANGED = "lies in a file that changed after its images were listed: start again"


class Stamp(NamedTuple):
    """A file as it was when its contents were listed."""

    path: str
    size: int
    changed_ns: int

    def line(self) -> str:
        """The stamp as text, without the folder: the file may move."""
        return f"{os.path.basename(self.path)} {self.size} {self.changed_ns}"


def stamp_of(path: str | Path) -> Stamp:
    """Return a file's size in bytes, and its time of change in nanoseconds.

    Raises:
        OSError: it is not there.
    """
    status = os.stat(path)
    return Stamp(str(path), status.st_size, status.st_mtime_ns)


def check(stamp: Stamp) -> None:
    """Refuse a file that is not as it was.

    Raises:
        OSError: it changed, or is gone.
    """
    if stamp_of(stamp.path) != stamp:
        raise OSError(CHANGED)


def lines_of(stamps: Iterable[Stamp]) -> Iterator[str]:
    """Yield the lines of files that are as they were.

    Raises:
        OSError: one changed, or is gone.
    """
    for stamp in stamps:
        check(stamp)
        yield stamp.line()


@lru_cache(MOST_OPEN)
def _opened(stamp: Stamp) -> FileIO:
    return open(stamp.path, "rb", buffering=0)


def read_at(stamp: Stamp, offset: int, size: int) -> bytes:
    """Read so many bytes of a file.

    Threads and forked processes may share the open file: its position is never used.

    Raises:
        OSError: the file changed, is gone, or ends before.
    """
    check(stamp)
    file = _opened(stamp)  # a name of its own keeps it open while it is read
    data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise OSError("lies beyond the end of its file, which is damaged")
    return data
