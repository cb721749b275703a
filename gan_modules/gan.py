"""Generative adversarial network (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

Algorithm 1, with any game, penalty and augmentation, each a part. With the cross entropy and
convolutional networks this is DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434).

Deviation from the paper: the generator's first update in a batch reuses the latents and images of
the discriminator's update.
"""

from typing import Any

from gan_modules.base import Batch, GANModule
from gan_modules.parts import Augment, CrossEntropy, Game, Penalty, SeparateBatches


class GAN(GANModule):
    """Generator against discriminator, in alternating updates.

    Args:
        game: the losses of both networks; none means the cross entropy.
        penalty: term added to the discriminator's loss; none means no term.
        augment: change of all images that the discriminator sees; none means no change.
        batches: how real and generated images reach the discriminator; none means separately.
        **shared: options of all variants.
    """

    def __init__(
        self,
        game: Game | None = None,
        penalty: Penalty | None = None,
        augment: Augment | None = None,
        batches: SeparateBatches | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.take_parts(game or CrossEntropy(), penalty, augment)
        self.batches = batches or SeparateBatches()
        self.batches.check(self.discriminator)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator; then the generator, if it is due."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.labels_beside(classes, self.game)
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
        self.augment.adapt(real_logits)

        for update in range(self.generator_updates_due()):
            if update:
                latent = self.sample_latent(len(real))
                fake = self(latent, asked)
            with self.updating(self.generator):
                logits = self.discriminator(self.augment.fake(fake), asked)
                penalties = self.penalty.of_generator(self.generator, latent, asked, fake)
                loss_g = sum(penalties, self.game.generator(logits, turn.judge_real))
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
