"""The one kind of error that is the user's to mend, and not a bug."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""What the system says of a disk, whatever a program does."""


class UserError(ValueError):
    """Wrong input: the command line shows its message in one line, without a traceback.

    The message says what was given, what is allowed, and what to change. It names arguments as
    Python does, between backticks (`` `image_size` ``); the command line puts its options there.
    """


class MissingError(UserError, FileNotFoundError):
    """A file or a folder that was named is not there."""


class UnreachableError(UserError, ConnectionError):
    """What is to be downloaded can't be reached."""


@contextmanager
def files_named() -> Iterator[None]:
    """Turn what the system says of a file into a line, where all files are those the user named.

    Raises:
        UserError: a file is missing, or can't be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or isinstance(error, UserError):
            raise
        raise UserError(f"{error.filename}: {error.strerror}") from error


def modules_of(error: BaseException) -> list[str]:
    """The modules of the calls that led to an exception, the outermost first."""
    return [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]


def passes_through(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Whether code of one of these packages was running when an exception was raised."""
    return any(f"{module}.".startswith(f"{p}.") for module in modules_of(error) for p in packages)
