"""Batch norm with a scale and a shift of its own for each image.

The statistics are common to all classes: those of torch's batch norm, so that joint batch norm of
several devices works.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from gan_modules.networks.spectral import SpectralLinear

Norm = Callable[[int], nn.Module]
"""Makes a norm of so many channels; it is called with maps and a condition of each image."""


class PlainBatchNorm2d(nn.Module):
    """Batch norm that ignores the condition."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` to maps of the same shape."""
        return self.norm(maps)


class ClassBatchNorm2d(nn.Module):
    """A scale, from 1, and a shift, from 0, for each class and channel (Dumoulin et al. 2017).

    https://arxiv.org/abs/1610.07629
    """

    def __init__(self, channels: int, num_classes: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, affine=False)
        self.scale = nn.Parameter(torch.ones(num_classes, channels))
        self.shift = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` and classes `[N]` to maps of the same shape."""
        scale, shift = embedding(condition, self.scale), embedding(condition, self.shift)
        return scaled(self.norm(maps), scale, shift)


class VectorBatchNorm2d(nn.Module):
    """Scale 1 + A e and shift C e of a vector e, without biases, spectrally normalised.

    (Brock et al. 2019, appendix B, https://arxiv.org/abs/1809.11096)
    """

    def __init__(
        self, channels: int, features: int, eps: float = 1e-5, spectral_eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps, affine=False)
        self.scale = SpectralLinear(features, channels, bias=False, eps=spectral_eps)
        self.shift = SpectralLinear(features, channels, bias=False, eps=spectral_eps)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` and vectors `[N, features]` to maps of the same shape."""
        return scaled(self.norm(maps), 1 + self.scale(condition), self.shift(condition))


def scaled(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Maps `[N, C, H, W]` times scales `[N, C]` plus shifts `[N, C]`, in the maps' type."""
    scale, shift = scale.to(maps.dtype), shift.to(maps.dtype)
    return torch.addcmul(shift[:, :, None, None], maps, scale[:, :, None, None])
