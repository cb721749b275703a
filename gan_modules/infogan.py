"""InfoGAN (Chen et al. 2016, https://arxiv.org/abs/1606.03657): codes with a meaning.

Some numbers of the latent are codes. A head Q of the discriminator reads them from generated
images, and both networks are taught that it can (equation 6): the codes come to mean what differs
most between images, without labels.

In the paper G and Q maximise the bound on the mutual information. Here it is a term of both losses,
as in the authors' code: Q is taught in the discriminator's update, with the body that both share,
and G in its own.

Deviations: noise comes from N(0, 1) (authors: uniform). The generator's first update in a batch
reuses the latents and images of the discriminator's update.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.base import Batch, GANModule, at_least
from gan_modules.networks import InfoGANDiscriminator, InfoGANGenerator
from gan_modules.parts import Augment, CrossEntropy, Game
from gan_modules.precision import wide
from minmax.errors import UserError


def gaussian_loss(codes: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Mean over images of -log N(codes; mean, std), summed over codes; all are `[N, C]`."""
    error = (codes - wide(mean)) * (-wide(log_std)).exp()
    each = error.square() / 2 + wide(log_std) + math.log(2 * math.pi) / 2
    return each.sum(dim=1).mean()


class InfoGAN(GANModule):
    """Generator against discriminator, which also reads the codes of generated images.

    Args:
        generator: builds a generator with codes.
        discriminator: builds a discriminator with a head that reads them.
        category_weight: weight of the category's cross entropy in both losses. Paper: 1.
        continuous_weight: weight of the continuous codes' Gaussian negative log likelihood. Paper:
            0.1; authors' code: 1.
        game: the adversarial losses; none means the cross entropy, of weight 1.
        augment: change of all images that the discriminator sees; none means no change.
        **shared: options of all variants.
    """

    generator: InfoGANGenerator
    discriminator: InfoGANDiscriminator

    def __init__(
        self,
        generator: Callable[[int, int, int, int], InfoGANGenerator],
        discriminator: Callable[[int, int, int], InfoGANDiscriminator],
        category_weight: float = 1.0,
        continuous_weight: float = 0.1,
        game: Game | None = None,
        augment: Augment | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(generator=generator, discriminator=discriminator, **shared)
        at_least(0, category_weight=category_weight, continuous_weight=continuous_weight)
        drawn, read = (
            (network.categories, network.continuous)
            for network in (self.generator, self.discriminator)
        )
        if drawn != read:
            raise UserError(
                "`categories` and `continuous` of the generator and the discriminator must be the "
                f"same numbers, got {drawn[0]} and {drawn[1]}, and {read[0]} and {read[1]}"
            )
        self.category_weight = category_weight
        self.continuous_weight = continuous_weight
        self.take_parts(game or CrossEntropy(discriminator_weight=1), augment=augment)

    def categories_of(self, latents: Tensor) -> Tensor:
        """Categories int64 `[N]` of latents `[N, latent_dim]`."""
        return self.generator.codes(latents)[0]

    def grid(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Latents and classes of a picture: one row for each category."""
        latents, _ = super().grid(self.generator.categories, columns)
        noise, categories, _ = self.generator.parts
        one_hot = torch.eye(categories, device=latents.device)
        latents[:, noise : noise + categories] = one_hot.repeat_interleave(columns, dim=0)
        return latents, self.no_classes.expand(len(latents))

    def code_loss(self, latent: Tensor, category: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        """What Q says of images, against the codes in their latents; weighted."""
        categories, continuous = self.generator.codes(latent)
        of_category = F.cross_entropy(wide(category), categories)
        of_continuous = gaussian_loss(continuous, mean, log_std)
        self.observed |= {"loss_code/category": of_category, "loss_code/continuous": of_continuous}
        return self.category_weight * of_category + self.continuous_weight * of_continuous

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator and Q; then the generator, if it is due."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.sample_labels(len(real))
        latent = self.sample_latent(len(real))
        fake = self(latent, asked)
        turn = self.turn(real, classes, latent, fake, asked)

        with self.updating(self.discriminator):
            real_logits = self.discriminator(self.augment.real(real), classes)
            fake_logits, *said = self.discriminator.heads(self.augment.fake(fake.detach()))
            game_loss = self.game.discriminator(real_logits, fake_logits)
            loss_d = game_loss + self.code_loss(latent, *said)
            self.descend(optimizer_d, loss_d)
        self.augment.adapt(real_logits)

        for update in range(self.generator_updates_due()):
            if update:
                latent = self.sample_latent(len(real))
                fake = self(latent, asked)
            with self.updating(self.generator):
                logits, *said = self.discriminator.heads(self.augment.fake(fake))
                game_loss = self.game.generator(logits, turn.judge_real)
                loss_g = game_loss + self.code_loss(latent, *said)
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
