"""Images in rows of tables."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datamodules.sources import Source
from datamodules.stores.reading import Stamp, lines_of
from datamodules.stores.table_files import unpacked


class Row(NamedTuple):
    """Where an image lies: its file, the group of rows in it, and the row in the group."""

    file: int
    group: int
    row: int


class SourceOfRows(Source):
    """Rows of tables.

    Args:
        files: the tables.
        column: of the images.
        names: of the images.
        rows: where they lie.
    """

    def __init__(
        self, files: Sequence[Stamp], column: str, names: Sequence[str], rows: Sequence[Row]
    ) -> None:
        self.files, self.column, self.names, self.rows = files, column, names, rows

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        """Return the table's path, and the number of the row or the name beside the image."""
        return f"{self.files[self.rows[index].file].path}: {self.names[index].rpartition('/')[2]}"

    def read(self, index: int) -> bytes:
        """Return an image's bytes."""
        row = self.rows[index]
        held = unpacked(self.files[row.file], self.column, row.group)[row.row].as_py()
        data = held.get("bytes") if isinstance(held, dict) else held
        if not isinstance(data, bytes):
            raise OSError("has no bytes: write the table with the images in it")
        return data

    def made_of(self) -> Iterator[str]:
        """Yield each table's size and time of change, and each row's place."""
        yield from lines_of(self.files)
        for name, row in zip(self.names, self.rows, strict=True):
            yield f"{name} {' '.join(map(str, row))}"
