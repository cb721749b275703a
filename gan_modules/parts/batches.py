"""How real and generated images reach the discriminator."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_modules.parts.part import Part
from minmax.errors import UserError

Judge = Callable[[Tensor, Tensor], Tensor]
"""A discriminator: images `[N, C, H, W]` and their classes `[N]` to logits `[N]`."""


class SeparateBatches(Part):
    """Show real and generated images to the discriminator in two passes.

    Batch norm then normalises each kind by its own statistics.
    """

    def forward(
        self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits `[N]` of real images with their classes, and `[M]` of generated ones."""
        return discriminator(real, classes), discriminator(fake, asked)

    def check(self, discriminator: nn.Module) -> None:
        """Refuse a discriminator that can't be shown images in this way.

        Raises:
            UserError: it can't.
        """


class MixedBatch(SeparateBatches):
    """Show real and generated images to the discriminator as one batch.

    Raises:
        UserError: the discriminator has no logit for each image.
    """

    def forward(
        self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits `[N]` of real images with their classes, and `[M]` of generated ones."""
        logits = discriminator(torch.cat([real, fake]), torch.cat([classes, asked]))
        if len(logits) != len(real) + len(fake):
            raise UserError(
                f"MixedBatch needs a logit for each image, and `discriminator` gives {len(logits)} "
                f"for {len(real)} real and {len(fake)} generated ones: choose SeparateBatches"
            )
        return logits[: len(real)], logits[len(real) :]

    def check(self, discriminator: nn.Module) -> None:
        """Refuse one that compares the images of a batch, which are to be of one kind."""
        for layer in discriminator.modules():
            if getattr(layer, "compares_images", False):
                raise UserError(
                    f"`discriminator` {type(discriminator).__name__} compares the images of a batch"
                    f" ({type(layer).__name__}), and MixedBatch has real and generated ones in it: "
                    "choose SeparateBatches"
                )
