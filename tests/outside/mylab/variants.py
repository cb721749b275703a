"""A variant with a step of its own."""

from typing import Any

from gan_modules.base import Batch, GANModule
from gan_modules.parts import Augment, Game, Penalty


class Projection(GANModule):
    """Alternating updates whose generator is given new images, of the classes of the real ones."""

    def __init__(self, game: Game, penalty: Penalty, augment: Augment, **shared: Any) -> None:
        super().__init__(**shared)
        self.game, self.penalty, self.augment = game, penalty, augment

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()

        with self.updating(self.discriminator):
            latent = self.sample_latent(len(real))
            turn = self.turn(real, classes, latent, self(latent, classes), classes)
            real_logits, fake_logits = turn.judge()
            loss_d = self.game.discriminator(real_logits, fake_logits) + self.penalty(turn)
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()
        self.augment.adapt(real_logits)

        with self.updating(self.generator):
            fake = self(self.sample_latent(len(real)), classes)
            logits = self.discriminator(self.augment.fake(fake), classes)
            loss_g = self.game.generator(logits, turn.judge_real)
            optimizer_g.zero_grad()
            self.manual_backward(loss_g)
            optimizer_g.step()

        self.observed |= {"loss/generator": loss_g, "loss/discriminator": loss_d}
        self.finish_batch(real_logits, fake_logits)
