"""Residual blocks of generators and discriminators (Miyato et al. 2018, appendix B, figures 8, 9).

https://arxiv.org/abs/1802.05957. Where a 1x1 convolution and a change of size follow each other,
the one that makes less work for the other goes first: they commute.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from gan_modules.networks.conditional import Norm
from gan_modules.networks.resampled import (
    ConvPool2d,
    SpectralConvPool2d,
    SpectralUpConv2d,
    UpConv2d,
    upsampled,
)
from gan_modules.networks.spectral import (
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    power_iterate,
)

Weighted = nn.Conv2d | nn.Linear | nn.Embedding


class Layers(NamedTuple):
    """The layers that a network is made of: with spectral normalisation, or without."""

    conv: Callable[..., nn.Conv2d]
    up_conv: Callable[[int, int], nn.Conv2d]
    conv_pool: Callable[[int, int], nn.Conv2d]
    linear: Callable[..., nn.Linear]
    embedding: Callable[[int, int], nn.Embedding]


PLAIN = Layers(nn.Conv2d, UpConv2d, ConvPool2d, nn.Linear, nn.Embedding)


def spectral(eps: float = 1e-12) -> Layers:
    """Layers with spectral normalisation."""
    return Layers(
        partial(SpectralConv2d, eps=eps),
        partial(SpectralUpConv2d, eps=eps),
        partial(SpectralConvPool2d, eps=eps),
        partial(SpectralLinear, eps=eps),
        partial(SpectralEmbedding, eps=eps),
    )


class UpBlock(nn.Module):
    """Block of a generator: doubles the side."""

    def __init__(self, width_in: int, width_out: int, layers: Layers, norm: Norm) -> None:
        super().__init__()
        self.first_norm = norm(width_in)
        self.first = layers.up_conv(width_in, width_out)
        self.second_norm = norm(width_out)
        self.second = layers.conv(width_out, width_out, 3, padding=1)
        self.shortcut = layers.conv(width_in, width_out, 1)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Maps `[N, C_in, H, W]` and what the norms need to `[N, C_out, 2 H, 2 W]`."""
        inner = self.first(relu(self.first_norm(maps, condition), inplace=True))
        inner = self.second(relu(self.second_norm(inner, condition), inplace=True))
        return inner + upsampled(self.shortcut(maps))


class FirstBlock(nn.Module):
    """First block of a discriminator: sees pixels, not activations, and halves the side."""

    def __init__(self, channels: int, width: int, layers: Layers) -> None:
        super().__init__()
        self.first = layers.conv(channels, width, 3, padding=1)
        self.second = layers.conv_pool(width, width)
        self.shortcut = layers.conv(channels, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]` to maps `[N, width, H/2, W/2]`."""
        inner = self.second(relu(self.first(images), inplace=True))
        return inner + self.shortcut(avg_pool2d(images, 2))


class DownBlock(nn.Module):
    """Block of a discriminator: halves the side if it pools."""

    def __init__(self, width_in: int, width_out: int, layers: Layers, pools: bool) -> None:
        super().__init__()
        self.pools = pools
        self.first = layers.conv(width_in, width_in, 3, padding=1)
        conv = layers.conv_pool if pools else partial(layers.conv, kernel_size=3, padding=1)
        self.second = conv(width_in, width_out)
        changes = pools or width_in != width_out
        self.shortcut = layers.conv(width_in, width_out, 1) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C_in, H, W]` to `[N, C_out, H, W]`, or half that side.

        The shortcut carries the maps as they come, so the first ReLU must not change them in place.
        """
        inner = self.second(relu(self.first(relu(maps)), inplace=True))
        return inner + self.shortcut(avg_pool2d(maps, 2) if self.pools else maps)


def initialize_glorot(network: nn.Module) -> None:
    """Glorot's uniform weights, with gain sqrt 2 in the 3x3 convolutions of blocks; biases 0.

    (Miyato et al.'s code.) Convolutions then lie in channels_last memory.
    """
    inside = {
        module
        for block in network.modules()
        if isinstance(block, UpBlock | FirstBlock | DownBlock)
        for module in (block.first, block.second)
    }

    def draw(layer: Weighted) -> None:
        nn.init.xavier_uniform_(layer.weight, 2**0.5 if layer in inside else 1.0)

    initialize(network, draw)


def initialize(network: nn.Module, draw: Callable[[Weighted], object]) -> None:
    """Draw the weights of all convolutions, linear layers and embeddings; biases become 0.

    Convolutions then lie in channels_last memory, and spectral norms know the weights.
    """
    for module in network.modules():
        if isinstance(module, Weighted):
            draw(module)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)
    network.to(memory_format=torch.channels_last)
    power_iterate(network)
