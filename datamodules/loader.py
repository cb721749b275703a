"""A loader over images that are already in memory, and the order it visits them in.

Images stay uint8 in one tensor (on the GPU if they fit) and become float batches by
indexing, which costs 10 to 100 times less per image than decoding files in workers.
The order depends on (seed, epoch) alone. So a resumed run sees the images of an
uninterrupted one, and two ranks together see those of a single rank.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import Sampler

from minmax.values import Bytes, Values

Indices = numpy.ndarray[Any, numpy.dtype[numpy.int64]]

OF_FLIPS = 1
"""Sets their random numbers apart from those of the order."""


class EpochShuffle(Sampler[int]):
    """One rank's share of the image indices, in an order given by (seed, epoch).

    The batches `i` of all ranks together hold exactly the images of batch `i` of a single rank
    whose batches are `world_size` times as large.

    Args:
        size: number of images in the data set.
        batch_size: images per batch and rank.
        shuffle: True (training): a new order each epoch, and only whole batches, equally
            many on every rank. False (evaluation): every image once, in the stored order.
        seed: seed of the order, the same on every rank.
        rank: this process, from 0.
        world_size: number of processes.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next (Lightning calls this before each epoch)."""
        self.epoch = epoch

    def indices(self, start: int = 0, seed: int | None = None) -> Tensor:
        """Return this rank's indices for the current epoch, int64 `[N]`, on the CPU.

        Args:
            start: number of images that all ranks together have seen of this epoch; the others
                are shared out anew.
            seed: seed of the order; None means the sampler's.
        """
        order = self.shuffled(seed) if self.shuffle else numpy.arange(self.size)
        order = order[start:]
        mine = order[self.rank :: self.world_size]
        return torch.from_numpy(mine[: self._share(len(order))].copy())

    def random(self, seed: int | None = None) -> numpy.random.Generator:
        """The random numbers of the current epoch's order; `seed` as for `indices`."""
        # A pair: with `seed + epoch`, epoch 1 of seed 0 would be epoch 0 of seed 1.
        return numpy.random.default_rng((self.seed if seed is None else seed, self.epoch))

    def shuffled(self, seed: int | None = None) -> Indices:
        """All images in the order of the current epoch; `seed` as for `indices`."""
        return self.random(seed).permutation(self.size)

    def flips(self, seed: int | None = None) -> Tensor:
        """Return which images of the data set the current epoch flips, bool `[size]`, on the CPU.

        About half of them: a function of the seed, the epoch and the image's index.

        Args:
            seed: as for `indices`.
        """
        triple = (self.seed if seed is None else seed, self.epoch, OF_FLIPS)
        return torch.from_numpy(numpy.random.default_rng(triple).random(self.size) < 0.5)

    def __iter__(self) -> Iterator[int]:
        """Iterate over `indices()`."""
        return iter(self.indices().tolist())

    def __len__(self) -> int:
        """Return the number of images this rank visits in an epoch."""
        return self._share(self.size)

    def _share(self, images: int) -> int:
        """Number of images that this rank visits out of `images`."""
        if self.shuffle:
            return images // (self.batch_size * self.world_size) * self.batch_size
        return len(range(self.rank, images, self.world_size))


