"""Signs that generated images show an augmentation that only the discriminator should see.

Each compares generated with real images; whatever real images show as well is no sign.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GRAY = 0.1
"""Mean distance from 0 of a patch that counts as gray; pixels lie in [-1, 1]."""
DIRECTED = 0.7
"""Least agreement of two halves of the real images on what is up, for turns to be measured."""


def squares(images: Tensor) -> Tensor:
    """Whether each image has a gray square, of a quarter of its side; bool `[N]`.

    The cutout's is half the side, and at a corner a quarter of it is left.
    """
    gray = images.abs().mean(1, keepdim=True)
    height, width = (max(2, side // 4) for side in images.shape[2:])
    return F.avg_pool2d(gray, (height, width), stride=1).flatten(1).amin(1) < GRAY


def borders(images: Tensor) -> Tensor:
    """Whether one of each image's borders is gray, a sixteenth of its side wide; bool `[N]`."""
    gray = images.abs().mean(1)
    ends = []
    for line in (gray.mean(2), gray.mean(1)):  # rows, columns
        width = max(1, line.shape[1] // 16)
        ends += [line[:, :width].mean(1), line[:, -width:].mean(1)]
    return torch.stack(ends).amin(0) < GRAY


def upright(images: Tensor) -> Tensor:
    """What of the mean image `[C, H, W]` changes when it is turned."""
    mean = images.mean(0)
    turns = range(4) if mean.shape[1] == mean.shape[2] else (0, 2)
    return mean - torch.stack([torch.rot90(mean, turn, (1, 2)) for turn in turns]).mean(0)


def agreement(images: Tensor, others: Tensor) -> float:
    """How upright images are, over how upright the others are; 0 if they are turned at random."""
    up = upright(others)
    return float((upright(images) * up).sum() / up.square().sum())


def leaks(fake: Tensor, real: Tensor) -> dict[str, float]:
    """Signs of leaks by log name, from images `[N, C, H, W]` of both kinds.

    Returns:
        `leak/squares` and `leak/borders`: shares of images, less that of the real ones;
        `leak/brightness`: spread of the images' means, over the real ones';
        `leak/turns`: 0 if the mean image is as upright as the real one, 1 if it has no direction.
        It is left out if the real one has none.
    """
    values = {
        "leak/squares": float(squares(fake).float().mean() - squares(real).float().mean()),
        "leak/borders": float(borders(fake).float().mean() - borders(real).float().mean()),
        "leak/brightness": float(fake.mean((1, 2, 3)).std() / real.mean((1, 2, 3)).std()),
    }
    first, second = real.chunk(2)
    if min(agreement(first, second), agreement(second, first)) > DIRECTED:
        values["leak/turns"] = 1 - agreement(fake, real)
    return values
