"""FastGAN's networks (Liu et al. 2021, https://arxiv.org/abs/2101.04775), for few images.

Maps of a low resolution weigh the channels of a high one (skip-layer excitation, section 3.1). The
generator draws each image at two sizes. The discriminator judges both, each at 5x5 places, and has
decoders that draw real images from its maps (section 3.2). Spectral norm on all weights; no biases
but those of batch norm. Layers are those of the authors' code.

Deviations: all images end in tanh, also those of 256 pixels. Noise is a map of the layer's own in
eval mode, so that images depend on their latents alone. Power iterations begin on the initial
weights (`spectral.py`); the first layer's norm is that of the linear layer which it is. The random
quarter is each image's own, and decoders draw half the side. The paper's smallest images have 256
pixels. Below, the blocks up to the image's size are kept; at 32 pixels the first maps excite the
last ones.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gan_modules.networks.layers import LeakyReLU
from gan_modules.networks.network import Discriminator, Generator, initialize_dcgan
from gan_modules.networks.noise import ScalarNoise
from gan_modules.networks.resampled import SpectralUpConv2d
from gan_modules.networks.spectral import SpectralConv2d, SpectralLinear, power_iterate

SIZES = (32, 64, 128, 256)
SMALLEST = 4
"""Side of the generator's first maps, and of those from which channels are weighed."""
LAST = 8
"""Side of the discriminator's last maps."""
GENERATOR_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5}
"""Channels, in widths, by side; decoders have half of them."""


def scaled(width: int, share: float) -> int:
    """A share of the width, at least one channel."""
    return max(1, int(width * share))


class Gated(nn.Sequential):
    """Layers to twice the channels, batch norm, and a gate: half of it times sigmoid of the rest.

    Args:
        width: channels of the outputs.
        layers: to maps of `2 * width` channels.
    """

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__(*layers, nn.BatchNorm2d(2 * width), nn.GLU(dim=1))


class UpBlock(nn.Sequential):
    """Nearest upsampling, a 3x3 convolution, a gate; the convolution and the gate again if double.

    Args:
        width_in: channels of the inputs.
        width_out: channels of the outputs.
        side: of the outputs.
        double: whether there are two convolutions, which then have noise.
    """

    def __init__(self, width_in: int, width_out: int, side: int, double: bool) -> None:
        up = SpectralUpConv2d(width_in, 2 * width_out, bias=False)
        if not double:
            super().__init__(Gated(width_out, up))
            return
        again = SpectralConv2d(width_out, 2 * width_out, 3, padding=1, bias=False)
        super().__init__(
            Gated(width_out, up, ScalarNoise(side)), Gated(width_out, again, ScalarNoise(side))
        )


