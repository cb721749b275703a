"""A random order that a disk can bear, for sets larger than memory, and the reading ahead of it.

The file is cut into blocks of neighbouring images. Each epoch shuffles the blocks, takes a window
of them at a time, and shuffles the images within the window. So the disk reads blocks, and memory
holds two windows: the one in use, and the next one, which a thread reads.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from itertools import accumulate
from typing import Any

import numpy
from torch import Tensor

from datamodules.chunks import PixelFile
from datamodules.loader import EpochShuffle, Indices
from datamodules.mapping import let_go, memory_limit
from minmax.errors import UserError

BLOCK_BYTES = 2**20
"""Of a block: a disk reads so much at its full speed, wherever it lies."""
WHOLE_GB = 16.0
"""Sets up to this size are shuffled as a whole, unless an option says otherwise."""
WINDOW_GB = 1.0
"""Of a window of larger sets."""


def window_bytes(stored: int, window_gb: float | None) -> int:
    """Bytes of a window; 0 if the set is shuffled as a whole.

    It depends on the set and the option alone: the order must not depend on the machine.

    Args:
        stored: bytes of the set.
        window_gb: the option, in 10^9 bytes; None means windows of 1 GB for sets of more than
            16 GB. 0 means none.
    """
    if window_gb is None:
        window_gb = WINDOW_GB if stored > WHOLE_GB * 1e9 else 0
    window = int(window_gb * 1e9)
    return window if window < stored else 0


def check_window(window_gb: float | None) -> None:
    """Refuse a window that is none.

    Raises:
        UserError: its size is negative or not a number.
    """
    if window_gb is not None and not 0 <= window_gb < float("inf"):
        raise UserError(
            f"`window_gb` is {window_gb}, but must be at least 0: give the size of a window in GB,"
            " of which two must fit into memory, or 0 to shuffle the set as a whole."
        )


class WindowShuffle(EpochShuffle):
    """One rank's share of the images, whose order goes through windows of blocks.

    It is a function of (seed, epoch). As with `EpochShuffle`, all ranks together see the images
    of one rank.

    Args:
        size: number of images.
        image_bytes: of an image.
        window: bytes of a window.
        order: the other arguments of `EpochShuffle`.
    """

    def __init__(self, size: int, image_bytes: int, window: int, *order: Any) -> None:
        super().__init__(size, *order)
        self.block_images = max(1, BLOCK_BYTES // image_bytes)
        self.window_blocks = max(1, window // (self.block_images * image_bytes))

    def windows(self, seed: int | None = None) -> list[Indices]:
        """Numbers of the blocks in each window of the current epoch; `seed` as for `indices`."""
        return self._windows(self.random(seed))

    def next_window(self) -> Indices:
        """Numbers of the blocks in the first window of the next epoch."""
        return self._windows(numpy.random.default_rng((self.seed, self.epoch + 1)))[0]

    def shuffled(self, seed: int | None = None) -> Indices:
        """All images in the order of the current epoch; `seed` as for `indices`."""
        random = self.random(seed)
        windows = [random.permutation(self.images(blocks)) for blocks in self._windows(random)]
        return numpy.concatenate(windows)

    def images(self, blocks: Indices) -> Indices:
        """The images of some blocks; the last block of the file may hold fewer."""
        images = blocks[:, None] * self.block_images + numpy.arange(self.block_images)
        return images[images < self.size]

    def _windows(self, random: numpy.random.Generator) -> list[Indices]:
        blocks = random.permutation(-(-self.size // self.block_images))
        return numpy.split(blocks, range(self.window_blocks, len(blocks), self.window_blocks))


class ReadAhead:
    """Reads the window in use and the next one into the system's memory, in a thread.

    If the file exceeds half of the memory, the pages of used windows are given back at once.

    Args:
        file: of the images.
        pixels: the mapped file.
        order: whose current epoch begins.
        seed: of the order.

    Attributes:
        bytes: that were read.
        seconds: that this took.
    """

    def __init__(self, file: PixelFile, pixels: Tensor, order: WindowShuffle, seed: int) -> None:
        self._file, self._pixels, self._order = file, pixels, order
        self._lets_go = file.bytes > memory_limit() / 2
        self._windows = order.windows(seed)
        self._ends = [*accumulate(len(order.images(blocks)) for blocks in self._windows)]
        self._windows.append(order.next_window())
        self._read: dict[int, Future[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="windows")
        self._ended = threading.Event()
        self.bytes, self.seconds = 0, 0.0

    def reach(self, first: int, last: int) -> None:
        """Wait until the windows of two positions in the order are read; begin with the next."""
        begin, end = numpy.searchsorted(self._ends, (first, last), "right").tolist()
        for number in range(begin, min(end + 2, len(self._windows))):
            if number not in self._read:
                self._read[number] = self._pool.submit(self._fetch, self._windows[number])
        for number in range(begin, end + 1):
            self._read[number].result()
        for number in [number for number in self._read if number < begin]:
            del self._read[number]
            if self._lets_go:
                self._let_go(self._windows[number])

    def close(self) -> None:
        """End after the block that is being read."""
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        try:
            with self._file.path.open("rb", buffering=0) as file:
                yield file
        except OSError as error:
            raise UserError(
                f"{self._file.path} can't be read any more ({error.strerror}): check the disk, let "
                "nothing change the file while a training reads it, and go on with --resume true, "
                "which makes it anew if it is gone or damaged"
            ) from error

    def _let_go(self, blocks: Indices) -> None:
        with self._opened() as file:
            for block in blocks.tolist():
                start = block * self._order.block_images
                images = range(start, min(start + self._order.block_images, self._order.size))
                let_go(self._file, self._pixels, images, file.fileno())

    def _fetch(self, blocks: Indices) -> None:
        start, count = time.perf_counter(), self._order.block_images * self._file.image_bytes
        read, held = 0, bytearray(count)
        with self._opened() as file:
            for block in numpy.sort(blocks).tolist():
                if self._ended.is_set():
                    return
                file.seek(len(self._file.header) + block * count)
                got = file.readinto(held) or 0
                # The system would kill a process that uses mapped pages beyond the end.
                if got < len(self._order.images(numpy.array([block]))) * self._file.image_bytes:
                    raise OSError(0, "it has been cut short")
                read += got
        self.bytes += read
        self.seconds += time.perf_counter() - start
