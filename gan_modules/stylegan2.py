"""StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958).

The generator learns first, then the discriminator, each with latents of its own. The images of
some batches have the vectors w of two latents, one up to a layer and the other behind it. The
penalties of both networks are lazy.
"""

from typing import Any

import torch
from torch import Tensor

from gan_modules.base import Batch, GANModule
from gan_modules.networks import StyleGAN2Generator
from gan_modules.parallel import zero_of
from gan_modules.parts import (
    R1,
    Augment,
    CrossEntropy,
    Game,
    LatentConsistency,
    LazyPenalty,
    PathLength,
    Penalty,
)
from minmax.errors import UserError


class StyleGAN2(GANModule):
    """Generator with a mapping against discriminator, in alternating updates.

    Args:
        game: the losses of both networks; none means the cross entropy, of weight 1.
        penalty: term of the discriminator; none means R1 with gamma 1 at every 16th update.
        path_length: term of the generator; none means no term, as StyleGAN2-ADA on CIFAR-10.
        mixing: probability that a batch has the vectors w of two latents. Paper: 0.9;
            StyleGAN2-ADA on CIFAR-10: 0.
        augment: change of all images that the discriminator sees; none means no change.
        **shared: options of all variants.

    Raises:
        UserError: the generator has no mapping, or `mixing` is no probability.
    """

    generator: StyleGAN2Generator

    def __init__(
        self,
        game: Game | None = None,
        penalty: Penalty | None = None,
        path_length: PathLength | None = None,
        mixing: float = 0.0,
        augment: Augment | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not hasattr(self.generator, "mapping"):
            raise UserError(
                f"`generator` {type(self.generator).__name__} has no mapping, which StyleGAN2 "
                "trains: choose StyleGAN2Generator"
            )
        if not 0 <= mixing <= 1:
            raise UserError(f"`mixing` must lie in [0, 1], got {mixing}")
        penalty = penalty or LazyPenalty(R1(1.0), 16)
        if mixing and any(isinstance(part, LatentConsistency) for part in penalty.modules()):
            raise UserError(
                f"`mixing` {mixing}: LatentConsistency compares images of latents that are near, "
                "and mixed ones have the styles of others besides: set `mixing` to 0, or choose "
                "another `penalty`"
            )
        self.take_parts(game or CrossEntropy(discriminator_weight=1), penalty, augment)
        self.path_length = path_length or PathLength(weight=0.0)
        self.mixing = mixing
        self.generator_step_share = self.path_length.step_share

    def styles(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Vectors w `[N, styles, width]` of latents `[N, latent_dim]` and classes `[N]`."""
        generator = self.generator
        w = generator.mapping(latent, classes)
        generator.note(w)
        if not self.mixing:
            return w[:, None].expand(-1, generator.styles, -1)
        other = generator.mapping(self.sample_latent(len(classes)), classes)
        draws = torch.rand(2, device=self.device)
        first = 1 + (draws[0] * (generator.styles - 1)).floor()
        mixed = torch.arange(generator.styles, device=self.device) >= first
        return torch.where((mixed & (draws[1] < self.mixing))[:, None], other[:, None], w[:, None])

    @property
    def generator_updates(self) -> range:
        """Numbers of this batch's updates of the generator, counted from the training's first."""
        before = self.trainer.global_step // self.discriminator_steps * self.generator_steps
        return range(before, before + self.generator_updates_due())

    def kind_of_step(self) -> tuple[Any, ...]:
        """Whether the path length is due after an update of the generator, and this noted, too."""
        noted = self.turn_logged and len(self.generator_updates) > 0
        dues = map(self.path_length.due, self.generator_updates)
        return (*super().kind_of_step(), noted, *dues)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the generator, if it is due; then the discriminator."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.labels_beside(classes, self.game)

        for update in self.generator_updates:
            with self.updating(self.generator):
                latent = self.sample_latent(len(real))
                fake = self.generator.synthesis(self.styles(latent, asked))
                turn = self.turn(real, classes, latent, fake, asked)
                logits = self.discriminator(self.augment.fake(fake), asked)
                penalties = self.penalty.of_generator(self.generator, latent, asked, fake)
                loss_g = sum(penalties, self.game.generator(logits, turn.judge_real))
                self.descend(optimizer_g, loss_g)
                if self.path_length.due(update):
                    styles = self.styles(self.sample_latent(len(real)), asked)
                    term = self.path_length(self.generator.synthesis, styles)
                    self.descend(optimizer_g, term + zero_of(self.generator))
            self.observed["loss/generator"] = loss_g

        with torch.no_grad():
            latent = self.sample_latent(len(real))
            fake = self.generator.synthesis(self.styles(latent, asked))
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

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
