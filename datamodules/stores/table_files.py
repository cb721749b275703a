"""Parquet and Arrow files, read in groups of rows."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from datamodules.stores.reading import MOST_OPEN, Stamp, check
from minmax.errors import UserError

HELD_BYTES = 2**29
"""Of unpacked rows that a process keeps, so that a group of neighbours is unpacked once."""

_END = b"\xff\xff\xff\xff\0\0\0\0"
_WHOLE_FILE = b"ARROW1"
_held: OrderedDict[tuple[Stamp, str, int], Any] = OrderedDict()
_lock = Lock()


class Parquet:
    """A Parquet file.

    Attributes:
        schema: PyArrow's.
        sizes: number of rows in each group.
    """

    def __init__(self, path: str) -> None:
        from pyarrow.parquet import ParquetFile

        self._file = ParquetFile(path, memory_map=True)
        self.schema: Any = self._file.schema_arrow
        groups = range(self._file.num_row_groups)
        self.sizes = [int(self._file.metadata.row_group(group).num_rows) for group in groups]

    def column(self, name: str, part: str = "") -> list[Any]:
        """Return all values of a column, or of a part of its structs."""
        values = self._file.read(columns=[f"{name}.{part}" if part else name], use_threads=False)
        values = values.column(0).to_pylist()
        return [row and row[part] for row in values] if part else values

    def group(self, name: str, group: int) -> Any:
        """Return a column's values in a group of rows, as an array of PyArrow."""
        table = self._file.read_row_group(group, columns=[name], use_threads=False)
        return table.column(0).combine_chunks()


class Arrow:
    """An Arrow file of either kind, mapped into memory. Attributes as for `Parquet`."""

    def __init__(self, path: str) -> None:
        from pyarrow import ArrowInvalid, ipc, memory_map

        with open(path, "rb") as file:
            whole = file.read(len(_WHOLE_FILE)) == _WHOLE_FILE
            file.seek(max(0, os.path.getsize(path) - len(_END)))
            if not whole and file.read() != _END:
                raise ArrowInvalid("it has no end mark")
        reader = (ipc.open_file if whole else ipc.open_stream)(memory_map(path))
        self.schema: Any = reader.schema
        self._batches = reader.read_all().to_batches()
        self.sizes = [len(batch) for batch in self._batches]

    def column(self, name: str, part: str = "") -> list[Any]:
        """Return all values of a column, or of a part of its structs."""
        columns = [batch.column(name) for batch in self._batches]
        columns = [column.field(part) for column in columns] if part else columns
        return [value for column in columns for value in column.to_pylist()]

    def group(self, name: str, group: int) -> Any:
        """Return a column's values in a group of rows, as an array of PyArrow."""
        return self._batches[group].column(name)


@lru_cache(MOST_OPEN)
def opened(stamp: Stamp) -> Parquet | Arrow:
    """Open a table.

    Raises:
        UserError: it is damaged, or PyArrow is missing.
        OSError: it changed, or is gone.
    """
    check(stamp)
    with needing_pyarrow(stamp.path):
        return (Parquet if stamp.path.lower().endswith(".parquet") else Arrow)(stamp.path)


def unpacked(stamp: Stamp, column: str, group: int) -> Any:
    """Return a column's values in a group of rows, which are kept for a while.

    Raises:
        OSError: the table is damaged, changed, or is gone.
    """
    key = stamp, column, group
    with _lock:
        if key not in _held:
            table = opened(stamp)
            try:
                _held[key] = table.group(column, group)
            except ValueError as error:  # PyArrow's
                reason = " ".join(str(error).split())
                raise OSError(f"can't be unpacked ({reason}): its table is damaged") from error
            while len(_held) > 1 and sum(rows.nbytes for rows in _held.values()) > HELD_BYTES:
                _held.popitem(last=False)
        _held.move_to_end(key)
        return _held[key]


@contextmanager
def needing_pyarrow(path: str | Path) -> Iterator[None]:
    """Turn errors of PyArrow, or that it is missing, into one line.

    Raises:
        UserError: either.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UserError(
            f'`root` leads to {path}, which is read by PyArrow: pip install ".[parquet]"'
        ) from error
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"`root` leads to {path}, which is no whole table ({' '.join(str(error).split())}): it"
            " is damaged or was copied in part; copy it again."
        ) from error
