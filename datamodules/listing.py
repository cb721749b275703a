"""Listing the images of a store by split and class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from datamodules.classes import Classes, select_classes
from datamodules.labels import AUTO, by_class, check_known, chosen_labels
from datamodules.leftovers import LeftOut
from datamodules.names import few, printable
from datamodules.searching import MET, Found, Identity
from datamodules.splits import Place, find_all, find_classes, find_splits
from datamodules.stores.opening import open_store
from datamodules.stores.store import Labels, Store
from minmax.errors import UserError

Files = list[tuple[str, int]]
"""A file's path relative to the folder of its split, and the number of its class."""
Group = tuple[Path, int]
"""A split's folder, and the number of a class."""


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes:
        store: what holds the images.
        names: names of all classes.
        train_folder: folder of the images to train on.
        train: training images of the selected classes.
        held_out_folder: folder of the held-out images; `train_folder` if there are no splits.
        held_out: held-out images of the selected classes; `train` if there are no splits.
    """

    store: Store
    names: list[str]
    train_folder: Path
    train: Files
    held_out_folder: Path
    held_out: Files

    def paths(self, folder: Path, files: Files) -> list[str]:
        """The paths in the store of files in a split's folder."""
        above = _below(self.store, folder)
        return [above + path for path, _ in files]


def list_images(root: Path, classes: Classes, option: str = AUTO) -> Listing:
    """Find splits, classes and images; print in a line what was left out.

    Args:
        root: a folder, an archive or a table.
        classes: the selected classes; None means all.
        option: where the labels are.

    Raises:
        MissingError: there are no images.
        UserError: it is unclear what is a split or a class, or a class is unknown or empty.
    """
    store, tree, left_out = open_store(root)
    place = Place(store.path, tree)
    train, held_out = find_splits(place, classes, left_out) or (place, place)
    above = {split.path: _below(store, split.path) for split in (train, held_out)}
    labels = chosen_labels(option, store, ["", *above.values()])
    if labels is None:
        found = {train.path: find_classes(train, classes, left_out)}
        if held_out.path != train.path:
            known = found[train.path]
            found[held_out.path] = find_classes(held_out, classes, left_out, known)
    else:
        check_known(labels, tree)
        whole = {split.path: find_all(split, left_out) for split in (train, held_out)}
        found = {split: by_class(images, labels, above[split]) for split, images in whole.items()}
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
        if not images and labels is None:
            raise UserError(
                f"`root` leads to {split / names[label]}, which holds only links to"
                f" images that are read elsewhere ({left_out}): remove it, or give it images of"
                " its own."
            )
    if labels is not None:
        _refuse_empty(labels, [names[label] for label in selected], found[train.path])
        files = {split: _in_order(files[split], images) for split, images in whole.items()}
    if str(left_out):
        rank_zero_info(f"Left out of {printable(str(root))}: {left_out}.")
    return Listing(store, names, train.path, files[train.path], held_out.path, files[held_out.path])


def each_once(groups: Mapping[Group, list[Found]], left_out: LeftOut) -> dict[Group, list[Found]]:
    """The groups without links to files that a group holds already.

    Raises:
        UserError: two groups hold the same file, both by a link or both without.
    """
    identities = [file.identity for files in groups.values() for file in files]
    if len({*identities}) == len(identities):
        return dict(groups)
    owners: dict[Identity, tuple[Group, Found]] = {}
    dropped = set[tuple[Group, str]]()
    # Files before links to them, so that a file keeps its own path and class.
    for by_link in (False, True):
        for group, files in groups.items():
            for file in files:
                if file.linked is not by_link or file.identity is None:
                    continue
                owner, first = owners.setdefault(file.identity, (group, file))
                if first is file:
                    continue
                if owner != group and first.linked is file.linked:
                    raise UserError(
                        "`root` leads to one file in two ways, "
                        f"{owner[0] / first.path} and {group[0] / file.path}: an image is in one "
                        "class, and either trained on or held out. Delete one of the two."
                    )
                dropped.add((group, file.path))
                left_out.add(MET, str(group[0] / file.path))
    return {
        group: [file for file in files if (group, file.path) not in dropped]
        for group, files in groups.items()
    }


def _below(store: Store, folder: Path) -> str:
    path = folder.relative_to(store.path).as_posix()
    return "" if path == "." else f"{path}/"


def _in_order(files: Files, images: list[Found]) -> Files:
    """Files in the order of a store, in which it is read at full speed."""
    labels = dict(files)
    return [(image.path, labels[image.path]) for image in images if image.path in labels]


def _refuse_empty(labels: Labels, names: list[str], found: dict[str, list[Found]]) -> None:
    if empty := [name for name in names if not found[name]]:
        raise UserError(
            f"`labels`: {labels.where} has {len(empty):,} classes without training images"
            f" ({few(empty)}): name the classes to use in `classes`."
        )