class ResidentLoader:
    """Batches from one tensor of stored values, of images uint8.

    Yields `(images, labels)`: float32 `[B, C, H, W]` as `values` shows them, in [-1, 1] say
    (channels_last), and int64 `[B]`, both on `device`. In the middle of an epoch `state_dict`
    holds the position, which Lightning stores in checkpoints. The next iteration after
    `load_state_dict` yields only the rest of that epoch, in the order of the seed it began with.
    Batch size, number of ranks and seed may have changed since.

    Args:
        images: stored `[N, C, H, W]`, on `device` or on the CPU; not copied if its memory is
            channels_last (or `C` is 1).
        labels: int64 `[N]`.
        batch_size: images per batch on this rank.
        sampler: the order; None means all images in the stored order.
        device: device of the batches; None means that of `images`.
        current_epoch: returns the epoch when one begins; None means the sampler's own.
        mirror: flip left to right those images that `sampler.flips()` names.
        values: what the stored values mean; None means bytes.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        sampler: EpochShuffle | None = None,
        device: torch.device | None = None,
        current_epoch: Callable[[], int] | None = None,
        mirror: bool = False,
        values: Values | None = None,
    ) -> None:
        # Channels last: an image is then one run of bytes in the order that its batch needs. On a
        # CPU that takes a half to a third of the time of reordering each batch.
        self._pixels = images.permute(0, 2, 3, 1).contiguous()
        self.labels = labels
        self.batch_size = batch_size
        self.sampler = sampler or EpochShuffle(len(images), batch_size, shuffle=False)
        self.device = device or images.device
        self.current_epoch = current_epoch
        self.mirror = mirror
        self.values = values or Bytes()
        self.batch_sampler = None  # Lightning asks every loader with a sampler for one.
        self._position = {"epoch": 0, "images": 0, "seed": self.sampler.seed}
        self._resume: dict[str, int] | None = None

    @property
    def images(self) -> Tensor:
        """All images as they are stored, `[N, C, H, W]`."""
        return self._pixels.permute(0, 3, 1, 2)

    @property
    def dataset_size(self) -> int:
        """Number of images of the order, over all ranks."""
        return self.sampler.size

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch on this rank."""
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over the (rest of the) sampler's current epoch."""
        # A generator, because Lightning creates the iterator before it sets the epoch: the
        # order must be drawn at the first batch, not here.
        if self.current_epoch is not None:
            self.sampler.set_epoch(self.current_epoch())
        epoch = self.sampler.epoch
        resume, self._resume = self._resume, None
        # A position counts in its own epoch only: one from an epoch's end skips nothing.
        if resume is None or resume["epoch"] != epoch:
            resume = {"images": 0, "seed": self.sampler.seed}
        first, seed = resume["images"], resume["seed"]
        seen = first
        for batch in self.batches(first, seed):
            seen += self.batch_size * self.sampler.world_size
            self._position = {"epoch": epoch, "images": seen, "seed": seed}
            yield batch

    def batches(self, first: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches of the sampler's current epoch after its first images, in the seed's order.

        Args:
            first: number of images that all ranks together have seen of it.
            seed: of the order.
        """
        order = self.sampler.indices(first, seed)
        flips = self._flips(order, seed)
        for indices in self._cut(order.to(self._pixels.device)):
            yield self.batch(indices, next(flips))

    def _flips(self, order: Tensor, seed: int) -> Iterator[Tensor | None]:
        """For each batch, which images are flipped, on the device of the batches."""
        if not self.mirror:
            return repeat(None)
        flips = self.sampler.flips(seed)[order].to(self.device)
        return self._cut(flips)

    def _cut(self, order: Tensor) -> Iterator[Tensor]:
        """Cut into batches."""
        starts = range(0, len(order), self.batch_size)
        return (order[start : start + self.batch_size] for start in starts)

    def batch(self, indices: Tensor, flips: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images float32 `[B, C, H, W]` and labels int64 `[B]`.

        Args:
            indices: of the images, int64 `[B]`, on the device of the data set.
            flips: which of them are flipped, bool `[B]`, on the device of the batches; None means
                none.
        """
        # Copied to the device as stored, uint8 say, and float only there: a quarter of the bytes.
        pixels = self._pixels.index_select(0, indices).to(self.device, non_blocking=True)
        labels = self.labels.index_select(0, indices).to(self.device, non_blocking=True)
        return self._shown(pixels, flips), labels

    def _shown(self, pixels: Tensor, flips: Tensor | None) -> Tensor:
        if flips is not None:
            pixels = flipped(pixels, flips)
        return self.values.shown(pixels.permute(0, 3, 1, 2))

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, its images yielded so far over all ranks, and the order's seed."""
        return dict(self._resume or self._position)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration continue after the images that `state_dict` counted.

        Earlier versions counted batches; these are taken to have today's size.
        """
        images = state_dict.get("images")
        if images is None:
            images = state_dict["batch"] * self.batch_size * self.sampler.world_size
        seed = state_dict.get("seed", self.sampler.seed)
        self._resume = {"epoch": state_dict["epoch"], "images": images, "seed": seed}


def flipped(pixels: Tensor, flips: Tensor) -> Tensor:
    """Flip some images left to right.

    Args:
        pixels: uint8 `[B, H, W, C]`.
        flips: which ones, bool `[B]`.
    """
    # Whole images are picked from both kinds: `torch.where` would take three times as long, and a
    # flip of an axis before the last, without torch's fast path for channels_last, as well.
    mirrored = pixels.permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1)
    places = torch.arange(len(pixels), device=pixels.device) + len(pixels) * flips
    return torch.cat([pixels, mirrored]).index_select(0, places)
