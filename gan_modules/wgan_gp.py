"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

https://arxiv.org/abs/1704.00028. Each batch is one update of the discriminator (the paper's critic)
on its own real images; every `discriminator_steps` batches the generator is updated once.

Deviations from the paper: the generator's update reuses the images of the discriminator's last
update; the paper draws new latents. An average of the generator may be kept.
"""

from typing import Any

from gan_modules.base import Batch, GANModule
from gan_modules.parts import GradientPenalty, Penalty, Wasserstein


class WGANGP(GANModule):
    """Generator against a discriminator that scores images, without sigmoid and labels.

    Args:
        penalty: bounds the discriminator's slope; none means the gradient penalty with weight
            10, which refuses batch norm in the discriminator.
        discriminator_steps: discriminator updates for each generator update. Paper: 5.
        **shared: options of all variants.
    """

    def __init__(
        self, penalty: Penalty | None = None, discriminator_steps: int = 5, **shared: Any
    ) -> None:
        super().__init__(discriminator_steps=discriminator_steps, **shared)
        self.take_parts(Wasserstein(), penalty or GradientPenalty())

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator; then the generator, if it is due."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.sample_labels(len(real))
        latent = self.sample_latent(len(real))
        fake = self(latent, asked)

        with self.updating(self.discriminator):
            turn = self.penalty.watch(self.turn(real, classes, latent, fake, asked))
            real_logits, fake_logits = turn.judge()
            penalty = self.penalty(turn)
            loss_d = self.game.discriminator(real_logits, fake_logits) + penalty
            self.descend(optimizer_d, loss_d)
            for lazy_loss in self.penalty.lazy(turn):
                self.descend(self.uncounted(optimizer_d), lazy_loss)
            self.penalty.after(self.discriminator)

        for update in range(self.generator_updates_due()):
            if update:
                latent = self.sample_latent(len(real))
                fake = self(latent, asked)
            with self.updating(self.generator):
                logits = self.discriminator(fake, asked)
                penalties = self.penalty.of_generator(self.generator, latent, asked, fake)
                loss_g = sum(penalties, self.game.generator(logits, turn.judge_real))
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
