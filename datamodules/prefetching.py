"""A loader over a mapped file, which a thread reads ahead of the training."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy
import torch
from torch import Tensor

from datamodules.chunks import PixelFile
from datamodules.loader import ResidentLoader
from datamodules.windows import ReadAhead, WindowShuffle

AHEAD = 4
"""Batches that are ready before the training asks for them."""


class PrefetchingLoader(ResidentLoader):
    """The batches of `ResidentLoader`, gathered by a thread from a file in main memory's cache.

    The thread waits for the disk instead of the training. For a GPU it gathers into pinned memory,
    and copies on a stream of its own.

    Args:
        file: of the images.
        resident: arguments of `ResidentLoader`; the images are those of the mapped file.
        options: likewise.

    Attributes:
        ahead: what reads the windows of the latest epoch; None if the order has none.
    """

    def __init__(self, file: PixelFile, *resident: Any, **options: Any) -> None:
        super().__init__(*resident, **options)
        self.file = file
        self._array = self._pixels.numpy()
        self._stream: torch.cuda.Stream | None = None
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.ahead: ReadAhead | None = None

    def batches(self, first: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches of the sampler's current epoch after its first images; see the base class."""
        order, sampler = self.sampler.indices(first, seed), self.sampler
        flips, step = self._flips(order, seed), self.batch_size * sampler.world_size
        ahead = None
        if isinstance(sampler, WindowShuffle):
            ahead = ReadAhead(self.file, self._pixels, sampler, seed)
        self.ahead = ahead
        pool, waiting = ThreadPoolExecutor(1, thread_name_prefix="batches"), deque[Any]()
        try:
            for indices in self._cut(order):
                waiting.append(pool.submit(self._gather, indices.numpy(), first, ahead))
                first += step
                if len(waiting) > AHEAD:
                    yield self._finished(waiting.popleft(), next(flips))
            while waiting:
                yield self._finished(waiting.popleft(), next(flips))
        finally:
            if ahead is not None:
                ahead.close()
            pool.shutdown(cancel_futures=True)

    def _gather(
        self, indices: Any, first: int, ahead: ReadAhead | None
    ) -> tuple[Tensor, Tensor, Any]:
        """In the thread: pixels uint8 `[B, H, W, C]`, labels, and the event of their copy.

        Args:
            indices: of the images.
            first: position of all ranks' batch in the order.
            ahead: reads the windows, if there are any.
        """
        if ahead is not None:
            last = first + self.batch_size * self.sampler.world_size - 1
            ahead.reach(first, min(last, self.sampler.size - 1))
        shape, pinned = (len(indices), *self._array.shape[1:]), self._stream is not None
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        # NumPy's: torch's would start threads of its own beside those of the training.
        numpy.take(self._array, indices, axis=0, out=pixels.numpy(), mode="clip")
        labels = self.labels[torch.from_numpy(indices)]
        if self._stream is None:
            return pixels, labels, None
        with torch.cuda.stream(self._stream):
            labels = labels.pin_memory().to(self.device, non_blocking=True)
            pixels = pixels.to(self.device, non_blocking=True)
            return pixels, labels, self._stream.record_event()

    def _finished(
        self, future: Future[tuple[Tensor, Tensor, Any]], flips: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """In the training's thread: the batch as it is shown to networks."""
        pixels, labels, copied = future.result()
        if copied is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(copied)
            for tensor in (pixels, labels):  # their memory is the other stream's
                tensor.record_stream(current)
        return self._shown(pixels, flips), labels
