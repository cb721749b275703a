"""The one kind of error that the user can fix; all others are bugs."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""The system's errors about the disk, which are no bug of the program."""

TOO_LARGE = "can't allocate memory|out of memory|Storage size calculation overflowed"
"""What torch says in a RuntimeError, where others raise a MemoryError."""


class UserError(ValueError):
    """Wrong input: the command line shows its message in one line, without a traceback.

    Functions that refuse something raise it. The message says what was given, what is allowed, and
    what to change. It names arguments as Python does, between backticks (`` `image_size` ``); the
    command line replaces them by options.
    """


class MissingError(UserError, FileNotFoundError):
    """A file or a folder that was named is not there."""


class UnreachableError(UserError, ConnectionError):
    """A download can't be reached."""


@contextmanager
def files_named() -> Iterator[None]:
    """Turn the system's errors about files into one line, in code that opens only user files.

    Raises:
        UserError: a file is missing, or can't be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or isinstance(error, UserError):
            raise
        raise UserError(f"{error.filename}: {error.strerror}") from error


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that the memory isn't enough, of the processor or of a GPU."""
    said = isinstance(error, RuntimeError) and re.search(TOO_LARGE, str(error))
    return bool(said) or isinstance(error, MemoryError)


def beginning_of(error: BaseException) -> str:
    """The beginning of an error's text, in one line."""
    return " ".join(str(error).split())[:200]


def modules_of(error: BaseException) -> list[str]:
    """The modules in an exception's traceback, outermost first."""
    return [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]


def passes_through(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Whether an exception's traceback passes through one of these packages."""
    return any(lies_in(module, packages) for module in modules_of(error))


def lies_in(path: str, packages: tuple[str, ...]) -> bool:
    """Whether an import path leads into one of these packages."""
    return any(path == package or path.startswith(f"{package}.") for package in packages)
