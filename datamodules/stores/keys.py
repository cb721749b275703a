"""Images in LMDB databases."""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from datamodules.sources import Source
from datamodules.stores.reading import Stamp, check, lines_of
from minmax.errors import UserError


class SourceOfKeys(Source):
    """Values of databases.

    Args:
        stamps: the databases' files.
        files: number of each image's database.
        keys: of the images.
    """

    def __init__(self, stamps: Sequence[Stamp], files: Sequence[int], keys: Sequence[str]) -> None:
        self.stamps, self.files, self.keys = stamps, files, keys

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, index: int) -> str:
        """Return the database's path and the key."""
        return f"{os.path.dirname(self.stamps[self.files[index]].path)}: {self.keys[index]}"

    def read(self, index: int) -> bytes:
        """Return an image's bytes."""
        with opened(self.stamps[self.files[index]], os.getpid()).begin() as transaction:
            data = transaction.get(self.keys[index].encode("utf-8", "surrogateescape"))
        if not isinstance(data, bytes):
            raise OSError("is no longer there")
        return data

    def made_of(self) -> Iterator[str]:
        """Yield each database's size and time of change, and each key."""
        yield from lines_of(self.stamps)
        yield from (f"{file} {key}" for file, key in zip(self.files, self.keys, strict=True))


def keys_of(stamp: Stamp) -> list[str]:
    """List the keys of a database."""
    with opened(stamp, os.getpid()).begin() as transaction:
        keys = transaction.cursor().iternext(keys=True, values=False)
        return [key.decode("utf-8", "surrogateescape") for key in keys]


@lru_cache(64)
def opened(stamp: Stamp, process: int) -> Any:
    """Open a database, once a process: it may not be carried over a fork.

    Raises:
        UserError: it is damaged, or the library is missing.
        OSError: it changed, or is gone.
    """
    folder = os.path.dirname(stamp.path)
    try:
        import lmdb
    except ImportError as error:
        raise UserError(
            f'`root` leads to {folder}, which is read by the package lmdb: pip install ".[lmdb]"'
        ) from error
    check(stamp)
    try:
        database = lmdb.open(folder, readonly=True, lock=False, readahead=False, create=False)
    except lmdb.Error as error:
        raise UserError(
            f"`root` leads to {folder}, which is no whole LMDB database ({error}): it is damaged or"
            " was copied in part; copy it again."
        ) from error
    # Pages beyond the file's end would kill the process when they are read.
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    if needed > stamp.size:
        database.close()
        raise UserError(
            f"`root` leads to {stamp.path}, which has {stamp.size:,} of its {needed:,} bytes: copy"
            " it again."
        )
    return database
