"""Images of three digits, one in each colour channel: fresh ones in each epoch, or fixed ones."""

from typing import Any

import numpy
import torch
from torch import Tensor

from datamodules.loader import EpochShuffle, ResidentLoader

CHANNELS = 3
OF_TRIPLES = 2
"""Sets their random numbers apart from those of the order and of flips."""


def random_triples(digits: int, count: int, *seed: int) -> Tensor:
    """Indices of three of so many digits for each image, int64 `[count, 3]`, drawn independently.

    They are a function of the numbers in `seed`, and of the image's index.
    """
    random = numpy.random.default_rng((*seed, OF_TRIPLES))
    return torch.from_numpy(random.integers(digits, size=(count, CHANNELS)))


def numbered(classes: Tensor, base: int) -> Tensor:
    """Numbers `[N]` with the classes `[N, C]` of the channels as figures, the first one leading."""
    places = base ** torch.arange(classes.shape[1] - 1, -1, -1, device=classes.device)
    return (classes * places).sum(dim=1)


class FreshTriples(EpochShuffle):
    """One rank's share of an epoch's triples, a function of (seed, epoch, index).

    Args:
        digits: number of digits to draw from.
        size: number of triples in an epoch.
        order: the other arguments of `EpochShuffle`.
    """

    def __init__(self, digits: int, size: int, *order: Any) -> None:
        super().__init__(size, *order)
        self.digits = digits

    def indices(self, start: int = 0, seed: int | None = None) -> Tensor:
        """Return this rank's triples of digits for the current epoch, int64 `[N, 3]`, on the CPU.

        Args:
            start: as for `EpochShuffle`.
            seed: as for `EpochShuffle`.
        """
        mine = super().indices(start, seed)
        seed = self.seed if seed is None else seed
        return random_triples(self.digits, self.size, seed, self.epoch)[mine]


class TripleLoader(ResidentLoader):
    """Batches of triples, gathered from gray digits on the device where these lie.

    Args:
        base: number of the digits' classes.
        resident: arguments of `ResidentLoader`: digits uint8 `[D, 1, H, W]`, their classes int64
            `[D]`, and `FreshTriples` as the order.
        options: likewise.
    """

    def __init__(self, base: int, *resident: Any, **options: Any) -> None:
        super().__init__(*resident, **options)
        self.base = base

    def batch(self, indices: Tensor, flips: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images float32 `[B, 3, H, W]` and the numbers of their classes, int64 `[B]`.

        Args:
            indices: of the digits, int64 `[B, 3]`, on their device.
            flips: none: a mirrored digit is no digit.
        """
        assert flips is None, "digits aren't mirrored"
        digits, classes = super().batch(indices.flatten())
        images = digits.view(*indices.shape, *digits.shape[-2:])
        images = images.contiguous(memory_format=torch.channels_last)
        return images, numbered(classes.view(indices.shape), self.base)