class Excitation(nn.Sequential):
    """Skip-layer excitation: one map weighs the channels of another (section 3.1, equation 1).

    Args:
        width_in: channels of the maps that weigh.
        width_out: channels of those that are weighed.
        side: of the former.
    """

    def __init__(self, width_in: int, width_out: int, side: int) -> None:
        super().__init__(
            nn.AvgPool2d(side // SMALLEST),
            SpectralConv2d(width_in, width_out, SMALLEST, bias=False),
            nn.SiLU(),
            SpectralConv2d(width_out, width_out, 1, bias=False),
            nn.Sigmoid(),
        )


def excited(reach: int, last: int) -> dict[int, int]:
    """Which maps weigh which: by number of the latter, that of the former, `reach` before it.

    If the network is too short for that, the first ones weigh the last ones.
    """
    return {number: number - reach for number in range(reach, last + 1)} or {last: 0}


def chained(
    first: Tensor, blocks: nn.ModuleList, sources: dict[int, int], excitations: nn.ModuleList
) -> list[Tensor]:
    """The first maps, and those behind each block; some weighed by earlier ones, as `excited`."""
    weighing = dict(zip(sources, excitations, strict=True))
    maps = [first]
    for target, block in enumerate(blocks, start=1):
        maps.append(block(maps[-1]))
        if target in weighing:
            maps[-1] = maps[-1] * weighing[target](maps[sources[target]])
    return maps


class FastGANGenerator(Generator):
    """From 4x4 maps by double and single blocks in turn, with skip-layer excitation.

    Args:
        latent_dim: length of the latents. Paper: 256.
        width: channels at 128 pixels, and a 16th of those at 4. Paper: 64.
    """

    image_sizes = SIZES

    def __init__(
        self, latent_dim: int, channels: int, image_size: int, num_classes: int, width: int = 64
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        sides = [side for side in GENERATOR_WIDTHS if side <= image_size]
        widths = [scaled(width, GENERATOR_WIDTHS[side]) for side in sides]
        features = 2 * widths[0] * SMALLEST**2
        self.first = Gated(
            widths[0],
            SpectralLinear(latent_dim, features, bias=False),
            nn.Unflatten(1, (2 * widths[0], SMALLEST, SMALLEST)),
        )
        self.blocks = nn.ModuleList(
            UpBlock(*pair, side, double=number % 2 == 0)
            for number, (pair, side) in enumerate(zip(pairwise(widths), sides[1:], strict=True))
        )
        self.sources = excited(4, len(self.blocks))
        self.excitations = nn.ModuleList(
            Excitation(widths[source], widths[target], sides[source])
            for target, source in self.sources.items()
        )
        self.to_small = SpectralConv2d(widths[-2], channels, 1, bias=False)
        self.to_image = SpectralConv2d(widths[-1], channels, 3, padding=1, bias=False)
        initialize_dcgan(self)
        power_iterate(self)

    def maps(self, latent: Tensor) -> list[Tensor]:
        """Latents `[N, latent_dim]` to the maps of all sides from 4 on."""
        return chained(self.first(latent), self.blocks, self.sources, self.excitations)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, H, W]`."""
        return self.to_image(self.maps(latent)[-1]).tanh()

    def both(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents `[N, latent_dim]` to images `[N, C, H, W]` and `[N, C, H/2, W/2]`."""
        *_, half, full = self.maps(latent)
        return self.to_image(full).tanh(), self.to_small(half).tanh()


def down(width_in: int, width_out: int) -> list[nn.Module]:
    """A 4x4 convolution to half the size, batch norm, leaky ReLU."""
    convolution = SpectralConv2d(width_in, width_out, 4, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(width_out), LeakyReLU(0.2)]


class DownBlock(nn.Module):
    """Mean of two ways to half the size: two convolutions, and means of 2x2 pixels with one."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *down(width_in, width_out),
            SpectralConv2d(width_out, width_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            LeakyReLU(0.2),
        )
        self.direct = nn.Sequential(
            nn.AvgPool2d(2),
            SpectralConv2d(width_in, width_out, 1, bias=False),
            nn.BatchNorm2d(width_out),
            LeakyReLU(0.2),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, width_in, H, W]` to `[N, width_out, H/2, W/2]`."""
        return (self.main(maps) + self.direct(maps)) / 2


class Decoder(nn.Sequential):
    """Maps of 8x8 to images, by the generator's single blocks with half its channels.

    Args:
        width_in: channels of the maps.
        channels: of the images.
        side: of the images.
        width: of the discriminator.
    """

    def __init__(self, width_in: int, channels: int, side: int, width: int) -> None:
        sides = [size for size in GENERATOR_WIDTHS if LAST < size <= side]
        widths = [width_in, *(scaled(width, GENERATOR_WIDTHS[size] / 2) for size in sides)]
        pairs = zip(pairwise(widths), sides, strict=True)
        super().__init__(
            *(UpBlock(*pair, size, double=False) for pair, size in pairs),
            SpectralConv2d(widths[-1], channels, 3, padding=1, bias=False),
            nn.Tanh(),
        )


class Seen(NamedTuple):
    """What the discriminator makes of images at both sizes.

    Attributes:
        logits: `[N, 50]`, of 5x5 places at both sizes.
        last: maps of the images, `[N, 8 width, 8, 8]`.
        before: those before them, `[N, 4 width, 16, 16]`.
        small: maps of the small images, `[N, 4 width, 8, 8]`.
    """

    logits: Tensor
    last: Tensor
    before: Tensor
    small: Tensor


class FastGANDiscriminator(Discriminator):
    """Residual blocks with skip-layer excitation, a branch for the small images, three decoders.

    Args:
        width: an eighth of the channels of the last maps. Paper: 64.
    """

    image_sizes = SIZES

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 64) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        sides = [side for side in reversed(GENERATOR_WIDTHS) if LAST <= side <= image_size]
        widths = [scaled(width, 64 / side) for side in sides]
        halves = [scaled(width, 32 / side) for side in sides[2:]]
        self.first = nn.Sequential(
            SpectralConv2d(channels, widths[0], 3, padding=1, bias=False), LeakyReLU(0.2)
        )
        self.blocks = nn.ModuleList(DownBlock(*pair) for pair in pairwise(widths))
        self.sources = excited(3, len(self.blocks))
        self.excitations = nn.ModuleList(
            Excitation(widths[source], widths[target], sides[source])
            for target, source in self.sources.items()
        )
        self.head = nn.Sequential(
            SpectralConv2d(widths[-1], 2 * widths[-1], 1, bias=False),
            nn.BatchNorm2d(2 * widths[-1]),
            LeakyReLU(0.2),
            SpectralConv2d(2 * widths[-1], 1, 4, bias=False),
        )
        self.small = nn.Sequential(
            SpectralConv2d(channels, halves[0], 4, stride=2, padding=1, bias=False),
            LeakyReLU(0.2),
            *(layer for pair in pairwise(halves) for layer in down(*pair)),
        )
        self.small_head = SpectralConv2d(halves[-1], 1, 4, bias=False)
        self.decoders = nn.ModuleList(
            Decoder(features, channels, image_size // 2, width)
            for features in (widths[-1], halves[-1], widths[-2])
        )
        initialize_dcgan(self)
        power_iterate(self)

    def look(self, images: Tensor, small: Tensor) -> Seen:
        """Images `[N, C, H, W]` and `[N, C, H/2, W/2]` to logits and maps."""
        maps = chained(self.first(images), self.blocks, self.sources, self.excitations)
        of_small = self.small(small)
        logits = [self.head(maps[-1]).flatten(1), self.small_head(of_small).flatten(1)]
        return Seen(torch.cat(logits, dim=1), maps[-1], maps[-2], of_small)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Mean logits `[N]` of images `[N, C, H, W]` and of means of their 2x2 pixels."""
        return self.look(images, avg_pool2d(images, 2)).logits.mean(1)

    def decode(self, seen: Seen, places: Tensor) -> list[Tensor]:
        """What its maps tell of the images: three images `[N, C, H/2, W/2]`.

        Args:
            seen: of the images.
            places: number of a quarter of each image, int64 `[N]`.

        Returns:
            The whole image from the maps of either size, and its quarter.
        """
        inputs = (seen.last, seen.small, quarter(seen.before, places))
        return [decoder(maps) for decoder, maps in zip(self.decoders, inputs, strict=True)]


def quarter(maps: Tensor, places: Tensor) -> Tensor:
    """A quarter of each map, 0 to 3 row by row: `[N, C, H, W]` to `[N, C, H/2, W/2]`."""
    count, channels, height, width = maps.shape
    parts = maps.reshape(count, channels, 2, height // 2, 2, width // 2)
    each = torch.arange(count, device=maps.device)
    return parts[each, :, places // 2, :, places % 2]
