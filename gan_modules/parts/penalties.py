"""Penalties of the discriminator's loss."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from gan_modules.parts.batches import Judge
from gan_modules.parts.part import Part
from gan_modules.precision import widened
from minmax.errors import UserError


class Penalty(Part, ABC):
    """A term of the discriminator's loss that sees the discriminator itself."""

    @abstractmethod
    def forward(
        self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """The term times its weight: a scalar in float32, or in float64 if the images are.

        Args:
            discriminator: images `[N, C, H, W]` and classes `[N]` to logits `[N]`.
            real: real images.
            classes: classes of the real images.
            fake: generated images; no gradient flows into them.
            asked: classes that the generator was asked for.
        """

    def check(self, discriminator: nn.Module) -> None:
        """Refuse a discriminator for which the penalty has no meaning.

        Raises:
            UserError: the penalty has no meaning for it.
        """


class NoPenalty(Penalty):
    """No term."""

    zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.constant("zero", 0.0)

    def forward(
        self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """0."""
        return self.zero


class GradientPenalty(Penalty):
    """E[(|grad_x D(x)| - 1)^2] between real and fake images (Gulrajani et al. 2017, eq. 3).

    Each image has its own epsilon from U[0, 1] and its own norm, over all its pixels.
    It is computed in float32, or in float64 if the images are: in bfloat16 the double backward is
    wrong by percents. https://arxiv.org/abs/1704.00028

    Logs the penalty without its weight, and the mean norm, which should be 1.

    Args:
        weight: weight of the term. Paper: 10.
    """

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__()
        if weight < 0:
            raise UserError(f"`weight` of the gradient penalty must not be negative, got {weight}")
        self.weight = weight

    def forward(
        self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """The term; both batches must have the same number of images."""
        with torch.autocast(real.device.type, enabled=False):
            dtype = widened(real.dtype)
            real, fake = real.detach().to(dtype), fake.detach().to(dtype)
            epsilon = torch.rand(len(real), 1, 1, 1, dtype=dtype, device=real.device)
            mix = torch.lerp(fake, real, epsilon).requires_grad_(True)
            logits = discriminator(mix, classes)
            (gradient,) = torch.autograd.grad(logits.sum(), mix, create_graph=True)
            norm = gradient.flatten(1).norm(dim=1)
            penalty: Tensor = (norm - 1).square().mean()
            self.observed = {
                "penalty/value": penalty.detach(),
                "penalty/norm": norm.detach().mean(),
            }
            return self.weight * penalty

    def check(self, discriminator: nn.Module) -> None:
        """Refuse batch norm, which mixes images."""
        layers = discriminator.modules()
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
            raise UserError(
                f"`discriminator` {type(discriminator).__name__} has batch norm, which mixes "
                "images, and the gradient penalty wants the gradient of each: choose Critic32, say"
            )
