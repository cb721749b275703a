"""Packing: a discriminator that judges several images of one kind together (Lin et al. 2018).

https://arxiv.org/abs/1712.04086
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gan_modules.networks.network import Discriminator
from minmax.errors import UserError
from minmax.image_sizes import Size


class Packed(Discriminator):
    """Any discriminator, shown so many neighbours of the batch as one image of more channels.

    A pack whose images lack variety looks generated. Real and generated images never share a pack,
    so they must come as separate batches; each rank has its own packs. Penalties of gradients still
    take each image's own.

    Args:
        channels: of one image.
        discriminator: builds the discriminator, for `images` times the channels. One that uses the
            classes is refused, since the images of a pack are of several.
        images: images a pack, a divisor of the batch size. Paper: 2 to 4.

    Raises:
        UserError: the discriminator uses the classes.
    """

    rectangles = True
    of_points = None
    compares_images = True

    def __init__(
        self,
        channels: int,
        image_size: Size,
        num_classes: int,
        discriminator: Callable[[int, Any, int], Discriminator],
        images: int = 2,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(images=images)
        self.images = images
        self.discriminator = discriminator(images * channels, image_size, num_classes)
        if self.discriminator.conditional:
            raise UserError(
                f"`discriminator` {type(self.discriminator).__name__} of Packed judges images by "
                "their classes, and a pack has images of several: choose one that ignores them"
            )

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` to logits `[N / images]`.

        Raises:
            UserError: N is no multiple of `images`.
        """
        if len(images) % self.images:
            raise UserError(
                f"Packed judges {self.images} images together, and is shown {len(images)}: choose "
                "a `batch_size` (per device) that is a multiple of `images`"
            )
        packs = images.reshape(-1, self.images * images.shape[1], *images.shape[2:])
        return self.discriminator(packs, classes[:: self.images])
