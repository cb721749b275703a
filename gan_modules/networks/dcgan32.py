"""Small convolutional networks for 32x32 images.

The generator follows the source's printout. The source's discriminator is lost; this one is
its usual companion. Its last convolution leaves a 2x2 map of logits; their mean is the
image's logit. `Critic32` is ours: WGAN-GP needs a discriminator without batch norm
(Gulrajani et al. 2017, section 4).
"""

from torch import Tensor, nn

from gan_modules.networks.layers import ConvTranspose1x1, ConvTranspose2d, LeakyReLU
from gan_modules.networks.network import (
    Discriminator,
    Generator,
    initialize_dcgan,
)


class DCGAN32Generator(Generator):
    """Four transposed convolutions: 1 -> 3 -> 7 -> 15 -> 32 pixels."""

    image_sizes = (32,)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 64,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        self.layers = nn.Sequential(
            ConvTranspose1x1(latent_dim, 4 * width, 3, stride=2),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(inplace=True),
            ConvTranspose2d(4 * width, 2 * width, 3, stride=2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            ConvTranspose2d(2 * width, width, 3, stride=2),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            ConvTranspose2d(width, channels, 4, stride=2),
            nn.Tanh(),
        )
        initialize_dcgan(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, 32, 32]`."""
        return self.layers(latent[:, :, None, None])


class DCGAN32Discriminator(Discriminator):
    """Three convolutions: 32 -> 15 -> 6 -> 2 pixels, and the mean of the 2x2 logits."""

    image_sizes = (32,)

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 16) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, stride=2),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 4, stride=2),
        )
        initialize_dcgan(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, 32, 32]` to logits `[N]`."""
        return self.layers(images).mean(dim=(1, 2, 3))


class Critic32(Discriminator):
    """Two convolutions without batch norm: 32 -> 16 -> 8 pixels, then one linear logit.

    It has the name of WGAN-GP's critic, and serves every variant. Unlike the source's
    discriminator it sees brightness, contrast and the last two rows and columns.
    """

    image_sizes = (32,)

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 64) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * 8 * 8, 1),
        )
        initialize_dcgan(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, 32, 32]` to logits `[N]`."""
        return self.layers(images).squeeze(1)
