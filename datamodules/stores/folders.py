"""Folders of image files."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.leftovers import LeftOut
from datamodules.searching import Folder, search
from datamodules.sources import SourceOfFiles
from datamodules.stores.store import Store


class Files(Store):
    """A folder."""

    def search(self, left_out: LeftOut) -> Folder:
        """Read all folders below it."""
        return search(self.path, left_out)

    def source(self, paths: Sequence[str]) -> SourceOfFiles:
        """Return the files of these paths."""
        return SourceOfFiles(self.path, paths)

    def attached(self, path: str) -> bytes | None:
        """Return what a file holds; None if there is none of this path."""
        file = Path(self.path, path)
        return file.read_bytes() if file.is_file() else None
