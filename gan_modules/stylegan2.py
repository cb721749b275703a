"""StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958).

The generator learns first, then the discriminator, each with latents of its own. The images of
some batches have the vectors w of two latents, one up to a layer and the other behind it. The
penalties of both networks are lazy.
"""

from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from gan_modules.base import Batch, GANModule
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
    Unchanged,
)
from minmax.errors import UserError


class Styled(Protocol):
    """A generator with a mapping."""

    styles: int

    def note(self, w: Tensor) -> None:
        """Move the average of w towards vectors `[N, width]`."""

    def mapping(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to vectors w `[N, width]`."""

    def synthesis(self, styles: Tensor) -> Tensor:
        """Vectors w `[N, styles, width]` to images `[N, C, H, W]`."""


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
        self.game = game or CrossEntropy(discriminator_weight=1)
        self.penalty = penalty or LazyPenalty(R1(1.0), 16)
        if mixing and any(isinstance(part, LatentConsistency) for part in self.penalty.modules()):
            raise UserError(
                f"`mixing` {mixing}: LatentConsistency compares images of latents that are near, "
                "and mixed ones have the styles of others besides: set `mixing` to 0, or choose "
                "another `penalty`"
            )
        self.path_length = path_length or PathLength(weight=0.0)
        self.mixing = mixing
        self.augment = augment or Unchanged()
        self.penalty.check(self.discriminator)
        self.penalty.check_generator(self.generator)
        self.augment.check(self.game)
        self.step_share = self.penalty.step_share
        self.generator_step_share = self.path_length.step_share

    def styles(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Vectors w `[N, styles, width]` of latents `[N, latent_dim]` and classes `[N]`."""
        generator = cast(Styled, self.generator)
        w = generator.mapping(latent, classes)
        generator.note(w)
        if not self.mixing:
            return w[:, None].expand(-1, generator.styles, -1)
        other = generator.mapping(self.sample_latent(len(classes)), classes)
        draws = torch.rand(2, device=self.device)
        first = 1 + (draws[0] * (generator.styles - 1)).floor()
        mixed = torch.arange(generator.styles, device=self.device) >= first
        return torch.where((mixed & (draws[1] < self.mixing))[:, None], other[:, None], w[:, None])

    def kind_of_step(self) -> tuple[Any, ...]:
        """Whether the path length is due after an update of the generator, and this noted, too."""
        before = self.trainer.global_step // self.discriminator_steps * self.generator_steps
        updates = range(before, before + self.generator_updates_due())
        noted = self.turn_logged and len(updates) > 0
        return (*super().kind_of_step(), noted, *map(self.path_length.due, updates))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the generator, if it is due; then the discriminator."""
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        synthesis = cast(Styled, self.generator).synthesis
        asked = self.labels_beside(classes, self.game)
        before = self.trainer.global_step // self.discriminator_steps * self.generator_steps

        for update in range(self.generator_updates_due()):
            with self.updating(self.generator):
                latent = self.sample_latent(len(real))
                fake = synthesis(self.styles(latent, asked))
                logits = self.discriminator(self.augment.fake(fake), asked)
                penalties = self.penalty.of_generator(self.generator, latent, asked, fake)
                game_loss = self.game.generator(logits, partial(self.judge_real, real, classes))
                loss_g = sum(penalties, game_loss)
                optimizer_g.zero_grad()
                self.manual_backward(loss_g)
                optimizer_g.step()
                if self.path_length.due(before + update):
                    styles = self.styles(self.sample_latent(len(real)), asked)
                    optimizer_g.zero_grad()
                    term = self.path_length(synthesis, styles)
                    self.manual_backward(term + zero_of(self.generator))
                    optimizer_g.step()
            self.observed["loss/generator"] = loss_g

        with torch.no_grad():
            latent = self.sample_latent(len(real))
            fake = synthesis(self.styles(latent, asked))
        with self.updating(self.discriminator):
            turn = self.penalty.watch(self.turn(real, classes, latent, fake, asked))
            real_logits, fake_logits = turn.judge()
            penalty = self.penalty(turn)
            loss_d = self.game.discriminator(real_logits, fake_logits) + penalty
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()
            for lazy_loss in self.penalty.lazy(turn):
                optimizer_d.zero_grad()
                self.manual_backward(lazy_loss)
                self.uncounted(optimizer_d).step()
            self.penalty.after(self.discriminator)
        self.augment.adapt(real_logits)

        self.observed["loss/discriminator"] = loss_d
        self.finish_batch(real_logits, fake_logits)
