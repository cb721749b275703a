"""Small fully connected networks for points in the plane, images `[N, 2, 1, 1]` of one pixel."""

from itertools import pairwise

from torch import Tensor, nn

from gan_modules.networks.layers import LeakyReLU
from gan_modules.networks.network import Discriminator, Generator


def mlp(width_in: int, width: int, depth: int, width_out: int, slope: float) -> nn.Sequential:
    """`depth` hidden layers with leaky ReLUs, and a linear one."""
    layers: list[nn.Module] = []
    for before, after in pairwise([width_in, *[width] * depth]):
        layers += [nn.Linear(before, after), LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(width, width_out))


class MLPGenerator(Generator):
    """Hidden layers with leaky ReLUs, then the coordinates, without bounds.

    Args:
        latent_dim: length of the latents. With 2, the network has 33,666 parameters.
        channels: coordinates of a point.
        width: of the hidden layers.
        depth: their number.
        slope: of the leaky ReLUs.
    """

    of_points = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 128,
        depth: int = 3,
        slope: float = 0.2,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, depth=depth)
        self.check_shares(slope=slope)
        self.layers = mlp(latent_dim, width, depth, channels, slope)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to points `[N, C, 1, 1]`."""
        points: Tensor = self.layers(latent)
        return points[:, :, None, None]


class MLPDiscriminator(Discriminator):
    """Hidden layers with leaky ReLUs, then one logit; 33,537 parameters.

    Args:
        channels: coordinates of a point; of several, in a pack.
        width: of the hidden layers.
        depth: their number.
        slope: of the leaky ReLUs.
    """

    of_points = True

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 128,
        depth: int = 3,
        slope: float = 0.2,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, depth=depth)
        self.check_shares(slope=slope)
        self.layers = mlp(channels, width, depth, 1, slope)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Points `[N, C, 1, 1]` to logits `[N]`."""
        return self.layers(images.flatten(1)).squeeze(1)
