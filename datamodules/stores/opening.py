"""Which kind of store `root` names."""

from pathlib import Path

from datamodules.leftovers import LeftOut
from datamodules.searching import Folder, holds_images
from datamodules.stores.arrays import Arrays
from datamodules.stores.folders import Files
from datamodules.stores.lsun import Lsun, databases
from datamodules.stores.pieces import is_pattern, pieces_below, pieces_of
from datamodules.stores.store import Store
from datamodules.stores.tables import SUFFIXES, Tables
from datamodules.stores.tars import Tars
from datamodules.stores.zips import Zip
from minmax.errors import MissingError, UserError

KINDS = "a folder, or a .zip, .tar, .parquet, .arrow, .npz or .npy file"


def open_store(root: Path) -> tuple[Store, Folder, LeftOut]:
    """Find the images.

    Args:
        root: a folder or a file, or shards: name-{000..099}.tar.

    Returns:
        What holds them, how they are arranged, and what is no image.

    Raises:
        MissingError: it is not there.
        UserError: it is a file of another kind, or damaged.
    """
    store, left_out = _store(root), LeftOut()
    tree = store.search(left_out)
    if isinstance(store, Files) and not holds_images(tree):
        for suffixes, kind in ((SUFFIXES, Tables), ((".tar",), Tars)):
            if pieces := pieces_below(store.path, suffixes):
                store, left_out = kind(store.path, pieces), LeftOut()
                return store, store.search(left_out), left_out
    return store, tree, left_out


def _store(path: Path) -> Store:
    suffix = path.suffix.lower()
    if path.is_dir():
        return Lsun(path) if databases(path) else Files(path)
    pattern = is_pattern(str(path)) and not path.is_file()
    if not pattern and not path.is_file():
        raise MissingError(
            f"`root` is {str(path)!r}, but there is no such folder or file (searched"
            f" {path.absolute()}): give {KINDS}, with images in it."
        )
    if suffix == ".tar":
        return Tars(path, pieces_of(path))
    if suffix in SUFFIXES:
        return Tables(path, pieces_of(path))
    if suffix == ".zip" and not pattern:
        return Zip(path)
    if suffix in (".npz", ".npy") and not pattern:
        return Arrays(path)
    raise UserError(
        f"`root` is {str(path)!r}, but must be {KINDS}; of .tar, .parquet and .arrow also many, as"
        " in name-{000..099}.tar. Unpack other archives, also compressed ones as .tar.gz."
    )
