"""What the values of data mean: how they are stored, and what networks are shown."""

from typing import Protocol

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1], of any shape, to bytes; values outside are clipped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


class Values(Protocol):
    """How one kind of data is stored; a data module says which kind it has.

    Attributes:
        things: what is stored, in the plural.
        pictures: whether each is a picture by itself.
    """

    things: str
    pictures: bool

    def shown(self, stored: Tensor) -> Tensor:
        """Stored values to what networks are shown, float32, in new memory."""

    def stored(self, images: Tensor) -> Tensor:
        """What a generator drew, as data are stored."""

    def noise(self, like: Tensor, count: int, random: torch.Generator) -> Tensor:
        """So many stored things without structure, of the shape of others."""


class Bytes:
    """Images as uint8, which networks see in [-1, 1]."""

    things = "images"
    pictures = True

    def shown(self, stored: Tensor) -> Tensor:
        """Bytes to [-1, 1]."""
        return stored.float().div_(127.5).sub_(1)

    def stored(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] to bytes."""
        return to_uint8(images)

    def noise(self, like: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Bytes, each equally often."""
        shape = (count, *like.shape[1:])
        return torch.randint(256, shape, generator=random, dtype=torch.uint8)


class Coordinates:
    """Numbers in float32, which networks see as they are."""

    things = "points"
    pictures = False

    def shown(self, stored: Tensor) -> Tensor:
        """The same numbers."""
        return stored.clone()

    def stored(self, images: Tensor) -> Tensor:
        """The same numbers."""
        return images.float()

    def noise(self, like: Tensor, count: int, random: torch.Generator) -> Tensor:
        """One normal distribution, of the mean and the spread of the others."""
        mean, std = like.mean(0).cpu(), like.std(0).cpu()
        return mean + std * torch.randn((count, *like.shape[1:]), generator=random)
