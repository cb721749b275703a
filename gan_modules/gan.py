"""Generative adversarial network with the non-saturating loss (Goodfellow et al. 2014).

https://arxiv.org/abs/1406.2661, algorithm 1, with the generator loss of section 3. With
convolutional networks this is DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434).

Deviations from the paper: one generator update may follow one discriminator update on the
same latents, whose images are reused; discriminator labels and inputs may be perturbed.
"""

from collections.abc import Callable

from torch import Tensor

from gan_modules.base import Batch, GANModule, OptimizerFactory
from gan_modules.losses import bce_mean, non_saturating
from gan_modules.networks import Discriminator, Generator
from gan_modules.tricks import HardLabels, InstanceNoise, LabelFlips, SeparateBatches


class GAN(GANModule):
    """Generator against discriminator, in alternating updates.

    Args:
        generator: builds the generator of (latent_dim, channels, image_size).
        discriminator: builds the discriminator of (channels, image_size).
        generator_optimizer: Paper of DCGAN: Adam, learning rate 2e-4, betas (0.5, 0.999).
        discriminator_optimizer: likewise.
        channels: of the images; linked to the data.
        image_size: side of the images in pixels; linked to the data.
        num_classes: of the data; linked to it, and unused here.
        latent_dim: length of a latent. Paper of DCGAN: 100.
        discriminator_loss: of real and fake logits and targets, each `[N]`.
        generator_loss: of fake logits `[N]`.
        labels: targets of the discriminator's update; none means 1 and 0.
        label_flips: exchange of some of these targets; none means none.
        instance_noise: on what the discriminator sees, in both updates; none means none.
        batches: how real and generated images reach the discriminator; none means separately.
        discriminator_steps: discriminator updates for each turn of the generator.
        generator_steps: generator updates in its turn.
        ema_half_life_images: half-life of the generator's average; 0 is off.
        generator_clip_norm: greatest norm of all the generator's gradients together; 0 is off.
        discriminator_clip_norm: likewise of the discriminator's.
    """

    discriminator: Discriminator

    def __init__(
        self,
        generator: Callable[[int, int, int], Generator],
        discriminator: Callable[[int, int], Discriminator],
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        channels: int,
        image_size: int,
        num_classes: int,
        latent_dim: int = 100,
        discriminator_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = bce_mean,
        generator_loss: Callable[[Tensor], Tensor] = non_saturating,
        labels: HardLabels | None = None,
        label_flips: LabelFlips | None = None,
        instance_noise: InstanceNoise | None = None,
        batches: SeparateBatches | None = None,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        ema_half_life_images: int = 0,
        generator_clip_norm: float = 0.0,
        discriminator_clip_norm: float = 0.0,
    ) -> None:
        super().__init__(
            generator(latent_dim, channels, image_size),
            discriminator(channels, image_size),
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
        self.discriminator_loss = discriminator_loss
        self.generator_loss = generator_loss
        self.labels = labels or HardLabels()
        self.label_flips = label_flips or LabelFlips()
        self.instance_noise = instance_noise or InstanceNoise()
        self.batches = batches or SeparateBatches()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, then, when its turn has come, the generator."""
        real, _ = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        fake = self(self.sample_latent(len(real)))

        with self.updating(self.discriminator):
            real_logits, fake_logits = self.batches(
                self.discriminator,
                self.instance_noise.real(real, self.images_seen),
                self.instance_noise.fake(fake.detach(), self.images_seen),
            )
            targets = self.label_flips(self.labels.real(real_logits), self.labels.fake(fake_logits))
            loss_d = self.discriminator_loss(real_logits, fake_logits, *targets)
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()

        for update in range(self.generator_updates_due()):
            fake = self(self.sample_latent(len(real))) if update else fake
            with self.updating(self.generator):
                noisy = self.instance_noise.fake(fake, self.images_seen)
                loss_g = self.generator_loss(self.discriminator(noisy))
                optimizer_g.zero_grad()
                self.manual_backward(loss_g)
                optimizer_g.step()
            self.observed["loss/generator"] = loss_g

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
