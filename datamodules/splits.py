"""Which folders are splits, and which are classes."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datamodules.classes import Classes, called
from datamodules.leftovers import LeftOut
from datamodules.names import few
from datamodules.searching import Folder, Found, holds_images, images_below
from datamodules.split_names import WORDS, split_of, splits_among
from minmax.errors import MissingError, UserError

SINGLE_CLASS = "image"
DEEPEST = 4


@dataclass(frozen=True)
class Place:
    """A folder, and how it is reached."""

    path: Path
    folder: Folder
    linked: bool = False

    def inside(self, name: str) -> "Place":
        """The place of one of its folders."""
        folder, by_link = self.folder.folders[name]
        return Place(self.path / name, folder, self.linked or by_link)

    @cached_property
    def filled(self) -> list[str]:
        """Names of its folders that hold images."""
        return [name for name, (inner, _) in self.folder.folders.items() if holds_images(inner)]

    @property
    def empty(self) -> list[str]:
        """Names of its folders that hold none."""
        filled = {*self.filled}
        return [name for name in self.folder.folders if name not in filled]


def find_splits(root: Place, classes: Classes, left_out: LeftOut) -> tuple[Place, Place] | None:
    """The folders of the images to train on and of those held out; None if there are no splits.

    A single one to train on is both.

    Args:
        root: where to look; if it holds a single folder, that one is searched.
        classes: the selected classes. If all of them are folders there, there are no splits.
        left_out: receives splits and folders that are not used.

    Raises:
        UserError: splits lie beside other folders or images, or contradict each other.
    """
    for _ in range(DEEPEST):
        splits = _splits_in(root, classes)
        if splits or root.folder.images or len(root.filled) != 1:
            break
        root = root.inside(root.filled[0])
    if not splits:
        return None
    beside = [name for name in root.filled if name not in splits]
    beside += [name for name, _, _ in root.folder.images]
    train = [name for name, word in splits.items() if word == "train"]
    order = list(WORDS)
    held_out = sorted(splits.keys() - set(train), key=lambda name: order.index(splits[name]))
    same = [name for name in held_out if splits[name] == splits[held_out[0]]]
    if beside or len(train) != 1 or len(same) > 1:
        also = f" beside {few(beside)}" if beside else ""
        raise UserError(
            f"`root` leads to {root.path}, which holds {few([*splits], 9)}{also}:"
            " these names mean splits, and there must be one to train on, at most one of a kind to"
            " hold out, and nothing beside them. Move the others away,"
            f" {_as_classes(root)}"
        )
    for name in held_out[1:]:
        left_out.add("splits that are not used", name)
    for name in root.empty:
        left_out.add("folders without images", name)
    places = [_narrowed(root.inside(name)) for name in [*train, *held_out[:1]]]
    return places[0], places[-1]


def _splits_in(place: Place, classes: Classes) -> dict[str, str]:
    """The folders that have names of splits and can't be classes, each with its split."""
    names = place.filled
    if classes and all(called(value, names) for value in classes):
        return {}
    splits = splits_among(names)
    inner = [place.folder.folders[name][0] for name in names]
    alike = all(folder.images and not folder.folders for folder in inner)
    trains = [name.lower() for name in splits] == ["train"] and len(names) > 1 and alike
    return {} if trains else splits  # many data sets have a class of trains


def _as_classes(place: Place) -> str:
    names = ", ".join(f'"{name}"' for name in place.filled[:9])
    return f"or, if these are classes, name them: `classes` '[{names}]'."


def _narrowed(place: Place) -> Place:
    """The folder of the same split within a folder of a split: archives often have it."""
    for _ in range(DEEPEST):
        if place.folder.images or len(place.filled) != 1:
            break
        name, inner = place.path.name, place.filled[0]
        if inner != name and (split_of(name) is None or split_of(inner) != split_of(name)):
            break
        place = place.inside(place.filled[0])
    return place


def find_classes(
    place: Place, classes: Classes, left_out: LeftOut, known: Collection[str] = ()
) -> dict[str, list[Found]]:
    """The images of each class in a split's folder; their paths count from there.

    Args:
        place: the split's folder.
        classes: the selected classes.
        left_out: receives links to what was read already.
        known: names of the classes in the other split, which are not taken for splits.

    Raises:
        MissingError: there are no images.
        UserError: images lie beside folders, a folder has no images, or a folder is a split.
    """
    direct, shown = place.folder.images, f"`root` leads to {place.path.absolute()},"
    if direct and place.filled:
        raise UserError(
            f"{shown} which holds both images ({direct[0][0]}, ...) and folders with images: move"
            " the images into class folders, or all into one folder."
        )
    if direct:
        alone = Folder(direct)
        return {SINGLE_CLASS: images_below(alone, place.linked, left_out, str(place.path))}
    _refuse_none(place, left_out)
    if place.empty:
        besides = f" Left out: {left_out}." if str(left_out) else ""
        raise UserError(
            f"{shown} whose folder {place.empty[0]} holds no images: every folder there is a class;"
            f" fill it, or move it away.{besides}"
        )
    if splits := _splits_in(place, classes).keys() - set(known):
        raise UserError(
            f"{shown} whose folder {few([*splits])} has the name of a split: move it,"
            f" {_as_classes(place)}"
        )
    found = {}
    for name in place.filled:
        inner = place.inside(name)
        found[name] = images_below(
            inner.folder, inner.linked, left_out, str(place.path), f"{name}/"
        )
        _refuse_splits_in(place.path, found[name])
    return found


def find_all(place: Place, left_out: LeftOut) -> list[Found]:
    """All images in a split's folder, whose classes are told elsewhere; paths count from there.

    Raises:
        MissingError: there are none.
        UserError: there is a split somewhere.
    """
    _refuse_none(place, left_out)
    found = images_below(place.folder, place.linked, left_out, str(place.path))
    _refuse_splits_in(place.path, found)
    return found


def _refuse_none(place: Place, left_out: LeftOut) -> None:
    if not place.folder.images and not place.filled:
        raise MissingError(
            f"`root` leads to {place.path.absolute()}, which holds no images (.png, .jpg and"
            " whatever Pillow reads): give a folder with images or with one folder a class."
            + (f" Left out: {left_out}." if str(left_out) else "")
        )


def _refuse_splits_in(folder: Path, images: list[Found]) -> None:
    """Refuse splits in a class: their held-out images would be trained on."""
    inner = defaultdict[str, set[str]](set)
    for path in {file.path.rpartition("/")[0] for file in images}:
        parts = path.split("/")
        for depth, name in enumerate(parts[1:], 1):
            inner["/".join(parts[:depth])].add(name)
    for place, names in inner.items():
        splits = splits_among(names)
        if "train" in splits.values() and {*splits.values()} != {"train"}:
            raise UserError(
                f"`root` leads to a class with splits in it: {folder / place} holds"
                f" {' and '.join(sorted(splits))}. Put the classes into folders of splits"
                " instead: train/CLASS and test/CLASS."
            )
