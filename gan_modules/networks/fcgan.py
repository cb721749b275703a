"""Fully connected networks, for images of any size (the source uses 56x56x1).

Deviations: the source gives neither the slope of LeakyReLU nor the dropout rate;
0.2 and 0.3 are the field's habit.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from gan_modules.networks.layers import Dropout
from gan_modules.networks.network import Discriminator, Generator
from minmax.image_sizes import Size, sides


class FCGenerator(Generator):
    """Three hidden layers of 256, 512 and 1024 units, then one unit a pixel, and tanh."""

    rectangles = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: Size,
        num_classes: int,
        slope: float = 0.2,
    ) -> None:
        super().__init__(image_size)
        self.check_shares(slope=slope)
        self.shape = (channels, *sides(image_size))
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 256),
            nn.LeakyReLU(slope, inplace=True),
            nn.Linear(256, 512),
            nn.LeakyReLU(slope, inplace=True),
            nn.Linear(512, 1024),
            nn.LeakyReLU(slope, inplace=True),
            nn.Linear(1024, math.prod(self.shape)),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, H, W]`."""
        return self.layers(latent).view(-1, *self.shape)


class FCDiscriminator(Discriminator):
    """Three hidden layers of 1024, 512 and 256 units with dropout, then one logit."""

    rectangles = True

    def __init__(
        self,
        channels: int,
        image_size: Size,
        num_classes: int,
        slope: float = 0.2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(image_size)
        self.check_shares(slope=slope, dropout=dropout)
        widths = [channels * math.prod(sides(image_size)), 1024, 512, 256]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [
                nn.Linear(width_in, width_out),
                nn.LeakyReLU(slope, inplace=True),
                Dropout(dropout),
            ]
        self.layers = nn.Sequential(*layers, nn.Linear(256, 1))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` to logits `[N]`."""
        return self.layers(images.flatten(1)).squeeze(1)
