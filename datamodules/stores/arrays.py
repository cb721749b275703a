"""NumPy's files: .npy with images, .npz with images and labels."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy

from datamodules.leftovers import LeftOut
from datamodules.names import few
from datamodules.searching import Folder
from datamodules.split_names import split_of
from datamodules.stores.pixels import SourceOfArrays, array_of, channels_last, keys_of
from datamodules.stores.reading import stamp_of
from datamodules.stores.store import Labels, Store, as_class, in_order, table_of
from minmax.errors import UserError

_IMAGES = ("images", "image", "x", "data", "samples")
_LABELS = ("labels", "label", "y", "targets", "classes")
_UNNAMED = "arr_0", "arr_1"


class Arrays(Store):
    """An array of images, uint8 `[N, H, W, C]`, `[N, C, H, W]` or `[N, H, W]`.

    In a .npz file the images are called `images`, `x` or `arr_0`, and the labels `labels`, `y` or
    `arr_1`; `train_images`, `test_images` and the like are splits. An image is called by its
    number, with eight digits.

    Args:
        path: of the file.
    """

    fields = ", or an array of the file"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stamp = stamp_of(path)
        self.keys: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def search(self, left_out: LeftOut) -> Folder:
        """Read the shapes of the arrays."""
        self.keys = self._found(_IMAGES) if self._named() else {"": ""}
        for split, key in self.keys.items():
            array = array_of(self.stamp, key)
            if array.dtype != numpy.uint8 or array.ndim not in (3, 4) or not len(array):
                raise UserError(
                    f"`root` leads to {self.path}, whose {key or 'array'} is {array.dtype} of the"
                    f" shape {list(array.shape)}, but must hold images, uint8 of 0 to 255 and"
                    " [N, H, W, C], [N, C, H, W] or [N, H, W]: save it so."
                )
            channels_last(array[:1], f"{self.path} {key}".strip())
            self.counts[split] = len(array)
        return table_of(
            (split, f"{number:08}", (place, number))
            for place, (split, count) in enumerate(self.counts.items())
            for number in range(count)
        )

    def _named(self) -> list[str]:
        return keys_of(self.stamp) if self.path.suffix.lower() == ".npz" else []

    def _found(self, names: Sequence[str], needed: bool = True) -> dict[str, str]:
        """The keys of arrays that have one of the names, by their splits.

        Raises:
            UserError: there are none.
        """
        found = dict[str, str]()
        keys = self._named()
        for name in names:
            for key in keys:
                words = re.split(r"[_\-.]", key.lower())
                split = next((word for part in words if (word := split_of(part))), None)
                rest = [part for part in words if split_of(part) is None]
                if rest == [name]:
                    found.setdefault(f"{split}/" if split else "", key)
            if found:
                break
        if len(found) > 1:
            found.pop("", None)
        unnamed = _UNNAMED[names is _LABELS]
        if not found and unnamed in keys:
            found = {"": unnamed}
        if needed and not found:
            raise UserError(
                f"`root` leads to {self.path}, which must hold an array called images, but has"
                f" {few(keys, 9)}: give it this name."
            )
        return found

    def labels(self, field: str | None) -> Labels | None:
        """Return the array of labels."""
        keys = self._found(_LABELS, needed=False)
        if field is not None:
            keys = {"": field} if field in self._named() else {}
        if not keys:
            return super().labels(field)
        of = dict[str, str]()
        for split, count in self.counts.items():
            values = array_of(self.stamp, keys[split]).squeeze() if split in keys else []
            names = [as_class(value) for value in numpy.atleast_1d(values).tolist()]
            if len(names) != count or None in names:
                raise UserError(
                    f"`labels`: {self.path} must have a whole number for each of the {count:,}"
                    f" images of {self.keys[split]}, but {keys.get(split, 'nothing')} holds"
                    f" {len(names):,} values, or others: save them so, or give `labels` none."
                )
            of |= {f"{split}{number:08}": str(name) for number, name in enumerate(names)}
        return Labels(f"{self.path} ({', '.join(keys.values())})", of, in_order(of.values()))

    def source(self, paths: Sequence[str]) -> SourceOfArrays:
        """Return the images of these numbers."""
        places = [path.rpartition("/") for path in paths]
        keys = [self.keys[split + slash] for split, slash, _ in places]
        return SourceOfArrays(self.stamp, keys, [int(number) for _, _, number in places])
