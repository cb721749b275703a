"""Residual networks without any norm, for R1 (Mescheder et al. 2018).

https://arxiv.org/abs/1801.04406. Classes enter the generator as a vector of unit length beside the
latent; the discriminator has one output a class. Each residual branch is multiplied by 0.1.

The paper trains them on images of 64 pixels and more. Layers are those of the authors' code.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, normalize

from gan_modules.networks.layers import LeakyReLU
from gan_modules.networks.network import Discriminator, Generator
from gan_modules.networks.resampled import upsampled
from gan_modules.precision import wide, without_autocast

WIDEST = 8
"""The most channels, in widths."""


class PlainBlock(nn.Module):
    """Leaky ReLU and 3x3 convolution, twice, times 0.1; a 1x1 shortcut if the width changes."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        inner = min(width_in, width_out)
        self.branch = nn.Sequential(
            LeakyReLU(0.2),
            nn.Conv2d(width_in, inner, 3, padding=1),
            LeakyReLU(0.2),
            nn.Conv2d(inner, width_out, 3, padding=1),
        )
        changes = width_in != width_out
        self.shortcut = nn.Conv2d(width_in, width_out, 1, bias=False) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C_in, H, W]` to `[N, C_out, H, W]`."""
        return self.shortcut(maps) + 0.1 * self.branch(maps)


def widths_of(image_size: int, width: int) -> list[int]:
    """Channels at each size, from the full one down to 4x4 or 6x6."""
    halvings = (image_size // 4).bit_length() - 1
    return [width * min(2**n, WIDEST) for n in range(halvings + 1)]


class R1ResNetGenerator(Generator):
    """A linear layer to 4x4 or 6x6 maps, one block a size, nearest upsampling, tanh.

    Args:
        latent_dim: length of the latents. Paper: 256.
        width: channels at the full size; twice as many at each half of it, at most 8 times. Paper:
            64.
        conditional: whether the class's vector enters.
        embedding: length of the class's vector. Paper: 256.
    """

    image_sizes = (32, 48, 64, 96, 128)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 64,
        conditional: bool = False,
        embedding: int = 256,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, embedding=embedding)
        self.conditional = conditional
        widths = widths_of(image_size, width)[::-1]
        side = image_size >> len(widths) - 1
        self.shape = (widths[0], side, side)
        self.embedding = nn.Embedding(num_classes, embedding) if conditional else None
        features = latent_dim + (embedding if conditional else 0)
        self.project = nn.Linear(features, widths[0] * side**2)
        pairs = zip(widths, widths[1:] + widths[-1:], strict=True)
        self.blocks = nn.ModuleList(PlainBlock(*pair) for pair in pairs)
        self.last = nn.Sequential(
            LeakyReLU(0.2), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, H, W]`."""
        if self.embedding is not None:
            latent = torch.cat([latent, normalize(self.embedding(classes))], dim=1)
        maps = self.project(latent).view(-1, *self.shape)
        first, *others = self.blocks
        maps = first(maps)
        for block in others:
            maps = block(upsampled(maps))
        return self.last(maps)


class R1ResNetDiscriminator(Discriminator):
    """A 3x3 convolution, one block a size, means of 3x3 pixels of stride 2, one linear layer.

    Args:
        width: channels at the full size; twice as many at each half of it, at most 8 times. Paper:
            64.
        conditional: one output a class, of which the image's class is chosen.
    """

    image_sizes = (32, 48, 64, 96, 128)

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 64,
        conditional: bool = False,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        self.conditional = conditional
        widths = widths_of(image_size, width)
        side = image_size >> len(widths) - 1
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        pairs = zip(widths[:1] + widths[:-1], widths, strict=True)
        self.blocks = nn.ModuleList(PlainBlock(*pair) for pair in pairs)
        self.last = nn.Linear(widths[-1] * side**2, num_classes if conditional else 1)
        self.activation = LeakyReLU(0.2)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and classes `[N]` to logits `[N]`, in float32 under autocast."""
        first, *others = self.blocks
        maps = first(self.first(images))
        for block in others:
            maps = block(avg_pool2d(maps, 3, stride=2, padding=1))
        with without_autocast(maps):
            logits: Tensor = self.last(wide(self.activation(maps)).flatten(1))
        if self.conditional:
            logits = logits.gather(1, classes[:, None])
        return logits.squeeze(1)
