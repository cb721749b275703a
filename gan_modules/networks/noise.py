"""Noise that StyleGAN2's and FastGAN's generators add to their maps."""

import torch
from torch import Tensor, nn


class ScalarNoise(nn.Module):
    """Noise of one number a pixel, in a strength that is learnt.

    Args:
        side: of the maps.
    """

    noise: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def drawn(self, count: int) -> Tensor:
        """`[count, 1, side, side]` anew in training; else the layer's own, `[1, 1, side, side]`."""
        noise = self.noise
        if self.training:
            noise = torch.randn_like(noise.expand(count, -1, -1, -1))
        return noise * self.strength

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C, side, side]` with noise."""
        return maps + self.drawn(maps.shape[0]).to(maps.dtype)
