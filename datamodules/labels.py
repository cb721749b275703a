"""Which class each image has: what `labels` says."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from datamodules.kinds import suffix_of
from datamodules.leftovers import LeftOut
from datamodules.names import few, printable
from datamodules.searching import INDEX, Folder, Found, images_below
from datamodules.splits import SINGLE_CLASS
from datamodules.stores.store import Labels, Store, as_class, in_order
from minmax.errors import MissingError, UserError, files_named

AUTO, NONE = "auto", "none"
_PATHS = ("path", "file_name", "filename", "file")
_LABEL = "label"


def chosen_labels(option: str, store: Store, folders: Sequence[str]) -> Labels | None:
    """Return the labels that an option means; None if folders are classes.

    Args:
        option: `auto`, `none`, a file, or what lies in the store.
        store: what holds the images.
        folders: where a dataset.json may lie, as paths in the store with a slash at the end.

    Raises:
        MissingError: the file is not there.
        UserError: it is wrong, or the store has no such labels.
    """
    if option == NONE:
        return Labels(NONE, None, [SINGLE_CLASS])
    if option == AUTO:
        return store.labels(None) or _of_index(store, folders)
    if suffix_of(option) not in (".csv", ".json"):
        return store.labels(option)
    file = Path(option).expanduser()
    if not file.is_file():
        raise MissingError(f"`labels` is {option!r}, but there is no such file: give its path.")
    with files_named():
        data = file.read_bytes()
    if suffix_of(option) == ".csv":
        return _labels(str(file), _rows(str(file), data))
    held = _json(str(file), data)
    ours = isinstance(held.get("labels", ""), list | None)
    return _labels(str(file), held["labels"] if ours else held.items())


def _of_index(store: Store, folders: Sequence[str]) -> Labels | None:
    """StyleGAN's labels; their paths count from the folder of their file."""
    found = list[tuple[str, Any]]()
    where = list[str]()
    for folder in dict.fromkeys(folders):
        data = store.attached(folder + INDEX)
        if data is None:
            continue
        shown = f"{store.path}/{folder}{INDEX}"
        held = _json(shown, data)
        if isinstance(held.get("labels", ""), list | None):  # else it is another program's
            of = _labels(shown, held["labels"]).of
            where.append(shown)
            found += [(folder + path, label) for path, label in (of or {}).items()]
    return _labels(few(where), found or None) if where else None


def _json(where: str, data: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise _twice(where, [name for name, _ in pairs])
        return dict(pairs)

    try:
        held = json.loads(data, object_pairs_hook=once)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"`labels`: {where} is no JSON file ({error}): write it again.") from error
    if not isinstance(held, dict):
        raise UserError(
            f"`labels`: {where} holds no object: write {{path: label, ...}}, or StyleGAN's"
            ' {"labels": [[path, label], ...]}.'
        )
    return held


def _rows(where: str, data: bytes) -> list[tuple[str, Any]]:
    try:
        table = csv.DictReader(data.decode("utf-8-sig").splitlines())
        columns = {name.strip().lower(): name for name in table.fieldnames or ()}
        path = next((columns[name] for name in _PATHS if name in columns), None)
        if path is None or _LABEL not in columns:
            raise UserError(
                f"`labels`: the first line of {where} must name the columns path and label, but is"
                f" {few(table.fieldnames or ['empty'])}: write it so."
            )
        return [(row[path] or "", row[columns[_LABEL]]) for row in table]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"`labels`: {where} is no table of text in UTF-8 with commas ({error}): save it so."
        ) from error


def _labels(where: str, pairs: Iterable[Any] | None) -> Labels:
    """Labels of pairs of path and label; None means that there are none.

    Raises:
        UserError: a pair is none, or a path stands there twice.
    """
    if pairs is None:
        return Labels(where, None, [SINGLE_CLASS])
    of = dict[str, str]()
    paths = list[str]()
    for number, pair in enumerate(pairs, 1):
        path, label = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
        name = as_class(label)
        if not isinstance(path, str) or not path or name is None:
            raise UserError(
                f"`labels`: {where} must have a path and a class for each image, the class a whole"
                f" number or a name, but its entry {number:,} is"
                f" {printable(str(pair))[:100]}: correct it."
            )
        paths.append(str(PurePosixPath(path)))
        of[paths[-1]] = name
    if len(of) < len(paths):
        raise _twice(where, paths)
    return Labels(where, of, in_order(of.values()))


def _twice(where: str, paths: Iterable[str]) -> UserError:
    seen = set[str]()
    again = [path for path in paths if path in seen or seen.add(path)]  # type: ignore[func-returns-value]
    return UserError(f"`labels`: {where} has {few(again)} twice: keep one label for each image.")


def check_known(labels: Labels, tree: Folder) -> None:
    """Refuse labels of images that are not there.

    Raises:
        UserError: there are some.
    """
    known = {image.path for image in images_below(tree, False, LeftOut(), "")}
    unknown = [path for path in labels.of or () if path not in known]
    if unknown:
        example = f" ({next(iter(known))}, say)" if known else ""
        raise UserError(
            f"`labels`: {labels.where} has labels of {len(unknown):,} images that are not there"
            f" ({few(unknown)}): paths count from `root`{example}; correct or delete them."
        )


def by_class(images: Sequence[Found], labels: Labels, above: str) -> dict[str, list[Found]]:
    """The images of each class.

    Args:
        images: of a split.
        labels: of all images.
        above: the path of the split's folder, with a slash at the end.

    Raises:
        UserError: an image has no label.
    """
    if labels.of is None:
        return {SINGLE_CLASS: [*images]}
    groups: dict[str, list[Found]] = {name: [] for name in labels.names}
    missing = list[str]()
    for image in images:
        label = labels.of.get(above + image.path)
        if label is None:
            missing.append(above + image.path)
        else:
            groups[label].append(image)
    if missing:
        raise UserError(
            f"`labels`: {labels.where} has no label for {len(missing):,} images ({few(missing)}):"
            " add them, or move the images away."
        )
    return groups
