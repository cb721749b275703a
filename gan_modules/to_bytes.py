"""The pixels of images, from the networks' range to a file's."""

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1], of any shape, to bytes; what lies outside is clipped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
