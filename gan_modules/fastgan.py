"""FastGAN (Liu et al. 2021, https://arxiv.org/abs/2101.04775): for folders of few images.

The generator draws each image at two sizes and the discriminator judges both. Its decoders draw
real images from its maps, so that these keep what the images show (section 3.2). The hinge has a
margin of its own for each logit, as in the authors' code.

Deviations from the paper: without `distance` decoders are compared with the images by the mean
absolute difference, since LPIPS, the paper's distance, needs a trained network. Both sizes of an
image are changed by the same draws, also those of a generated one. Real small images are means of
2x2 pixels. The generator's update draws the augmentation anew.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss

from gan_modules.base import Batch, GANModule, at_least
from gan_modules.networks import FastGANDiscriminator, FastGANGenerator
from gan_modules.networks.fastgan import Seen, quarter
from gan_modules.parts import DiffAugment, Hinge, PerceptualDistance
from gan_modules.precision import wide
from minmax.errors import UserError

LOWEST = 0.8
"""Least margin of the hinge; the greatest is 1."""


def hinge(logits: Tensor) -> Tensor:
    """E[max(0, m - logit)], m drawn from U[0.8, 1] for each logit; of any shape."""
    logits = wide(logits)
    margins = LOWEST + (1 - LOWEST) * torch.rand_like(logits)
    return (margins - logits).relu().mean()


class FastGAN(GANModule):
    """Generator of two sizes against a discriminator that draws what it has seen.

    Args:
        augment: change of all images that the discriminator sees, the same one at both sizes; none
            means no change. Paper: colour and translation.
        reconstruction_weight: weight of the decoders' loss, a sum of three distances. 0 is off.
        distance: of the decoders' images from what they should be; none means the mean absolute
            difference of pixels in [-1, 1]. Paper: LPIPS.
        **shared: options of all variants.

    Raises:
        UserError: the networks aren't `FastGANGenerator` and `FastGANDiscriminator`.
    """

    generator: FastGANGenerator
    discriminator: FastGANDiscriminator
    augment: DiffAugment

    def __init__(
        self,
        augment: DiffAugment | None = None,
        reconstruction_weight: float = 1.0,
        distance: PerceptualDistance | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        at_least(0, reconstruction_weight=reconstruction_weight)
        for name, needed in (
            ("generator", FastGANGenerator),
            ("discriminator", FastGANDiscriminator),
        ):
            given = getattr(self, name)
            if not isinstance(given, needed):
                raise UserError(
                    f"`{name}` {type(given).__name__} knows one size of each image, and FastGAN "
                    f"trains on two: choose {needed.__name__}"
                )
        self.game = Hinge()
        self.augment = augment or DiffAugment(colour=False, translation=False, cutout=False)
        self.reconstruction_weight = reconstruction_weight
        self.distance = distance

    def difference(self, drawn: Tensor, images: Tensor) -> Tensor:
        """Mean distance of images `[N, C, H, W]` from those that they should be."""
        if self.distance is not None:
            return self.distance(drawn, images)
        return l1_loss(wide(drawn), wide(images))

    def reconstruction(self, seen: Seen, images: Tensor, small: Tensor) -> Tensor:
        """Sum of the decoders' differences: of the small image twice, and of a random quarter."""
        places = torch.randint(4, (len(images),), device=images.device)
        decoded = self.discriminator.decode(seen, places)
        targets = (small, small, quarter(images, places))
        pairs = zip(decoded, targets, strict=True)
        return torch.stack([self.difference(*pair) for pair in pairs]).sum()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator; then the generator, if it is due."""
        real, _ = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        draw, look = self.generator.both, self.discriminator.look
        images, small = draw(self.sample_latent(len(real)))

        with self.updating(self.discriminator):
            seen_real = self.augment.both(real, avg_pool2d(real, 2))
            of_real = look(*seen_real)
            real_logits = of_real.logits
            fake_logits = look(*self.augment.both(images.detach(), small.detach())).logits
            reconstruction = self.reconstruction(of_real, *seen_real)
            loss_d = hinge(real_logits) + hinge(-fake_logits)
            self.descend(optimizer_d, loss_d + self.reconstruction_weight * reconstruction)

        for update in range(self.generator_updates_due()):
            if update:
                images, small = draw(self.sample_latent(len(real)))
            with self.updating(self.generator):
                loss_g = -wide(look(*self.augment.both(images, small)).logits).mean()
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed |= {"loss/discriminator": loss_d, "loss/reconstruction": reconstruction}
        self.finish_batch(real_logits.mean(1), fake_logits.mean(1))
