"""Where encoded images lie: files of a folder, members of an archive, rows of a table."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

Pixels = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]
Encoded = str | bytes | Pixels
"""An image file's path, what such a file holds, or pixels `[H, W]`, `[H, W, 3]`, `[H, W, 4]`."""


class Source(ABC):
    """The encoded images of one split, in a fixed order.

    It is pickled into other processes, so it opens what it reads when it reads it.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what messages call an image: its path, say."""

    @abstractmethod
    def read(self, index: int) -> Encoded:
        """Return an image.

        Raises:
            OSError: it is no longer there.
        """

    @abstractmethod
    def made_of(self) -> Iterator[str]:
        """Yield lines that change when an image does: names, sizes, times.

        Raises:
            OSError: something is no longer there.
        """


class SourceOfFiles(Source):
    """Files of a folder.

    Args:
        folder: the folder.
        paths: of the files, relative to the folder.
    """

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self.folder, self.paths = folder, paths

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return a file's path."""
        return str(self.folder / self.paths[index])

    def read(self, index: int) -> str:
        """Return a file's path."""
        return self.name(index)

    def made_of(self) -> Iterator[str]:
        """Yield each file's path, size in bytes and time of change in nanoseconds."""
        folder = str(self.folder)
        for path in self.paths:
            try:
                file = os.stat(f"{folder}/{path}")
                yield f"{path} {file.st_size} {file.st_mtime_ns}"
            except OSError as error:  # decoding will name it
                yield f"{path} {error.errno}"
