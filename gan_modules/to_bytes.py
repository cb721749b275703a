"""Pixels from the networks' range to that of files."""

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1], of any shape, to bytes; values outside are clipped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
