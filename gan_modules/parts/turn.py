"""An update of the discriminator, as penalties see it."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from gan_modules.parts.augment import Augment, Unchanged
from gan_modules.parts.batches import Judge, SeparateBatches

REAL, FAKE = frozenset({"real"}), frozenset({"generated"})
BOTH = REAL | FAKE
"""Kinds of images."""


@dataclass
class Turn:
    """What the discriminator is shown in an update, and what it says.

    Attributes:
        discriminator: images `[N, C, H, W]` and classes `[N]` to logits `[N]`.
        generator: latents and classes to images.
        real: real images `[N, C, H, W]`, before augmentation.
        classes: their classes `[N]`.
        latent: latents `[M, latent_dim]` of the generated images.
        fake: generated images `[M, C, H, W]` before augmentation, without the generator's graph.
        asked: classes `[M]` that the generator was asked for.
        augment: change of all images that the discriminator sees.
        batches: how the images reach the discriminator.
        update: number of the discriminator's updates before this one.
        seen_real: real images as the discriminator sees them; set by `judge`, like the next three.
        seen_fake: generated images as it sees them.
        real_logits: its logits of the former, `[N]`.
        fake_logits: its logits of the latter, `[M]`.
    """

    discriminator: Judge
    generator: nn.Module
    real: Tensor
    classes: Tensor
    latent: Tensor
    fake: Tensor
    asked: Tensor
    augment: Augment = field(default_factory=Unchanged)
    batches: SeparateBatches = field(default_factory=SeparateBatches)
    update: int = 0
    seen_real: Tensor = field(init=False)
    seen_fake: Tensor = field(init=False)
    real_logits: Tensor = field(init=False)
    fake_logits: Tensor = field(init=False)

    def judge(self) -> tuple[Tensor, Tensor]:
        """Show the images to the discriminator: logits of real and of generated images."""
        self.seen_real, self.seen_fake = self.augment.real(self.real), self.augment.fake(self.fake)
        self.real_logits, self.fake_logits = self.batches(
            self.discriminator, self.seen_real, self.classes, self.seen_fake, self.asked
        )
        return self.real_logits, self.fake_logits

    def judge_kinds(self, kinds: frozenset[str]) -> None:
        """Show the discriminator images of these kinds alone."""
        if kinds == BOTH:
            self.judge()
        elif kinds == REAL:
            self.seen_real = self.augment.real(self.real)
            self.real_logits = self.discriminator(self.seen_real, self.classes)
        else:
            self.seen_fake = self.augment.fake(self.fake)
            self.fake_logits = self.discriminator(self.seen_fake, self.asked)

    @torch.no_grad()
    def judge_real(self) -> Tensor:
        """Logits `[N]` of the real images by the discriminator as it is now, without gradients."""
        return self.discriminator(self.augment.real(self.real.detach()), self.classes)

    def again(self) -> "Turn":
        """The same images, to be shown anew to the discriminator as it is now."""
        return replace(self, real=self.real.detach(), fake=self.fake.detach())
