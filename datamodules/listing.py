"""Listing the images of a folder by split and class."""

from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from datamodules.classes import Classes, select_classes
from datamodules.leftovers import LeftOut
from datamodules.names import few, printable
from datamodules.once import each_once
from datamodules.searching import search
from datamodules.splits import Place, find_classes, find_splits
from minmax.errors import UserError

Files = list[tuple[str, int]]
"""A file's path relative to the folder of its split, and the number of its class."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        names: names of all classes.
        train_folder: folder of the images to train on.
        train: training images of the selected classes.
        held_out_folder: folder of the held-out images; `train_folder` if there are no splits.
        held_out: held-out images of the selected classes; `train` if there are no splits.
    """

    names: list[str]
    train_folder: Path
    train: Files
    held_out_folder: Path
    held_out: Files


def list_images(root: Path, classes: Classes) -> Listing:
    """Find splits, classes and images; print in a line what was left out.

    Args:
        root: the folder.
        classes: the selected classes; None means all.

    Raises:
        MissingError: there are no images.
        UserError: it is unclear what is a split or a class, or a class is unknown.
    """
    left_out = LeftOut()
    place = Place(root, search(root, left_out))
    train, held_out = find_splits(place, classes, left_out) or (place, place)
    found = {train.path: find_classes(train, classes, left_out)}
    if held_out.path != train.path:
        found[held_out.path] = find_classes(held_out, classes, left_out, found[train.path])
    names, others = list(found[train.path]), list(found[held_out.path])
    if not set(others) <= set(names):
        raise UserError(
            f"`root` is {str(root)!r}, but the classes in {held_out.path.name}/"
            f" ({few(others)}) are not all in {train.path.name}/ ({few(names)}): give both the"
            " same class folders."
        )
    selected = sorted(select_classes(names, classes))
    groups = {
        (split, label): images[names[label]]
        for split, images in found.items()
        for label in selected
        if names[label] in images
    }
    files = {split: Files() for split in found}
    for (split, label), images in each_once(groups, left_out).items():
        files[split] += [(image.path, label) for image in images]
        if not images:
            raise UserError(
                f"`root` leads to {split / names[label]}, which holds only links to"
                f" images that are read elsewhere ({left_out}): remove it, or give it images of"
                " its own."
            )
    if str(left_out):
        rank_zero_info(f"Left out of {printable(str(root))}: {left_out}.")
    return Listing(names, train.path, files[train.path], held_out.path, files[held_out.path])
