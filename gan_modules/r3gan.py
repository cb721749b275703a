"""R3GAN (Huang et al. 2024, https://arxiv.org/abs/2501.05441): a regularised pairing game.

Each generated image is compared with one real image of the same class, and the discriminator's
slope is penalised at both. The paper's networks are `R3GANGenerator` and `R3GANDiscriminator`.

Deviation from the paper: the generator's update sees the real images of the discriminator's
update, with latents of its own; the paper draws other real images.
"""

from typing import Any

import torch

from gan_modules.base import Batch, GANModule
from gan_modules.parts import R1, R2, Augment, Penalty, RelativisticPairing, SumOfPenalties


class R3GAN(GANModule):
    """Generator against discriminator, each generated image against a real one of its class.

    Args:
        penalty: bounds the discriminator's slope at real and generated images; none means R1 and
            R2 with gamma 1. `ApproximateR1` and `ApproximateR2` need no second derivatives, and are
            slower in bfloat16 unless `share` is small (docs/studies.md).
        augment: change of all images that the discriminator sees; none means no change.
        **shared: options of all variants, but `asked_classes`.
    """

    def __init__(
        self, penalty: Penalty | None = None, augment: Augment | None = None, **shared: Any
    ) -> None:
        super().__init__(**shared)
        penalty = penalty or SumOfPenalties([R1(1.0), R2(1.0)])
        self.take_parts(RelativisticPairing(), penalty, augment)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator; then the generator, if it is due."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        with torch.no_grad():
            latent = self.sample_latent(len(real))
            fake = self(latent, classes)

        with self.updating(self.discriminator):
            turn = self.penalty.watch(self.turn(real, classes, latent, fake, classes))
            real_logits, fake_logits = turn.judge()
            penalty = self.penalty(turn)
            loss_d = self.game.discriminator(real_logits, fake_logits) + penalty
            self.descend(optimizer_d, loss_d)
            for lazy_loss in self.penalty.lazy(turn):
                self.descend(self.uncounted(optimizer_d), lazy_loss)
            self.penalty.after(self.discriminator)
        self.augment.adapt(real_logits)

        for _ in range(self.generator_updates_due()):
            latent = self.sample_latent(len(real))
            fake = self(latent, classes)
            with self.updating(self.generator):
                logits = self.discriminator(self.augment.fake(fake), classes)
                penalties = self.penalty.of_generator(self.generator, latent, classes, fake)
                loss_g = sum(penalties, self.game.generator(logits, turn.judge_real))
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
