"""A projection discriminator, and a generator with class-conditional batch norm.

Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, equation 8: the logit of an image is
l(h) + <V[class], h> of its features h.
"""

import torch
from torch import Tensor, nn

from gan_modules.networks import Discriminator, Generator


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a scale and a shift for each class (Dumoulin et al. 2017)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(width, affine=False)
        self.scale = nn.Embedding(num_classes, width)
        self.shift = nn.Embedding(num_classes, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, classes: Tensor) -> Tensor:
        scale, shift = (table(classes)[:, :, None, None] for table in (self.scale, self.shift))
        return self.normalize(maps) * scale + shift


class ByClassGenerator(Generator):
    """A linear layer and two transposed convolutions, with the class in the batch norms."""

    conditional = True

    def __init__(
        self, latent_dim: int, channels: int, image_size: int, num_classes: int, width: int = 16
    ) -> None:
        super().__init__(image_size)
        self.shape = (2 * width, image_size // 4, image_size // 4)
        self.project = nn.Linear(latent_dim, 2 * width * (image_size // 4) ** 2)
        self.first_norm = ConditionalBatchNorm(2 * width, num_classes)
        self.first = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.second_norm = ConditionalBatchNorm(width, num_classes)
        self.second = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        maps = self.project(latent).view(-1, *self.shape)
        maps = self.first(self.first_norm(maps, classes).relu())
        return self.second(self.second_norm(maps, classes).relu()).tanh()


class ProjectionDiscriminator(Discriminator):
    """Two convolutions, the sum of the last maps, and an inner product with the class."""

    conditional = True

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 16) -> None:
        super().__init__(image_size)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.logit = nn.Linear(2 * width, 1)
        self.of_class = nn.Embedding(num_classes, 2 * width)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        features = self.layers(images).mean(dim=(2, 3))
        return self.logit(features).squeeze(1) + torch.sum(self.of_class(classes) * features, 1)
