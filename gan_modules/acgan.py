"""Auxiliary classifier GAN (Odena et al. 2017): both networks are taught the classes.

https://arxiv.org/abs/1610.09585, section 3. The discriminator maximises L_S + L_C, the
generator L_C - L_S: here both minimise the mean of the two cross entropies.

Deviations from the paper: the class enters as a one-hot vector beside the latent. The
source's class loss takes probabilities for log-probabilities and turns negative; here it is
a cross entropy.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from gan_modules.base import Batch, GANModule, at_least
from gan_modules.networks import ClassifyingDiscriminator
from gan_modules.parts import Augment, CrossEntropy, Game
from gan_modules.precision import wide
from minmax.errors import UserError


def accuracy(class_logits: Tensor, classes: Tensor) -> Tensor:
    """Share of images whose greatest class logit `[N, K]` is that of their class `[N]`."""
    return (class_logits.argmax(dim=1) == classes).float().mean()


def mean(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Mean of two losses, the second one weighted."""
    return (first + weight * second) / (1 + weight)


class ACGAN(GANModule):
    """Class-conditional generator against a discriminator with two heads.

    Args:
        discriminator: builds a discriminator with a class head.
        class_weight: weight of the class loss beside the adversarial loss. Paper: 1.
        fake_class_weight: weight of generated images beside real ones in the discriminator's
            class loss. Paper: 1. At 0 the discriminator learns the classes from real images
            alone; then the two networks can't agree on a texture for each class.
        game: the adversarial losses of both networks; none means the cross entropy.
        augment: change of all images that the discriminator sees; none means no change.
        **shared: options of all variants.
    """

    discriminator: ClassifyingDiscriminator

    def __init__(
        self,
        discriminator: Callable[[int, int, int], ClassifyingDiscriminator],
        class_weight: float = 1.0,
        fake_class_weight: float = 1.0,
        game: Game | None = None,
        augment: Augment | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(discriminator=discriminator, **shared)
        at_least(0, class_weight=class_weight, fake_class_weight=fake_class_weight)
        if not self.conditional:
            raise UserError(
                f"`generator` {type(self.generator).__name__} draws without classes, and ACGAN "
                "asks for them: choose ACGAN32Generator, say"
            )
        self.class_weight = class_weight
        self.fake_class_weight = fake_class_weight
        self.take_parts(game or CrossEntropy(), augment=augment)

    def class_loss(self, images: str, class_logits: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy of class logits `[N, K]`; it and the accuracy are logged under `images`."""
        loss = F.cross_entropy(wide(class_logits), classes)
        self.observed[f"loss_class/{images}"] = loss
        if self.logging_due:
            self.observed[f"accuracy/class_{images}"] = accuracy(class_logits, classes)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator; then the generator, if it is due."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.labels_beside(classes, self.game)
        latent = self.sample_latent(len(real))
        fake = self(latent, asked)
        turn = self.turn(real, classes, latent, fake, asked)

        with self.updating(self.discriminator):
            seen = self.augment.real(real), self.augment.fake(fake.detach())
            real_logits, real_class_logits = self.discriminator.heads(seen[0])
            fake_logits, fake_class_logits = self.discriminator.heads(seen[1])
            adversarial_loss = self.game.discriminator(real_logits, fake_logits)
            class_loss_real = self.class_loss("real", real_class_logits, classes)
            class_loss_fake = self.class_loss("fake", fake_class_logits, asked)
            class_loss = mean(class_loss_real, class_loss_fake, self.fake_class_weight)
            loss_d = mean(adversarial_loss, class_loss, self.class_weight)
            self.descend(optimizer_d, loss_d)
        self.augment.adapt(real_logits)

        for update in range(self.generator_updates_due()):
            fake = self(self.sample_latent(len(real)), asked) if update else fake
            with self.updating(self.generator):
                logits, class_logits = self.discriminator.heads(self.augment.fake(fake))
                class_loss = self.class_loss("generator", class_logits, asked)
                game_loss = self.game.generator(logits, turn.judge_real)
                loss_g = mean(game_loss, class_loss, self.class_weight)
                self.descend(optimizer_g, loss_g)
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
