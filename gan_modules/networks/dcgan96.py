"""Large convolutional networks for 96x96 images, as the source's tables print them.

Deviations: the source gives no dropout rate (0.3 here) and no slope (0.2 here). It puts a
sigmoid after the discriminator's last layer; here the sigmoid belongs to the loss.
"""

from torch import Tensor, nn

from gan_modules.networks.layers import Dropout
from gan_modules.networks.network import Discriminator, Generator, initialize_dcgan


def _upsample(width_in: int, width_out: int, stride: int, dropout: float = 0.0) -> list[nn.Module]:
    """Transposed 5x5 convolution whose output is `stride` times larger, batch norm, ReLU."""
    return [
        nn.ConvTranspose2d(
            width_in, width_out, 5, stride, padding=2, output_padding=stride - 1, bias=False
        ),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
        Dropout(dropout),
    ]


class DCGAN96Generator(Generator):
    """A linear layer to 6x6x64, five transposed convolutions, and a 1x1 convolution."""

    image_sizes = (96,)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(image_size)
        self.check_shares(dropout=dropout)
        self.project = nn.Linear(latent_dim, 64 * 6 * 6)
        self.layers = nn.Sequential(
            *_upsample(64, 512, stride=1, dropout=dropout),
            *_upsample(512, 256, stride=2, dropout=dropout),
            *_upsample(256, 128, stride=2),
            *_upsample(128, 64, stride=2),
            *_upsample(64, 32, stride=2),
            nn.Conv2d(32, channels, 1),
            nn.Tanh(),
        )
        initialize_dcgan(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, 96, 96]`."""
        return self.layers(self.project(latent).view(-1, 64, 6, 6))


class DCGAN96Discriminator(Discriminator):
    """Four convolutions: 96 -> 48 -> 24 -> 12 -> 6 pixels, then one linear logit."""

    image_sizes = (96,)

    def __init__(
        self, channels: int, image_size: int, num_classes: int, slope: float = 0.2
    ) -> None:
        super().__init__(image_size)
        self.check_shares(slope=slope)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(slope, inplace=True),
        ]
        for width_in, width_out in ((64, 64), (64, 128), (128, 256)):
            layers += [
                nn.Conv2d(width_in, width_out, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width_out),
                nn.LeakyReLU(slope, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * 6 * 6, 1))
        initialize_dcgan(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, 96, 96]` to logits `[N]`."""
        return self.layers(images).squeeze(1)
