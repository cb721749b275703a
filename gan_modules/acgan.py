"""Auxiliary classifier GAN (Odena et al. 2017): both networks are taught the classes.

https://arxiv.org/abs/1610.09585, section 3. The discriminator maximises L_S + L_C, the
generator L_C - L_S: here both minimise the mean of the two cross entropies.

Deviations from the paper: the class enters as a one-hot vector beside the latent. The
source's class loss takes probabilities for log-probabilities and turns negative; this one
is a cross entropy.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.base import Batch, GANModule, OptimizerFactory
from gan_modules.losses import bce_mean, non_saturating
from gan_modules.networks import ClassifyingDiscriminator, Generator
from gan_modules.precision import wide
from gan_modules.tricks import HardLabels, InstanceNoise, LabelFlips
from minmax.errors import UserError


def accuracy(class_logits: Tensor, classes: Tensor) -> Tensor:
    """Share of class logits `[N, K]` whose greatest is that of the class `[N]`."""
    return (class_logits.argmax(dim=1) == classes).float().mean()


def mean(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Mean of two losses, the second one weighted."""
    return (first + weight * second) / (1 + weight)


class ACGAN(GANModule):
    """Class-conditional generator against a discriminator with two heads.

    Args:
        generator: builds the generator of (latent_dim + num_classes, channels, image_size).
        discriminator: builds the discriminator of (channels, image_size, num_classes).
        generator_optimizer: Paper: Adam, learning rate 2e-4, betas (0.5, 0.999).
        discriminator_optimizer: likewise.
        channels: of the images; linked to the data.
        image_size: side of the images in pixels; linked to the data.
        num_classes: of the data, at least 2; linked to it.
        latent_dim: length of a latent, without the class. Paper: 100.
        class_weight: weight of the class loss beside the adversarial loss. Paper: 1.
        fake_class_weight: weight of generated images beside real ones in the discriminator's
            class loss. Paper: 1. At 0 it learns the classes from real images alone, and the two
            networks can't agree on a texture for each class.
        labels: targets of the discriminator's update; none means 1 and 0.
        label_flips: exchange of some of these targets; none means none.
        instance_noise: on what the discriminator sees, in both updates; none means none.
        discriminator_steps: discriminator updates for each turn of the generator.
        generator_steps: generator updates in its turn.
        ema_half_life_images: half-life of the generator's average; 0 is off.
        generator_clip_norm: greatest norm of all the generator's gradients together; 0 is off.
        discriminator_clip_norm: likewise of the discriminator's.
    """

    conditional = True
    discriminator: ClassifyingDiscriminator

    def __init__(
        self,
        generator: Callable[[int, int, int], Generator],
        discriminator: Callable[[int, int, int], ClassifyingDiscriminator],
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        channels: int,
        image_size: int,
        num_classes: int,
        latent_dim: int = 100,
        class_weight: float = 1.0,
        fake_class_weight: float = 1.0,
        labels: HardLabels | None = None,
        label_flips: LabelFlips | None = None,
        instance_noise: InstanceNoise | None = None,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        ema_half_life_images: int = 0,
        generator_clip_norm: float = 0.0,
        discriminator_clip_norm: float = 0.0,
    ) -> None:
        if num_classes < 2:
            raise UserError(
                f"ACGAN needs data of at least 2 classes, and this data has {num_classes}. Choose "
                "labelled data with --data (a folder with one subfolder a class, say), more "
                "--data.init_args.classes, or a variant without classes with --model GAN"
            )
        weights = {"class_weight": class_weight, "fake_class_weight": fake_class_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise UserError(f"--model.init_args.{name} must not be negative, got {weight}")
        super().__init__(
            generator(latent_dim + num_classes, channels, image_size),
            discriminator(channels, image_size, num_classes),
            generator_optimizer,
            discriminator_optimizer,
            latent_dim,
            num_classes,
            ema_half_life_images,
            discriminator_steps,
            generator_steps,
            generator_clip_norm=generator_clip_norm,
            adversary_clip_norm=discriminator_clip_norm,
        )
        self.save_hyperparameters()
        self.class_weight = class_weight
        self.fake_class_weight = fake_class_weight
        self.labels = labels or HardLabels()
        self.label_flips = label_flips or LabelFlips()
        self.instance_noise = instance_noise or InstanceNoise()

    def generator_input(self, latent: Tensor, labels: Tensor | None) -> Tensor:
        """Latents `[N, latent_dim]` beside one-hot labels: `[N, latent_dim + num_classes]`."""
        assert labels is not None, "a class-conditional generator needs labels"
        return torch.cat([latent, F.one_hot(labels, self.num_classes).to(latent.dtype)], dim=1)

    def class_loss(self, images: str, class_logits: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy of class logits `[N, K]`, logged with their accuracy as of `images`."""
        loss = F.cross_entropy(wide(class_logits), classes)
        self.observed[f"loss_class/{images}"] = loss
        if self.logging_due:
            self.observed[f"accuracy/class_{images}"] = accuracy(class_logits, classes)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, then, when its turn has come, the generator."""
        real, real_classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        classes = self.sample_labels(len(real))
        fake = self(self.sample_latent(len(real)), classes)

        with self.updating(self.discriminator):
            noisy_real = self.instance_noise.real(real, self.images_seen)
            noisy_fake = self.instance_noise.fake(fake.detach(), self.images_seen)
            real_logits, real_class_logits = self.discriminator(noisy_real)
            fake_logits, fake_class_logits = self.discriminator(noisy_fake)
            targets = self.label_flips(self.labels.real(real_logits), self.labels.fake(fake_logits))
            class_loss_real = self.class_loss("real", real_class_logits, real_classes)
            class_loss_fake = self.class_loss("fake", fake_class_logits, classes)
            class_loss = mean(class_loss_real, class_loss_fake, self.fake_class_weight)
            adversarial_loss = bce_mean(real_logits, fake_logits, *targets)
            loss_d = mean(adversarial_loss, class_loss, self.class_weight)
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()

        for update in range(self.generator_updates_due()):
            fake = self(self.sample_latent(len(real)), classes) if update else fake
            with self.updating(self.generator):
                noisy_fake = self.instance_noise.fake(fake, self.images_seen)
                logits, class_logits = self.discriminator(noisy_fake)
                class_loss = self.class_loss("generator", class_logits, classes)
                loss_g = mean(non_saturating(logits), class_loss, self.class_weight)
                optimizer_g.zero_grad()
                self.manual_backward(loss_g)
                optimizer_g.step()
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
