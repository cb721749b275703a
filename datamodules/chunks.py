"""The pixels of a prepared set: one file in NumPy's format, written and checked chunk by chunk.

It imports neither torch nor Lightning: each process that decodes imports it.
"""

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path

import numpy

from datamodules.decode import Decoding, decoded
from datamodules.sources import Pixels, Source

CHUNK_BYTES, CHUNK_IMAGES = 2**22, 512
"""A chunk is no larger than either, and holds at least one image."""

Made = tuple[str, dict[int, str]]
"""A chunk's SHA-256, and what is wrong with its images, by index."""


@dataclass(frozen=True)
class PixelFile:
    """A `.npy` file of pixels uint8 `[N, H, W, C]`.

    Args:
        path: of the file.
        shape: of all images.
    """

    path: Path
    shape: tuple[int, int, int, int]

    @property
    def header(self) -> bytes:
        """What stands before the pixels."""
        stream = BytesIO()
        form = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        numpy.lib.format.write_array_header_1_0(stream, form)
        return stream.getvalue()

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return prod(self.shape[1:])

    @property
    def bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + self.shape[0] * self.image_bytes

    @property
    def chunk_images(self) -> int:
        """Images of a chunk; the last one may have fewer."""
        return max(1, min(CHUNK_IMAGES, CHUNK_BYTES // self.image_bytes))

    @property
    def chunks(self) -> range:
        """The numbers of all chunks."""
        return range(-(-self.shape[0] // self.chunk_images))

    def images(self, chunk: int) -> range:
        """The indices of a chunk's images."""
        start = chunk * self.chunk_images
        return range(start, min(start + self.chunk_images, self.shape[0]))

    def allocate(self) -> None:
        """Have the system reserve the whole file, so that it can't fill the disk later.

        Raises:
            OSError: there is no room.
        """
        with open(self.path, "ab") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, self.bytes)
            os.truncate(file.fileno(), self.bytes)
        with open(self.path, "r+b") as file:
            file.write(self.header)

    def write(self, chunk: int, pixels: Pixels) -> str:
        """Write a chunk; its SHA-256."""
        with open(self.path, "r+b") as file:
            file.seek(self._place(chunk))
            file.write(pixels.data)
        return hashlib.sha256(pixels.data).hexdigest()

    def digest(self, chunk: int) -> str:
        """The SHA-256 of a chunk as it is on the disk."""
        with open(self.path, "rb") as file:
            file.seek(self._place(chunk))
            return hashlib.sha256(file.read(len(self.images(chunk)) * self.image_bytes)).hexdigest()

    def _place(self, chunk: int) -> int:
        return len(self.header) + self.images(chunk).start * self.image_bytes


@dataclass(frozen=True)
class Job:
    """What processes do for a prepared set.

    Args:
        pixels: the file.
        source: the encoded images.
        decoding: what the images become.
    """

    pixels: PixelFile
    source: Source
    decoding: Decoding

    def make(self, chunk: int) -> Made:
        """Decode a chunk and write it."""
        pixels, broken = decoded(self.source, self.decoding, self.pixels.images(chunk))
        return self.pixels.write(chunk, pixels), broken


def root_of(digests: list[str]) -> str:
    """One SHA-256 of all chunks', in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()
