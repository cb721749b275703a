"""The 18 transforms of ADA: how each is drawn.

A transform that an image is spared has the value 0 in all its columns: 0 is always the identity.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_modules.parts.part import Part
from gan_modules.precision import widened

Values = Mapping[str, Tensor]
"""Of each transform by name, what is done to each image: `[N, columns]`."""


@dataclass(frozen=True)
class Transform:
    """One transform and its law, in columns: uniform, plus normal, then maybe rounded down.

    Attributes:
        name: its name in `Values`.
        group: the group whose multiplier it obeys.
        low: least value of the uniform part of each column.
        high: where the uniform part of each column ends.
        std: standard deviation of the normal part of each column.
        whole: whether the values are rounded down to whole numbers.
        twice: whether it stands for one of two equal turns: then each has a coin of
            1 - sqrt(1 - p), so that an image is spared both with 1 - p.
    """

    name: str
    group: str
    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (0.0,)
    std: float = 0.0
    whole: bool = False
    twice: bool = False

    @property
    def columns(self) -> int:
        """Numbers that are drawn for each image."""
        return len(self.low)


def _uniform(name: str, group: str, reach: float, columns: int = 1) -> Transform:
    return Transform(name, group, (-reach,) * columns, (reach,) * columns)


def _normal(name: str, group: str, std: float, columns: int = 1) -> Transform:
    return Transform(name, group, (0.0,) * columns, (0.0,) * columns, std)


def _turn(name: str) -> Transform:
    return Transform(name, "geometry", (-math.pi,), (math.pi,), twice=True)


TRANSFORMS = (
    Transform("flip", "blit", high=(2.0,), whole=True),
    Transform("quarter_turns", "blit", high=(4.0,), whole=True),
    _uniform("whole_shift", "blit", 1 / 8, 2),
    _normal("scale", "geometry", 0.2),
    _turn("turn_before"),
    _normal("stretch", "geometry", 0.2),
    _turn("turn_after"),
    _normal("shift", "geometry", 1 / 8, 2),
    _normal("brightness", "colour", 0.2),
    _normal("contrast", "colour", 0.5),
    Transform("luma_flip", "colour", high=(2.0,), whole=True),
    _uniform("hue", "colour", math.pi),
    _normal("saturation", "colour", 1.0),
    *(_normal(f"band_{band}", "filter", 1.0) for band in range(4)),
    _normal("noise", "noise", 0.1),
    Transform("cutout", "cutout", low=(0.5, 0.0, 0.0), high=(0.5, 1.0, 1.0)),
)
"""In the order in which an image goes through them.

Columns: flip 0 or 1; quarter turns 0 to 3; shifts as shares of width and height; scale, stretch,
contrast, saturation and bands as powers of 2; turns and hue in radians; brightness and noise in
pixels' units (noise: the sign counts for nothing); luma flip 0 or 1; cutout: side, and the centre
in x and y, as shares of the image.
"""


class Draws(Part):
    """Draws each transform for each image, on the images' device.

    Args:
        multipliers: by group, what p is multiplied by, in [0, 1].
    """

    probabilities: Tensor
    twice: Tensor
    low: Tensor
    span: Tensor
    std: Tensor
    whole: Tensor
    owner: Tensor

    def __init__(self, multipliers: Mapping[str, float]) -> None:
        super().__init__()
        columns = [transform for transform in TRANSFORMS for _ in range(transform.columns)]
        low = torch.tensor([value for transform in TRANSFORMS for value in transform.low])
        high = torch.tensor([value for transform in TRANSFORMS for value in transform.high])
        tensors = {
            "probabilities": torch.tensor([multipliers[each.group] for each in TRANSFORMS]),
            "twice": torch.tensor([each.twice for each in TRANSFORMS]),
            "low": low,
            "span": high - low,
            "std": torch.tensor([each.std for each in columns]),
            "whole": torch.tensor([each.whole for each in columns]),
            "owner": torch.tensor([TRANSFORMS.index(each) for each in columns]),
        }
        for name, value in tensors.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor, p: Tensor) -> Values:
        """Values for images `[N, C, H, W]`, each transform with p (0-dim) times its multiplier."""
        count, dtype = len(images), widened(images.dtype)
        transforms, columns = len(self.probabilities), len(self.owner)
        uniform = torch.rand(count, transforms + columns, dtype=dtype, device=images.device)
        normal = torch.randn(count, columns, dtype=dtype, device=images.device)
        chance = (p * self.probabilities).clamp(max=1)
        chance = torch.where(self.twice, 1 - (1 - chance).sqrt(), chance)
        coins = uniform[:, :transforms] < chance
        values = self.low + self.span * uniform[:, transforms:] + self.std * normal
        values = torch.where(self.whole, values.floor(), values)
        values = values * coins.index_select(1, self.owner)
        return named(values.to(dtype))


def named(values: Tensor) -> Values:
    """The columns `[N, all columns]` of each transform by its name."""
    parts = torch.split(values, [transform.columns for transform in TRANSFORMS], dim=1)
    return {transform.name: part for transform, part in zip(TRANSFORMS, parts, strict=True)}


def nothing(images: Tensor) -> dict[str, Tensor]:
    """Values that leave these images as they are."""
    columns = sum(transform.columns for transform in TRANSFORMS)
    zeros = torch.zeros(len(images), columns, dtype=widened(images.dtype), device=images.device)
    return dict(named(zeros))
