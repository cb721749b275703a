"""The prepared sets that lie in a folder: listed, checked, deleted."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy
from tqdm import tqdm

from datamodules.chunks import root_of
from datamodules.description import LABELS, DamagedError, Description, labels_hash
from datamodules.names import few
from datamodules.workers import done
from minmax.errors import UserError
from minmax.files import discard
from minmax.lock import locked

NAMED = r".+-[0-9a-f]{20}(\.part)?"


@dataclass(frozen=True)
class Kept:
    """A prepared set, finished or not.

    Attributes:
        folder: where it lies.
        description: None if it is unfinished or damaged.
        damage: what is wrong.
    """

    folder: Path
    description: Description | None = None
    damage: str = ""

    def __str__(self) -> str:
        """Its name, and a line about it."""
        return f"{self.folder.name}  {self.description or self.damage}"

    @property
    def bytes(self) -> int:
        """That it takes on the disk."""
        return sum(file.stat().st_blocks * 512 for file in self.folder.iterdir())

    def check(self) -> str:
        """Read all of it; what is wrong, empty if nothing is."""
        if self.description is None:
            return self.damage
        file = self.description.file(self.folder)
        digests = [""] * len(file.chunks)
        with tqdm(total=file.bytes, desc="Checking", unit="B", unit_scale=True, delay=1) as bar:
            for chunk, digest in done(file.digest, file.chunks):
                digests[chunk] = digest
                bar.update(len(file.images(chunk)) * file.image_bytes)
        if root_of(digests) != self.description.pixels:
            return f"is damaged: the pixels in {file.path} are not those that were written"
        labels = self.folder / LABELS
        try:
            whole = labels_hash(numpy.load(labels).tolist()) == self.description.labels
        except (OSError, ValueError, EOFError):
            whole = False
        return (
            "" if whole else f"is damaged: the labels in {labels} are not those that were written"
        )

    def delete(self) -> None:
        """Remove it, if no process makes it.

        Raises:
            UserError: a process does.
        """
        with locked(self.folder.with_suffix(".lock")):
            discard(self.folder)


def kept_sets(home: Path) -> list[Kept]:
    """All sets in a folder, by name."""
    found = []
    for folder in sorted(home.glob("*")):
        if not (folder.is_dir() and re.fullmatch(NAMED, folder.name)):
            continue
        if folder.suffix:
            found.append(Kept(folder, damage="is unfinished: the next start goes on with it"))
            continue
        try:
            found.append(Kept(folder, Description.read(folder)))
        except DamagedError as error:
            found.append(Kept(folder, damage=f"is damaged: {error}"))
    return found


def chosen(sets: list[Kept], names: list[str], home: Path) -> list[Kept]:
    """The sets of these names; all if there is none.

    Raises:
        UserError: a name is unknown.
    """
    there = {kept.folder.name: kept for kept in sets}
    if unknown := [name for name in names if name not in there]:
        raise UserError(
            f"there is no prepared set {few(unknown)} in {home}: choose from "
            f"{few([*there], 20) or 'none'}"
        )
    return [there[name] for name in names] or sets
