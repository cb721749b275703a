"""Class-conditional networks for 32x32 images.

The generator follows the source's printout. ReLU follows every layer but the last; after
the linear layer it is optional. The source's discriminator is lost, so this one is the
paper's for 32x32 images (Odena et al. 2017, appendix A, table 2, https://arxiv.org/abs/1610.09585).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_modules.networks.layers import ConvTranspose1x1, ConvTranspose2d, Dropout
from gan_modules.networks.network import (
    ClassifyingDiscriminator,
    Generator,
    initialize_dcgan,
    one_hot,
)


class ACGAN32Generator(Generator):
    """A linear layer, then four transposed convolutions: 1 -> 4 -> 8 -> 16 -> 32 pixels.

    The class enters as a one-hot vector beside the latent.

    Args:
        latent_dim: length of the latents, without the class.
        project_relu: ReLU after the linear layer, as in the paper. Its outputs have a positive
            mean, the same for all latents. In training the first transposed convolution amplifies
            this mean until each class collapses into one image. Without ReLU it is near zero.
    """

    image_sizes = (32,)
    conditional = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        project_relu: bool = True,
    ) -> None:
        super().__init__(image_size)
        self.num_classes = num_classes
        self.project = nn.Linear(latent_dim + num_classes, 768)
        self.layers = nn.Sequential(
            nn.ReLU(inplace=True) if project_relu else nn.Identity(),
            ConvTranspose1x1(768, 384, 4, stride=2),
            nn.BatchNorm2d(384),
            nn.ReLU(inplace=True),
            ConvTranspose2d(384, 192, 4, stride=2, padding=1),
            nn.BatchNorm2d(192),
            nn.ReLU(inplace=True),
            ConvTranspose2d(192, 96, 4, stride=2, padding=1),
            nn.BatchNorm2d(96),
            nn.ReLU(inplace=True),
            ConvTranspose2d(96, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        initialize_dcgan(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, 32, 32]`."""
        inputs = torch.cat([latent, one_hot(classes, self.num_classes, latent)], dim=1)
        return self.layers(self.project(inputs)[:, :, None, None])


class ACGAN32Discriminator(ClassifyingDiscriminator):
    """Six 3x3 convolutions, every other one of stride 2, to 4x4x512, and two linear heads."""

    image_sizes = (32,)

    def __init__(
        self, channels: int, image_size: int, num_classes: int, dropout: float = 0.5
    ) -> None:
        super().__init__(image_size)
        self.check_shares(dropout=dropout)
        widths = (channels, 16, 32, 64, 128, 256, 512)
        layers: list[nn.Module] = []
        for index, (width_in, width_out) in enumerate(pairwise(widths)):
            layers += [
                nn.Conv2d(width_in, width_out, 3, stride=2 - index % 2, padding=1),
                nn.BatchNorm2d(width_out) if index else nn.Identity(),
                nn.LeakyReLU(0.2, inplace=True),
                Dropout(dropout),
            ]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.source_head = nn.Linear(512 * 4 * 4, 1)
        self.class_head = nn.Linear(512 * 4 * 4, num_classes)
        initialize_dcgan(self)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images `[N, C, 32, 32]` to real-or-fake logits `[N]`, class logits `[N, K]`."""
        features = self.features(images)
        return self.source_head(features).squeeze(1), self.class_head(features)
