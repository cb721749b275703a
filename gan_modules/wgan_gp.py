"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

https://arxiv.org/abs/1704.00028. Each batch is one critic update on its own real images;
every `critic_steps` batches the generator is updated once.

Deviations from the paper: the generator's update reuses the images of the critic's last one,
where the paper draws new latents. An average of the generator may be kept.
"""

from collections.abc import Callable

from torch import nn

from gan_modules.base import Batch, GANModule, OptimizerFactory
from gan_modules.losses import wasserstein_critic, wasserstein_generator
from gan_modules.networks import Discriminator, Generator
from gan_modules.penalties import gradient_penalty
from minmax.errors import UserError


class WGANGP(GANModule):
    """Generator against a critic whose score has no sigmoid, no 0 and no 1.

    Args:
        generator: builds the generator of (latent_dim, channels, image_size).
        critic: builds the critic of (channels, image_size); must have no batch norm.
        generator_optimizer: Paper: Adam, learning rate 1e-4, betas (0, 0.9).
        critic_optimizer: likewise.
        channels: of the images; linked to the data.
        image_size: side of the images in pixels; linked to the data.
        num_classes: of the data; linked to it, and unused here.
        latent_dim: length of a latent. Paper: 128.
        critic_steps: critic updates for each generator update. Paper: 5.
        penalty_weight: lambda of the gradient penalty. Paper: 10.
        ema_half_life_images: half-life of the generator's average; 0 is off.
        generator_clip_norm: greatest norm of all the generator's gradients together; 0 is off.
        critic_clip_norm: likewise of the critic's.
    """

    adversary_name = "critic"
    critic: Discriminator

    def __init__(
        self,
        generator: Callable[[int, int, int], Generator],
        critic: Callable[[int, int], Discriminator],
        generator_optimizer: OptimizerFactory,
        critic_optimizer: OptimizerFactory,
        channels: int,
        image_size: int,
        num_classes: int,
        latent_dim: int = 100,
        critic_steps: int = 5,
        penalty_weight: float = 10.0,
        ema_half_life_images: int = 0,
        generator_clip_norm: float = 0.0,
        critic_clip_norm: float = 0.0,
    ) -> None:
        if penalty_weight < 0:
            raise UserError(
                f"--model.init_args.penalty_weight must not be negative, got {penalty_weight}"
            )
        super().__init__(
            generator(latent_dim, channels, image_size),
            critic(channels, image_size),
            generator_optimizer,
            critic_optimizer,
            latent_dim,
            num_classes,
            ema_half_life_images,
            adversary_steps=critic_steps,
            generator_clip_norm=generator_clip_norm,
            adversary_clip_norm=critic_clip_norm,
        )
        if any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.critic.modules()
        ):
            raise UserError(
                f"--model.init_args.critic {type(self.critic).__name__} has batch norm, which "
                "mixes images, and the penalty wants the gradient of each: choose Critic32, say"
            )
        self.save_hyperparameters()
        self.penalty_weight = penalty_weight

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the critic; after every `critic_steps` of these, the generator."""
        real, _ = batch
        optimizer_g, optimizer_c = self.both_optimizers()
        fake = self(self.sample_latent(len(real)))

        with self.updating(self.critic):
            real_scores, fake_scores = self.critic(real), self.critic(fake.detach())
            penalty, penalty_norm = gradient_penalty(self.critic, real, fake)
            loss_c = wasserstein_critic(real_scores, fake_scores) + self.penalty_weight * penalty
            optimizer_c.zero_grad()
            self.manual_backward(loss_c)
            optimizer_c.step()

        for _ in range(self.generator_updates_due()):
            with self.updating(self.generator):
                loss_g = wasserstein_generator(self.critic(fake))
                optimizer_g.zero_grad()
                self.manual_backward(loss_g)
                optimizer_g.step()
            self.observed["loss/generator"] = loss_g

        self.observed |= {
            "loss/critic": loss_c,
            "penalty/value": penalty,
            "penalty/norm": penalty_norm,
        }
        if self.logging_due:
            self.observed["accuracy/pairs"] = (real_scores > fake_scores).float().mean()
        self.finish_batch(real_scores, fake_scores)
