"""R3GAN's networks (Huang et al. 2024, https://arxiv.org/abs/2501.05441, section 4 and appendix).

Residual blocks of a 1x1, a grouped 3x3 and a 1x1 convolution, without any norm: each block begins
as the identity, since its last convolution is zero at first. Images are unbounded: no tanh.

Under autocast the maps of 4x4 pixels, and all changes of size, are float32. Kernels are contiguous:
in channels_last, grouped convolutions are slower on a CPU (minmax/benchmarks/README.md).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_modules.networks.convolution import Conv2d
from gan_modules.networks.layers import LeakyReLU
from gan_modules.networks.network import Discriminator, Generator
from gan_modules.networks.resampled import filtered_down, filtered_up
from gan_modules.precision import wide, without_autocast
from minmax.errors import UserError

SMALLEST = 4
"""Side of the first maps of the generator, and of the last of the discriminator."""
BLOCKS = 2
"""Residual blocks of each size."""
LEAKY_GAIN = math.sqrt(2 / 1.04)
"""Keeps the mean square of maps behind a leaky ReLU of slope 0.2."""


class R3GANBlock(nn.Module):
    """1x1 to twice the width, grouped 3x3, 1x1 back; leaky ReLU behind the first two; the input.

    Args:
        width: of the maps that enter and leave, a multiple of half of `group`.
        group: channels of a group of the 3x3 convolution.
    """

    def __init__(self, width: int, group: int) -> None:
        super().__init__()
        inner = 2 * width
        self.first = Conv2d(width, inner, 1)
        self.second = Conv2d(inner, inner, 3, padding=1, groups=inner // group)
        self.third = Conv2d(inner, width, 1, bias=False)
        self.activation = LeakyReLU(0.2)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, width, H, W]` to the same shape."""
        inner = self.activation(self.second(self.activation(self.first(maps))))
        return maps + self.third(inner)


