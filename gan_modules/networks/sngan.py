"""The residual networks of SNGAN, and of cGAN with a projection discriminator.

Miyato et al. 2018, appendix B (https://arxiv.org/abs/1802.05957); Miyato and Koyama 2018
(https://arxiv.org/abs/1802.05637).

Deviations: the discriminator's last layer has a bias at all sizes (the authors' has none at 32
pixels). Power iterations begin on the initial weights (`spectral.py`).
"""

from functools import partial

from torch import Tensor

from gan_modules.networks.bodies import (
    DISCRIMINATORS,
    GENERATORS,
    SIZES,
    DiscriminatorBody,
    GeneratorBody,
)
from gan_modules.networks.conditional import ClassBatchNorm2d, PlainBatchNorm2d
from gan_modules.networks.network import Discriminator, Generator
from gan_modules.networks.resnet import PLAIN, initialize_glorot, spectral


class SNGANGenerator(Generator):
    """Residual blocks with batch norm; no spectral normalisation.

    Args:
        latent_dim: length of the latents. Paper: 128.
        width: channels of the last block. At 32 pixels all blocks have as many; at other sizes the
            earlier ones have more. None is the full width: 256 at 32 pixels, 32 at 96, else 64.
        conditional: a scale and a shift of batch norm for each class.
    """

    image_sizes = SIZES

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int | None = None,
        conditional: bool = False,
    ) -> None:
        super().__init__(image_size)
        width = GENERATORS[image_size][0] if width is None else width
        self.check_positive(width=width)
        self.conditional = conditional
        classes = partial(ClassBatchNorm2d, num_classes=num_classes)
        norm = classes if conditional else PlainBatchNorm2d
        self.body = GeneratorBody(latent_dim, channels, image_size, width, PLAIN, norm)
        initialize_glorot(self)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, H, W]`."""
        return self.body(latent, [classes] * len(self.body.blocks))


class SNGANDiscriminator(Discriminator):
    """Residual blocks without batch norm, the sum over all positions, and a linear logit.

    Args:
        width: channels of the first block. At 32 pixels all blocks have as many; at other sizes the
            later ones have more. None is the full width: 128 at 32 pixels, 32 at 96, else 64.
        conditional: the logit also has the features' projection on a vector of the class.
        spectral_norm: spectral normalisation of all layers. False: no norm at all, for penalties.
    """

    image_sizes = SIZES

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        width: int | None = None,
        conditional: bool = False,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__(image_size)
        width = DISCRIMINATORS[image_size][0] if width is None else width
        self.check_positive(width=width)
        self.conditional = conditional
        layers = spectral() if spectral_norm else PLAIN
        classes = num_classes if conditional else 0
        self.body = DiscriminatorBody(channels, image_size, width, classes, layers)
        initialize_glorot(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and classes `[N]` to logits `[N]`."""
        return self.body(images, classes)
