"""LSUN's databases: images by their keys in LMDB.

Yu et al. 2015, https://arxiv.org/abs/1506.03365; https://github.com/fyu/lsun
"""

import re
from collections.abc import Sequence
from pathlib import Path

from datamodules.leftovers import LeftOut
from datamodules.searching import Folder
from datamodules.split_names import split_of
from datamodules.stores.keys import SourceOfKeys, keys_of
from datamodules.stores.reading import Stamp, stamp_of
from datamodules.stores.store import Store, table_of

DATA = "data.mdb"
_NAMED = re.compile(r"(.+?)_([a-z]+)_lmdb")


def databases(folder: Path) -> list[Path]:
    """The databases that a folder is, or holds."""
    if (folder / DATA).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{DATA}"))


class Lsun(Store):
    """A database, or a folder of databases called CLASS_train_lmdb and CLASS_val_lmdb.

    An image is called by its key. A single database is one class.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stamps: list[Stamp] = []
        self.places: dict[str, int] = {}

    def search(self, left_out: LeftOut) -> Folder:
        """List the keys."""
        folders = databases(self.path)
        self.stamps = [stamp_of(folder / DATA) for folder in folders]
        rows = []
        for number, (folder, stamp) in enumerate(zip(folders, self.stamps, strict=True)):
            match = _NAMED.fullmatch(folder.name)
            place = ""
            if len(folders) > 1:
                split = match and split_of(match[2])
                place = f"{split}/{match[1]}/" if match and split else f"{folder.name}/"
            self.places[place] = number
            keys = keys_of(stamp)
            rows += [(place, key, (number, row)) for row, key in enumerate(keys)]
        return table_of(rows)

    def source(self, paths: Sequence[str]) -> SourceOfKeys:
        """Return the images of these keys."""
        places = [next(filter(path.startswith, self.places)) for path in paths]
        keys = [path.removeprefix(place) for path, place in zip(paths, places, strict=True)]
        return SourceOfKeys(self.stamps, [self.places[place] for place in places], keys)
