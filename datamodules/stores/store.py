"""What holds the images that `root` names: a folder, an archive, a table."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datamodules.leftovers import LeftOut
from datamodules.searching import Folder, file_left_out, name_left_out
from datamodules.sources import Source
from minmax.errors import UserError

Identity = tuple[int, int]


@dataclass(frozen=True)
class Labels:
    """The class of each image.

    Attributes:
        where: what messages call the place of the labels.
        of: names of classes by the image's path; None if all images are of one class.
        names: of all classes, in order.
    """

    where: str
    of: dict[str, str] | None
    names: list[str]


class Store(ABC):
    """Images by path, which is what their splits and classes are read from.

    Args:
        path: of the store; the images' paths count from there.
    """

    fields: ClassVar[str] = ""  # what `labels` may name in such a store

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def search(self, left_out: LeftOut) -> Folder:
        """Find the images."""

    @abstractmethod
    def source(self, paths: Sequence[str]) -> Source:
        """Return the images of these paths."""

    def attached(self, path: str) -> bytes | None:
        """Return what a file that is no image holds; None if there is none of this path."""
        return None

    def labels(self, field: str | None) -> Labels | None:
        """Return the labels that lie beside the images; None if there are none.

        Args:
            field: which of several; None means the usual one.

        Raises:
            UserError: there are none of this name.
        """
        if field is not None:
            raise UserError(
                f"`labels` is {field!r}, but must be auto, none, or a .csv or .json file"
                f"{self.fields}."
            )
        return None


def as_class(value: object) -> str | None:
    """The name of the class that a label means: a text or a whole number; None if it is neither."""
    if type(value) is int:
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def in_order(labels: Iterable[str]) -> list[str]:
    """Names of classes: numbers by their value, other names by the alphabet."""
    names = {*labels}
    return sorted(names, key=(lambda name: (int(name), name)) if _numbers(names) else None)


def _numbers(names: Iterable[str]) -> bool:
    return all(name.removeprefix("-").isdecimal() for name in names)


def tree_of(members: Iterable[tuple[str, Identity]], left_out: LeftOut) -> Folder:
    """Arrange the members of an archive as `search` finds the same files in folders.

    Args:
        members: paths, those of folders with a slash at the end, each with a number for itself;
            of two members of one path the last one counts.
        left_out: receives what is no image.
    """
    top = Folder()
    known: dict[str, Folder | None] = {"": top}

    def folder_of(path: str) -> Folder | None:
        """The folder of a path; None if it is left out."""
        if path not in known:
            above, _, name = path.rpartition("/")
            parent, here = folder_of(above), Folder()
            if parent is None or name_left_out(name, left_out):
                known[path] = None
            else:
                parent.folders[name], known[path] = (here, False), here
        return known[path]

    for path, identity in dict(members).items():
        above, _, name = path.rpartition("/")
        folder = folder_of(above)
        if folder is not None and name and not file_left_out(name, left_out):
            folder.images.append((name, identity, False))
    for folder in known.values():
        if folder is not None:
            folder.images.sort()
            folder.folders = dict(sorted(folder.folders.items()))
    return top


def table_of(rows: Iterable[tuple[str, str, Identity]]) -> Folder:
    """Arrange the rows of a table in their order.

    Args:
        rows: of each its folder, with slashes at the end of each part; its name; and a number for
            itself.
    """
    top = Folder()
    known = {"": top}
    for place, name, identity in rows:
        if place not in known:
            here, path = top, ""
            for part in place.split("/")[:-1]:
                path += f"{part}/"
                here, _ = here.folders.setdefault(part, (Folder(), False))
                known[path] = here
        known[place].images.append((name, identity, False))
    return top


def plain_path(name: str) -> str | None:
    """A member's path without `./`; None if it leads out of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts or name.startswith("/") else "/".join(parts)
