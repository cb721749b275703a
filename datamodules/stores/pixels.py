"""Images in NumPy's arrays."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy
from numpy.lib import format as npy

from datamodules.sources import Pixels, Source
from datamodules.stores.reading import Stamp, check, lines_of
from minmax.errors import UserError

_LENGTHS = 26  # of what stands between a header in a zip file and its data


class SourceOfArrays(Source):
    """Images of arrays.

    Args:
        file: the file.
        keys: name of each image's array.
        numbers: place of each image in its array.
    """

    def __init__(self, file: Stamp, keys: Sequence[str], numbers: Sequence[int]) -> None:
        self.file, self.keys, self.numbers = file, keys, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, index: int) -> str:
        """Return the file's path, the array's name and the number."""
        return f"{self.file.path}: {self.keys[index]}[{self.numbers[index]}]"

    def read(self, index: int) -> Pixels:
        """Return an image's pixels `[H, W]` or `[H, W, C]`."""
        array: Pixels = array_of(self.file, self.keys[index])
        number = self.numbers[index]
        return channels_last(array[number : number + 1], self.name(index))[0]

    def made_of(self) -> Iterator[str]:
        """Yield the file's size and time of change, and each image's place."""
        yield from lines_of([self.file])
        yield from (f"{key} {n}" for key, n in zip(self.keys, self.numbers, strict=True))


def channels_last(images: Pixels, where: str) -> Pixels:
    """Return `[N, H, W]`, or `[N, H, W, C]` with the channels found among the dimensions.

    Raises:
        UserError: there are no 1, 3 or 4 channels.
    """
    if images.ndim == 3:
        return images
    for channels in ((1, 3), (4,)):
        for axis in (3, 1):
            if images.shape[axis] in channels:
                moved = numpy.moveaxis(images, axis, 3)
                return moved[..., 0] if moved.shape[3] == 1 else moved
    raise UserError(
        f"`root` leads to {where}, whose images have the shape {list(images.shape[1:])}: 1, 3 or 4"
        " channels must come first or last."
    )


def keys_of(stamp: Stamp) -> list[str]:
    """Names of the arrays in a .npz file."""
    with _readable(stamp), ZipFile(stamp.path) as file:
        return [name.removesuffix(".npy") for name in file.namelist()]


@lru_cache(8)
def array_of(stamp: Stamp, key: str) -> Any:
    """An array, mapped into memory unless it is compressed.

    Args:
        stamp: the file.
        key: the array's name in a .npz file; empty in a .npy file.

    Raises:
        UserError: it is damaged, or holds Python objects.
        OSError: the file changed, or is gone.
    """
    check(stamp)
    with _readable(stamp):
        if not key:
            return numpy.load(stamp.path, mmap_mode="r", allow_pickle=False)
        with ZipFile(stamp.path) as file:
            entry = file.getinfo(f"{key}.npy")
        if entry.compress_type != ZIP_STORED:
            with numpy.load(stamp.path, allow_pickle=False) as arrays:
                return arrays[key]
        return _mapped(stamp.path, entry.header_offset)


def _mapped(path: str, header: int) -> Any:
    """Map an array that a zip file holds as it is, whose header there begins at a byte."""
    with open(path, "rb") as file:
        file.seek(header + _LENGTHS)
        lengths = file.read(4)
        file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        major, _ = npy.read_magic(file)
        read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        return numpy.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


@contextmanager
def _readable(stamp: Stamp) -> Iterator[None]:
    """Turn NumPy's errors into one line.

    Raises:
        UserError: the file is damaged, or holds Python objects.
    """
    try:
        yield
    except (BadZipFile, ValueError, EOFError, zlib.error) as error:
        raise UserError(
            f"`root` leads to {stamp.path}, which is no whole file of arrays"
            f" ({' '.join(str(error).split())}): it is damaged, was copied in part or holds Python"
            " objects; save it again."
        ) from error
