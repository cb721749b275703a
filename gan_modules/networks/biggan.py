"""BigGAN for 32x32 images (Brock et al. 2019, https://arxiv.org/abs/1809.11096), two of that name.

`BigGANGenerator` and `BigGANDiscriminator` have the layers of StudioGAN: each block of the
generator sees its own chunk of the latent and the class as a vector that all blocks share; there is
self-attention in both. `PlainBigGANGenerator` and `PlainBigGANDiscriminator` are what DiffAugment
(Zhao et al. 2020) and LeCam (Tseng et al. 2021) call BigGAN on CIFAR-10: one latent, a scale and a
shift of batch norm for each class, and no self-attention.

Deviation: power iterations begin on the initial weights (`spectral.py`).
"""

from functools import partial

import torch
from torch import Tensor, nn

from gan_modules.networks.bodies import DiscriminatorBody, GeneratorBody
from gan_modules.networks.conditional import ClassBatchNorm2d, VectorBatchNorm2d
from gan_modules.networks.network import Discriminator, Generator
from gan_modules.networks.resnet import Weighted, initialize, spectral
from minmax.errors import UserError

SPECTRAL_EPS = 1e-6
NORM_EPS = 1e-4
ATTENTION = 16
"""Side of the maps behind which self-attention follows."""


class BigGANGenerator(Generator):
    """Residual blocks whose batch norms see a vector of the class and a chunk of the latent.

    Args:
        latent_dim: length of the latents, a multiple of 4: one chunk for the first layer, and one
            for each of the three blocks. StudioGAN: 80.
        width: channels of all blocks, a multiple of 8. Full 384, half 192.
        embedding: length of the class's vector.

    Raises:
        UserError: `latent_dim` is no multiple of 4.
    """

    image_sizes = (32,)
    conditional = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 384,
        embedding: int = 128,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width, embedding=embedding)
        if latent_dim % 4:
            raise UserError(
                f"{type(self).__name__} cuts latents into 4 chunks of one length, and `latent_dim` "
                f"is {latent_dim}: choose a multiple of 4"
            )
        self.chunk = latent_dim // 4
        self.embedding = nn.Embedding(num_classes, embedding)  # spectral norm would cripple it
        norm = partial(
            VectorBatchNorm2d,
            features=self.chunk + embedding,
            eps=NORM_EPS,
            spectral_eps=SPECTRAL_EPS,
        )
        self.body = GeneratorBody(
            *(self.chunk, channels, image_size, width, spectral(SPECTRAL_EPS), norm, NORM_EPS),
            attention=ATTENTION,
        )
        initialize(self, orthogonal)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, 32, 32]`."""
        first, *others = torch.split(latent, self.chunk, dim=1)
        shared = self.embedding(classes)
        return self.body(first, [torch.cat([shared, chunk], dim=1) for chunk in others])


class BigGANDiscriminator(Discriminator):
    """Residual blocks, self-attention, and a projection on the class.

    Args:
        width: channels of all blocks, a multiple of 8. Full 192, half 96.
    """

    image_sizes = (32,)
    conditional = True

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 192) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        layers = spectral(SPECTRAL_EPS)
        self.body = DiscriminatorBody(channels, image_size, width, num_classes, layers, ATTENTION)
        initialize(self, orthogonal)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, 32, 32]` and classes `[N]` to logits `[N]`."""
        return self.body(images, classes)


class PlainBigGANGenerator(Generator):
    """Residual blocks with a scale and a shift of batch norm for each class.

    Args:
        latent_dim: length of the latents. DiffAugment: 128.
        width: channels of all blocks.
    """

    image_sizes = (32,)
    conditional = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int = 256,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        norm = partial(ClassBatchNorm2d, num_classes=num_classes)
        self.body = GeneratorBody(latent_dim, channels, image_size, width, spectral(), norm)
        initialize(self, small)
        for module in self.modules():
            if isinstance(module, ClassBatchNorm2d):
                nn.init.normal_(module.scale, 1.0, 0.02)
                nn.init.normal_(module.shift, 0.0, 0.02)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, 32, 32]`."""
        return self.body(latent, [classes] * len(self.body.blocks))


class PlainBigGANDiscriminator(Discriminator):
    """Residual blocks and a projection on the class.

    Args:
        width: channels of all blocks.
    """

    image_sizes = (32,)
    conditional = True

    def __init__(self, channels: int, image_size: int, num_classes: int, width: int = 256) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        self.body = DiscriminatorBody(channels, image_size, width, num_classes, spectral())
        initialize(self, small)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, 32, 32]` and classes `[N]` to logits `[N]`."""
        return self.body(images, classes)


def orthogonal(layer: Weighted) -> None:
    """Orthogonal rows, or columns where there are more rows."""
    nn.init.orthogonal_(layer.weight)


def small(layer: Weighted) -> None:
    """Weights from N(0, 0.02)."""
    nn.init.normal_(layer.weight, 0.0, 0.02)
