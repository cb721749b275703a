"""The class-conditional networks of SAGAN (Zhang et al. 2019, https://arxiv.org/abs/1805.08318).

SNGAN's residual networks with self-attention, behind the maps of 16x16 pixels for images of 32x32,
and of 32x32 for 128x128; spectral normalisation in both networks.

Deviations: batch norm's scale and shift are `1 + A y` and `C y` of the one-hot class y, with
spectrally normalised A and C (as in StudioGAN). Power iterations begin on the initial weights
(`spectral.py`).
"""

from functools import partial

from torch import Tensor

from gan_modules.networks.bodies import (
    DISCRIMINATORS,
    GENERATORS,
    DiscriminatorBody,
    GeneratorBody,
)
from gan_modules.networks.conditional import VectorBatchNorm2d
from gan_modules.networks.network import Discriminator, Generator, one_hot
from gan_modules.networks.resnet import initialize_glorot, spectral

ATTENTION = {32: 16, 128: 32}
"""By image size: the side of the maps behind which self-attention follows."""


class SAGANGenerator(Generator):
    """Residual blocks with conditional batch norm and one self-attention.

    Args:
        latent_dim: length of the latents. Paper: 128.
        width: channels of the last block, as `SNGANGenerator`'s; self-attention needs a multiple of
            8. None is the full width: 256 at 32 pixels, 64 at 128.
    """

    image_sizes = tuple(ATTENTION)
    conditional = True

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int | None = None,
    ) -> None:
        super().__init__(image_size)
        width = GENERATORS[image_size][0] if width is None else width
        self.check_positive(width=width)
        self.num_classes = num_classes
        norm = partial(VectorBatchNorm2d, features=num_classes)
        self.body = GeneratorBody(
            *(latent_dim, channels, image_size, width, spectral(), norm),
            attention=ATTENTION[image_size],
        )
        initialize_glorot(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, H, W]`."""
        conditions = [one_hot(classes, self.num_classes, latent)] * len(self.body.blocks)
        return self.body(latent, conditions)


class SAGANDiscriminator(Discriminator):
    """Residual blocks, one self-attention, and a projection on the class.

    Args:
        width: channels of the first block, as `SNGANDiscriminator`'s; self-attention needs a
            multiple of 8. None is the full width: 128 at 32 pixels, 64 at 128.
    """

    image_sizes = tuple(ATTENTION)
    conditional = True

    def __init__(
        self, channels: int, image_size: int, num_classes: int, width: int | None = None
    ) -> None:
        super().__init__(image_size)
        width = DISCRIMINATORS[image_size][0] if width is None else width
        self.check_positive(width=width)
        attention = ATTENTION[image_size]
        self.body = DiscriminatorBody(
            channels, image_size, width, num_classes, spectral(), attention
        )
        initialize_glorot(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and classes `[N]` to logits `[N]`."""
        return self.body(images, classes)
