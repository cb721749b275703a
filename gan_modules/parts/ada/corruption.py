"""Transforms 17 and 18 of ADA: noise, and a square that is cut out."""

import torch
from torch import Tensor

from gan_modules.parts.ada.draws import Values


def noisy(images: Tensor, values: Values) -> Tensor:
    """Images `[N, C, H, W]`, each with normal noise of its own strength."""
    std = values["noise"].abs()[:, :, None, None]
    return images + std * torch.randn_like(images)


def cut(images: Tensor, values: Values) -> Tensor:
    """Images `[N, C, H, W]` with zeros, which are gray, in a square that the border may cut."""
    side, x, y = (column[:, None] for column in values["cutout"].unbind(dim=1))
    height, width = images.shape[2:]
    inside_y = (_centres(height, side) - y).abs() < side / 2
    inside_x = (_centres(width, side) - x).abs() < side / 2
    hidden = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return images.masked_fill(hidden, 0)


def _centres(size: int, like: Tensor) -> Tensor:
    """The middle of each pixel as a share of the row."""
    return (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size
