"""Tables of images: Parquet and Arrow files, as HuggingFace's `datasets` writes them.

https://huggingface.co/docs/datasets/image_load
"""

import json
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from datamodules.leftovers import LeftOut
from datamodules.names import few
from datamodules.searching import Folder
from datamodules.stores.pieces import Piece
from datamodules.stores.reading import Stamp, stamp_of
from datamodules.stores.rows import Row, SourceOfRows
from datamodules.stores.store import Labels, Store, as_class, in_order, table_of
from datamodules.stores.table_files import Arrow, Parquet, needing_pyarrow, opened
from minmax.errors import UserError

SUFFIXES = (".parquet", ".arrow")
_IMAGES = ("image", "img", "picture", "photo")
_LABELS = ("label", "labels", "class", "fine_label")


class Tables(Store):
    """Parquet or Arrow files with one image in each row.

    An image is called by the path that stands beside its bytes if all have one and no two the
    same, else by its file and the number of its row. Rows keep their order.

    Args:
        path: what messages call them.
        pieces: the files.
    """

    fields = ", or a column of the table"

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        super().__init__(path)
        self.pieces = pieces
        self.column = ""
        self.stamps: list[Stamp] = []
        self.rows: dict[str, Row] = {}

    def search(self, left_out: LeftOut) -> Folder:
        """Number the rows, and read the paths of their images."""
        self.stamps = [stamp_of(piece.path) for piece in self.pieces]
        schema = opened(self.stamps[0]).schema
        self.column = self._images(schema)
        names, rows = list[str](), list[Row]()
        for number, stamp in enumerate(self.stamps):
            table = opened(stamp)
            if not _alike(table.schema, schema, self.column):
                raise UserError(
                    f"`root` leads to {stamp.path}, whose column {self.column} is missing or of"
                    f" another type than in {self.stamps[0].path}: give files of one data set."
                )
            for group, size in enumerate(table.sizes):
                rows += [Row(number, group, row) for row in range(size)]
            with needing_pyarrow(stamp.path):
                names += self._paths(table) or [""] * (len(rows) - len(names))
        splits = [self.pieces[row.file].split for row in rows]
        if not all(names) or len({*zip(splits, names, strict=True)}) < len(names):
            names = self._numbered(rows)
        placed = list(zip(splits, names, rows, strict=True))
        self.rows = {f"{split}{name}": row for split, name, row in placed}
        return table_of(
            (split, name, (row.file, row.group << 32 | row.row)) for split, name, row in placed
        )

    def _numbered(self, rows: Sequence[Row]) -> list[str]:
        """Each row's file and number."""
        files = [piece.path.with_suffix("") for piece in self.pieces]
        above = os.path.commonpath([file.parent for file in files])
        stems = [file.relative_to(above).as_posix() for file in files]
        counters = [count() for _ in files]
        return [f"{stems[row.file]}/{next(counters[row.file]):08}" for row in rows]

    def _paths(self, table: Parquet | Arrow) -> list[str] | None:
        """The paths beside the images' bytes, if there are any; some may be empty."""
        kind = table.schema.field(self.column).type
        if not hasattr(kind, "get_field_index") or kind.get_field_index("path") < 0:
            return None
        return [path or "" for path in table.column(self.column, "path")]

    def _images(self, schema: Any) -> str:
        """The column of the images.

        Raises:
            UserError: there is none, or more than one.
        """
        import pyarrow

        described = _features(schema)
        found = [
            name
            for name, kind in described.items()
            if kind.get("_type") == "Image" and name in schema.names
        ]
        if not found:
            kinds = pyarrow.types
            tests = (kinds.is_struct, kinds.is_binary, kinds.is_large_binary)
            found = [field.name for field in schema if any(test(field.type) for test in tests)]
        usual = [name for name in _IMAGES if name in found]
        if len(found) != 1 and not usual:
            raise UserError(
                f"`root` leads to {self.stamps[0].path}, which must have one column of images, but"
                f" has {len(found)} of {few(schema.names, 9)}: name it image (bytes of PNG or JPEG"
                " files, or a struct of bytes and path)."
            )
        return usual[0] if usual else found[0]

    def labels(self, field: str | None) -> Labels | None:
        """Return a column's classes, with their names if the file's description has them."""
        schema = opened(self.stamps[0]).schema
        described = _features(schema)
        classes = [name for name in described if described[name].get("_type") == "ClassLabel"]
        usual = [*classes, *(name for name in _LABELS if name in schema.names)]
        column = next(iter(usual), None) if field is None else field
        if column not in schema.names:
            return super().labels(field)
        names: list[str] | None = described.get(str(column), {}).get("names")
        values = list[Any]()
        for stamp in self.stamps:
            with needing_pyarrow(stamp.path):
                values += opened(stamp).column(str(column))
        of = dict[str, str]()
        for path, value in zip(self.rows, values, strict=True):
            label = as_class(value)
            if names is not None and isinstance(value, int):
                label = names[value] if 0 <= value < len(names) else None
            if label is not None:
                of[path] = label  # other images have no label, which is refused later
        return Labels(f"{self.path} (column {column})", of, names or in_order(of.values()))

    def source(self, paths: Sequence[str]) -> SourceOfRows:
        """Return the rows of these names."""
        return SourceOfRows(self.stamps, self.column, paths, [self.rows[path] for path in paths])


def _alike(schema: Any, first: Any, column: str) -> bool:
    return column in schema.names and schema.field(column).type == first.field(column).type


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """What `datasets` says of the columns."""
    try:
        held = json.loads((schema.metadata or {})[b"huggingface"])
        return {name: kind for name, kind in held["info"]["features"].items() if "_type" in kind}
    except (KeyError, TypeError, ValueError):
        return {}