class Stage(nn.Module):
    """Blocks of one size.

    Args:
        width: of the blocks.
        group: channels of a group of their 3x3 convolutions.
    """

    def __init__(self, width: int, group: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(R3GANBlock(width, group) for _ in range(BLOCKS)))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, width, H, W]` to the same shape; those of 4x4 pixels in float32."""
        if maps.shape[-1] > SMALLEST:
            return self.blocks(maps)
        with without_autocast(maps):
            return self.blocks(wide(maps))


class Basis(nn.Module):
    """Learnt maps `[width, 4, 4]`, each times a number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.empty(width, SMALLEST, SMALLEST))
        nn.init.normal_(self.maps)

    def forward(self, factors: Tensor) -> Tensor:
        """Factors `[N, width]` to maps `[N, width, 4, 4]`."""
        return self.maps * factors[:, :, None, None]


def narrowing(width_in: int, width_out: int) -> nn.Module:
    """A 1x1 convolution where the width changes."""
    if width_in == width_out:
        return nn.Identity()
    return Conv2d(width_in, width_out, 1, bias=False)


def widths_of(network: str, image_size: int, width: int, group: int) -> list[int]:
    """Channels at 4, 8, ... pixels: the width up to 32 pixels, then half of it at each doubling.

    Raises:
        UserError: the groups don't divide one of them.
    """
    halvings = range(max(0, int(math.log2(image_size / 32))), -1, -1)
    last = halvings[0]
    widths = [width] * (int(math.log2(image_size // SMALLEST)) + 1 - last)
    widths += [width >> halving for halving in range(1, last + 1)]
    if any(2 * one % group for one in widths) or width % (1 << last):
        raise UserError(
            f"`width` {width} of {network}: at {image_size} pixels twice of each of its widths, "
            f"{', '.join(map(str, dict.fromkeys(widths)))}, must be a multiple of `group` {group}. "
            f"Choose a multiple of {(group << last) // math.gcd(group, 2)}, or a smaller group"
        )
    return widths


@torch.no_grad()
def initialize(network: nn.Module, embedding: nn.Embedding | None, embedding_gain: float) -> None:
    """Weights from N(0, gain^2 / fan_in), biases 0, each block the identity (appendix).

    The gain is L^(-1/4) sqrt(2 / 1.04) in the first two convolutions of each of L blocks, 0 in the
    third, and 1 elsewhere. An embedding's fan-in is its number of classes.
    """
    blocks = [module for module in network.modules() if isinstance(module, R3GANBlock)]
    gains: dict[nn.Module, float] = dict.fromkeys((block.third for block in blocks), 0.0)
    for block in blocks:
        gains |= dict.fromkeys((block.first, block.second), LEAKY_GAIN * len(blocks) ** -0.25)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=gains.get(layer, 1.0) * fan_in**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if embedding is not None:
        nn.init.normal_(embedding.weight, std=embedding_gain * embedding.num_embeddings**-0.5)


class R3GANGenerator(Generator):
    """Learnt 4x4 maps, each times a number of the latent; stages that double the size; a 1x1.

    Args:
        latent_dim: length of the latents. Paper: 64.
        width: channels up to 32 pixels; half of them at each size above. Paper: 768.
        conditional: whether a vector of the class enters beside the latent.
        embedding: length of that vector. Paper: 64.
        group: channels of a group of the 3x3 convolutions. Paper: 16.
    """

    image_sizes = (32, 64, 128, 256)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 768,
        conditional: bool = False,
        embedding: int = 64,
        group: int = 16,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, embedding=embedding, group=group)
        self.conditional = conditional
        widths = widths_of(type(self).__name__, image_size, width, group)
        self.embedding = nn.Embedding(num_classes, embedding) if conditional else None
        features = latent_dim + (embedding if conditional else 0)
        self.project = nn.Linear(features, width, bias=False)
        self.basis = Basis(width)
        self.first = Stage(width, group)
        self.narrowings, self.stages = nn.ModuleList(), nn.ModuleList()
        for width_in, width_out in pairwise(widths):
            self.narrowings.append(narrowing(width_in, width_out))
            self.stages.append(Stage(width_out, group))
        self.last = Conv2d(widths[-1], channels, 1, bias=False)
        initialize(self, self.embedding, 1.0)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, H, W]`, unbounded."""
        if self.embedding is not None:
            latent = torch.cat([latent, self.embedding(classes)], dim=1)
        with without_autocast(latent):  # bfloat16 would round the latents to 8 bits
            maps = self.basis(self.project(wide(latent)))
        maps = self.first(maps)
        for narrow, stage in zip(self.narrowings, self.stages, strict=True):
            maps = stage(filtered_up(narrow(maps)))
        return self.last(maps)


class R3GANDiscriminator(Discriminator):
    """A 1x1 convolution, stages that halve the size, a depthwise 4x4 convolution, a linear layer.

    With classes the linear layer's outputs are multiplied by a vector of the class and summed.

    Args:
        width: channels up to 32 pixels; half of them at each size above. Paper: 768.
        conditional: whether it judges images by their class.
        group: channels of a group of the 3x3 convolutions. Paper: 16.
    """

    image_sizes = (32, 64, 128, 256)

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 768,
        conditional: bool = False,
        group: int = 16,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, group=group)
        self.conditional = conditional
        widths = widths_of(type(self).__name__, image_size, width, group)[::-1]
        self.first = Conv2d(channels, widths[0], 1, bias=False)
        self.narrowings, self.stages = nn.ModuleList(), nn.ModuleList()
        for width_in, width_out in pairwise(widths):
            self.stages.append(Stage(width_in, group))
            self.narrowings.append(narrowing(width_in, width_out))
        self.last = Stage(width, group)
        self.pool = Conv2d(width, width, SMALLEST, groups=width, bias=False)
        self.embedding = nn.Embedding(num_classes, width) if conditional else None
        self.linear = nn.Linear(width, width if conditional else 1, bias=False)
        initialize(self, self.embedding, width**-0.5)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and classes `[N]` to logits `[N]`, in float32 under autocast."""
        maps = self.first(images)
        for stage, narrow in zip(self.stages, self.narrowings, strict=True):
            maps = narrow(filtered_down(stage(maps)))
        maps = self.last(maps)
        with without_autocast(maps):
            logits: Tensor = self.linear(self.pool(maps).flatten(1))
            if self.embedding is not None:
                logits = (self.embedding(classes) * logits).sum(1, keepdim=True)
            return logits.squeeze(1)
