"""Convolutional networks of any depth, to measure what a layer does (docs/studies.md).

Each layer of a generator doubles the side of the maps and halves the width; a discriminator's does
the reverse. So a generator with one layer less starts from larger and narrower maps.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from gan_modules.networks.layers import ConvTranspose2d, LeakyReLU
from gan_modules.networks.network import Discriminator, Generator, initialize_dcgan
from minmax.errors import UserError
from minmax.image_sizes import Size, shown, sides


def smallest(image_size: Size, depth: int) -> tuple[int, int]:
    """Height and width of the smallest maps of a network.

    Raises:
        UserError: the sides of the images can't be halved `depth` times.
    """
    whole = 1 <= depth < min(sides(image_size)).bit_length()  # else the power may be huge
    if not whole or any(side % 2**depth for side in sides(image_size)):
        raise UserError(
            f"`depth` is {depth}, but must be at least 1, and the sides of {shown(image_size)} "
            "pixels must stay whole when halved so often. Choose another depth, or another "
            "`image_size`"
        )
    height, width = sides(image_size)
    return height // 2**depth, width // 2**depth


class StackedGenerator(Generator):
    """A linear layer, then `depth` transposed convolutions.

    Args:
        image_size: of the images in pixels; both sides are multiples of 2^depth.
        depth: number of transposed convolutions.
        width: channels before the last transposed convolution.
    """

    rectangles = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: Size,
        num_classes: int,
        depth: int = 3,
        width: int = 64,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        start = smallest(image_size, depth)
        widths = [width * 2**n for n in reversed(range(depth))]
        self.shape = (widths[0], *start)
        self.project = nn.Linear(latent_dim, math.prod(self.shape))
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for width_in, width_out in pairwise(widths):
            layers += [
                ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1),
                nn.BatchNorm2d(width_out),
                nn.ReLU(inplace=True),
            ]
        layers += [ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialize_dcgan(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, H, W]`."""
        return self.layers(self.project(latent).view(-1, *self.shape))


class StackedDiscriminator(Discriminator):
    """`depth` convolutions, then one linear logit.

    Args:
        image_size: of the images in pixels; both sides are multiples of 2^depth.
        depth: number of convolutions.
        width: channels after the first convolution. With depth 2 this is `Critic32`.
        batch_norm: batch norm after all convolutions but the first.
    """

    rectangles = True

    def __init__(
        self,
        channels: int,
        image_size: Size,
        num_classes: int,
        depth: int = 2,
        width: int = 32,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        end = smallest(image_size, depth)
        layers: list[nn.Module] = []
        for n in range(depth):
            layers += [
                nn.Conv2d(channels, width * 2**n, 4, stride=2, padding=1),
                nn.BatchNorm2d(width * 2**n) if batch_norm and n else nn.Identity(),
                LeakyReLU(0.2),
            ]
            channels = width * 2**n
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(end), 1))
        initialize_dcgan(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` to logits `[N]`."""
        return self.layers(images).squeeze(1)
