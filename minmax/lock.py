"""One writer at a time: locks that end with the processes that hold them."""

import os
import re
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minmax.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
"""Name of the lock file, which lies in a run's folder while a process works there."""
INHERITED = "MINMAX_LOCK"
"""Environment variable: the descriptor of a lock inherited from the parent process."""
SOMEBODY = "another process"
MOMENT = 0.5
"""Seconds to retry: a process that only tests the lock holds it for a moment."""


class InOtherHandsError(UserError):
    """Another process holds the lock.

    Attributes:
        owner: the process.
    """

    def __init__(self, file: Path, owner: str) -> None:
        self.owner = owner
        super().__init__(
            f"{file.parent} is in other hands: {owner} works there. Wait for its end, or choose "
            "another --trainer.default_root_dir"
        )


@dataclass(frozen=True)
class Lock:
    """A lock that is held.

    Attributes:
        descriptor: of its open file.
    """

    descriptor: int

    def note(self, process: int) -> None:
        """Write into the lock file which process works under it."""
        with suppress(OSError, AttributeError):  # a full disk; Windows has no `pwrite`
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"pid {process} on {socket.gethostname()}".encode(), 0)

    def handed_on(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that make the child hold the lock too."""
        if fcntl is None:
            return {}
        environment = os.environ | {INHERITED: str(self.descriptor)}
        return {"pass_fds": [self.descriptor], "env": environment}


@contextmanager
def locked(file: Path, wait: bool = False) -> Iterator[Lock]:
    """Hold the lock of a lock file, which is made for it and removed afterwards.

    The lock is `flock`'s: the system releases it when the last process that has inherited it
    ends, even by a crash, so a leftover file doesn't matter. On Linux it also works
    between machines that share a folder by NFS. Without locks, a warning says so.

    A folder made for the file is removed too if it is empty.

    Args:
        file: in the folder that it protects.
        wait: wait for the other process instead of raising an error.

    Raises:
        InOtherHandsError: another process holds it.
        OSError: the file can't be made.
    """
    is_new_folder = not file.parent.exists()
    descriptor = _inherited(file)
    own = descriptor is None
    if descriptor is None:
        descriptor = _acquired(file, wait)
    lock = Lock(descriptor)
    lock.note(os.getpid())
    try:
        yield lock
    finally:
        with suppress(OSError):
            if own:
                file.unlink()
            if is_new_folder:
                file.parent.rmdir()
        os.close(descriptor)


def owner(file: Path) -> str | None:
    """The process that holds the lock of this file; None if it is free."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _try(descriptor, exclusive=False) else _noted(descriptor)
    finally:
        os.close(descriptor)


def _inherited(file: Path) -> int | None:
    """The descriptor of this lock if inherited from the parent process, else None."""
    number = os.environ.get(INHERITED, "")
    try:
        return int(number) if os.path.samestat(os.fstat(int(number)), file.stat()) else None
    except (ValueError, OSError, OverflowError):
        return None


def _acquired(file: Path, wait: bool) -> int:
    """Take the lock; its descriptor."""
    start, told = time.monotonic(), False
    while isinstance(other := _taken(file), str):
        if time.monotonic() - start > MOMENT:
            if not wait:
                raise InOtherHandsError(file, other)
            if not told:
                print(f"Waiting for {other}, which works in {file.parent}", file=sys.stderr)
                told = True
        time.sleep(MOMENT / 10)
    return other


def _taken(file: Path) -> int | str:
    """Try to take the lock: its descriptor, or the name of the process that holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError), ExitStack() as opened:  # its owner may remove the folder
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        opened.callback(os.close, descriptor)
        if not _try(descriptor):
            return _noted(descriptor)
        # The previous owner may just have removed the file, and a third process made a new one.
        if os.path.samestat(os.fstat(descriptor), file.stat()):
            opened.pop_all()
            return descriptor
    return SOMEBODY


def _try(descriptor: int, exclusive: bool = True) -> bool:
    """Lock an open file; False if another process has it locked."""
    try:
        if fcntl is None:
            raise OSError("this system has none")
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        warnings.warn(
            f"There are no locks here ({error.strerror or error}): see to it that no two "
            "processes write to the same folder",
            stacklevel=2,
        )
    return True


def _noted(descriptor: int) -> str:
    """The process that holds the lock, as it has noted itself."""
    text = os.pread(descriptor, 300, 0).decode(errors="replace")
    return f"{SOMEBODY} ({text})" if re.fullmatch(r"pid \d+ on [\w.-]+", text) else SOMEBODY
