"""Transforms 1 to 7 of ADA: one affine map an image, then one resampling.

Positions are in pixels, to the right and down from the centre of the image.
"""

import math
from functools import reduce

import torch
from torch import Tensor

from gan_modules.parts.ada.draws import Values
from gan_modules.parts.ada.resampling import resampled

NAMES = (
    *("flip", "quarter_turns", "whole_shift"),
    *("scale", "turn_before", "stretch", "turn_after", "shift"),
)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Maps `[N, 3, 3]` that multiply both coordinates by `[N]`."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix(x, zero, zero, zero, y, zero, zero, zero, one)


def rotation(angle: Tensor) -> Tensor:
    """Maps `[N, 3, 3]` that turn by angles `[N]` in radians, from x towards y."""
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return _matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Maps `[N, 3, 3]` that move by `[N]` pixels."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix(one, zero, x, zero, one, y, zero, zero, one)


def _matrix(*entries: Tensor) -> Tensor:
    return torch.stack(entries, dim=-1).view(-1, 3, 3)


def inverse_map(values: Values, height: int, width: int) -> Tensor:
    """Where each pixel of the result comes from: `[N, 3, 3]`.

    The inverses of the transforms in their order: the first one of the list is next to the image.
    """
    one = {name: values[name][:, 0] for name in NAMES}
    two = {name: values[name][:, 1] for name in ("whole_shift", "shift")}
    scale, stretch = torch.exp2(-one["scale"]), torch.exp2(-one["stretch"])
    flipped = 1 - 2 * one["flip"]
    whole = (one["whole_shift"] * width).round(), (two["whole_shift"] * height).round()
    steps = [
        scaling(flipped, torch.ones_like(flipped)),
        rotation(-math.pi / 2 * one["quarter_turns"]),
        translation(-whole[0], -whole[1]),
        scaling(scale, scale),
        rotation(-one["turn_before"]),
        scaling(stretch, 1 / stretch),
        rotation(-one["turn_after"]),
        translation(-one["shift"] * width, -two["shift"] * height),
    ]
    return reduce(torch.matmul, steps)


def moved(images: Tensor, values: Values) -> Tensor:
    """Images `[N, C, H, W]` after their maps; the very same numbers where nothing is to be done."""
    inverse = inverse_map(values, images.shape[2], images.shape[3])
    spared = torch.stack([(values[name] == 0).all(dim=1) for name in NAMES]).all(dim=0)
    return torch.where(spared[:, None, None, None], images, resampled(images, inverse))
