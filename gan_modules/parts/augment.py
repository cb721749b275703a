"""What the source does to labels, images and batches to keep training stable.

Each trick is an object. Switched off it is the identity, so that a training step calls
it without asking.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_modules.precision import widened
from minmax.errors import UserError


class HardLabels:
    """Targets 1 for real and 0 for generated images."""

    def real(self, logits: Tensor) -> Tensor:
        """Targets `[N]` of real images with these logits `[N]`."""
        return torch.ones_like(logits, dtype=widened(logits.dtype))

    def fake(self, logits: Tensor) -> Tensor:
        """Targets `[N]` of generated images with these logits `[N]`."""
        return torch.zeros_like(logits, dtype=widened(logits.dtype))


class OneSidedSmoothing(HardLabels):
    """Target 0.9 in place of 1 for real images; 0 stays (Salimans et al. 2016, section 3.4).

    https://arxiv.org/abs/1606.03498

    Args:
        real_target: target of real images. Paper: 0.9.
    """

    def __init__(self, real_target: float = 0.9) -> None:
        self.real_target = real_target

    def real(self, logits: Tensor) -> Tensor:
        """Constant targets `[N]`."""
        return torch.full_like(logits, self.real_target, dtype=widened(logits.dtype))


class SoftLabels(HardLabels):
    """Targets drawn at random for each image, around 1 for real and above 0 for generated.

    Args:
        real_range: least and greatest target of real images.
        fake_range: least and greatest target of generated images.
    """

    def __init__(
        self,
        real_range: tuple[float, float] = (0.8, 1.1),
        fake_range: tuple[float, float] = (0.0, 0.2),
    ) -> None:
        for name, (low, high) in (("real_range", real_range), ("fake_range", fake_range)):
            if low > high:
                raise UserError(f"{name} must be [low, high], but {low} > {high}: swap them")
        self.real_range = real_range
        self.fake_range = fake_range

    def real(self, logits: Tensor) -> Tensor:
        """Uniform targets `[N]` from `real_range`."""
        return torch.empty_like(logits, dtype=widened(logits.dtype)).uniform_(*self.real_range)

    def fake(self, logits: Tensor) -> Tensor:
        """Uniform targets `[N]` from `fake_range`."""
        return torch.empty_like(logits, dtype=widened(logits.dtype)).uniform_(*self.fake_range)


class LabelFlips:
    """Exchange the targets of a real and a generated image, for the discriminator's update.

    Args:
        probability: of each image's flip, in [0, 1]. 0 is off.
    """

    def __init__(self, probability: float = 0.0) -> None:
        if not 0 <= probability <= 1:
            raise UserError(f"probability must lie in [0, 1], got {probability}")
        self.probability = probability

    def __call__(self, real_targets: Tensor, fake_targets: Tensor) -> tuple[Tensor, Tensor]:
        """Both targets `[N]`, each image flipped or not on its own."""
        if self.probability == 0:
            return real_targets, fake_targets
        flip_real = torch.rand_like(real_targets) < self.probability
        flip_fake = torch.rand_like(fake_targets) < self.probability
        return (
            torch.where(flip_real, fake_targets, real_targets),
            torch.where(flip_fake, real_targets, fake_targets),
        )


class InstanceNoise:
    """Add Gaussian noise to what the discriminator sees (Sønderby et al. 2017, section 3.2).

    https://arxiv.org/abs/1610.04490

    Args:
        std: standard deviation at the start, in units of the pixel range [-1, 1]. 0 is off.
        anneal_images: number of images over which the noise falls to 0 linearly; 0 means
            that it stays constant.
        on_real: whether real images get the noise too. The source: no; the paper: yes.
    """

    def __init__(self, std: float = 0.0, anneal_images: int = 0, on_real: bool = False) -> None:
        if std < 0 or anneal_images < 0:
            raise UserError(
                f"std and anneal_images must not be negative, got {std} and {anneal_images}"
            )
        self.std = std
        self.anneal_images = anneal_images
        self.on_real = on_real

    def level(self, images_seen: int) -> float:
        """Standard deviation of the noise after `images_seen` images."""
        if self.anneal_images == 0:
            return self.std
        return self.std * max(0.0, 1 - images_seen / self.anneal_images)

    def fake(self, images: Tensor, images_seen: int) -> Tensor:
        """Generated images `[N, C, H, W]` with their noise; not clipped."""
        level = self.level(images_seen)
        return images if level == 0 else images + level * torch.randn_like(images)

    def real(self, images: Tensor, images_seen: int) -> Tensor:
        """Real images `[N, C, H, W]`, with noise if they get any."""
        return self.fake(images, images_seen) if self.on_real else images


class SeparateBatches:
    """Show real and generated images to the discriminator in two passes.

    Batch norm then normalises each kind by its own statistics.
    """

    def __call__(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits `[N]` of the real and `[M]` of the generated images."""
        return discriminator(real), discriminator(fake)


class MixedBatch(SeparateBatches):
    """Show real and generated images to the discriminator as one batch."""

    def __call__(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits `[N]` of the real and `[M]` of the generated images."""
        logits = discriminator(torch.cat([real, fake]))
        return logits[: len(real)], logits[len(real) :]
