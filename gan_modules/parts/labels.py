"""Targets of the discriminator's cross entropy, and the source's changes of them."""

import torch
from torch import Tensor

from gan_modules.parts.part import Part
from gan_modules.precision import widened
from minmax.errors import UserError


class HardLabels(Part):
    """Targets 1 for real and 0 for generated images."""

    one: Tensor
    zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.constant("one", 1.0)
        self.constant("zero", 0.0)

    def real(self, logits: Tensor) -> Tensor:
        """Targets `[N]` of real images with these logits `[N]`."""
        return self.one.expand_as(logits)

    def fake(self, logits: Tensor) -> Tensor:
        """Targets `[N]` of generated images with these logits `[N]`."""
        return self.zero.expand_as(logits)


class OneSidedSmoothing(HardLabels):
    """Target 0.9 in place of 1 for real images; 0 stays (Salimans et al. 2016, section 3.4).

    https://arxiv.org/abs/1606.03498

    Args:
        real_target: target of real images. Paper: 0.9.
    """

    def __init__(self, real_target: float = 0.9) -> None:
        super().__init__()
        self.check_range(0, 1, real_target=real_target)
        self.real_target = real_target

    def real(self, logits: Tensor) -> Tensor:
        """Constant targets `[N]`."""
        return torch.full_like(logits, self.real_target, dtype=widened(logits.dtype))


class SoftLabels(HardLabels):
    """Random targets for each image, around 1 for real and above 0 for generated ones.

    Args:
        real_range: least and greatest target of real images.
        fake_range: least and greatest target of generated images.
    """

    def __init__(
        self,
        real_range: tuple[float, float] = (0.8, 1.1),
        fake_range: tuple[float, float] = (0.0, 0.2),
    ) -> None:
        super().__init__()
        for name, (low, high) in (("real_range", real_range), ("fake_range", fake_range)):
            if low > high:
                raise UserError(f"`{name}` must be [low, high], but {low} > {high}: swap them")
        self.real_range = real_range
        self.fake_range = fake_range

    def real(self, logits: Tensor) -> Tensor:
        """Uniform targets `[N]` from `real_range`."""
        return torch.empty_like(logits, dtype=widened(logits.dtype)).uniform_(*self.real_range)

    def fake(self, logits: Tensor) -> Tensor:
        """Uniform targets `[N]` from `fake_range`."""
        return torch.empty_like(logits, dtype=widened(logits.dtype)).uniform_(*self.fake_range)


class LabelFlips(Part):
    """Exchange some targets of real and generated images in the discriminator's update.

    Args:
        probability: probability of a flip for each image, in [0, 1]. 0 is off.
    """

    def __init__(self, probability: float = 0.0) -> None:
        super().__init__()
        self.check_range(0, 1, probability=probability)
        self.probability = probability

    def forward(self, real_targets: Tensor, fake_targets: Tensor) -> tuple[Tensor, Tensor]:
        """Both targets `[N]`; each image is flipped independently."""
        if self.probability == 0:
            return real_targets, fake_targets
        flip_real = torch.rand_like(real_targets) < self.probability
        flip_fake = torch.rand_like(fake_targets) < self.probability
        return (
            torch.where(flip_real, fake_targets, real_targets),
            torch.where(flip_fake, real_targets, fake_targets),
        )
