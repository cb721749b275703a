"""Penalties on the discriminator's slope, the gradient of its logit with respect to the image.

They are computed in float32, or in float64 if the images are; the slopes of R1 and R2 in bfloat16
under autocast to it (docs/options.md has what this gains and costs). gamma is always that of
gamma / 2 * mean over images of the sum over pixels of squared gradients; pixels lie in [-1, 1].
"""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_modules.networks.convolution import no_weight_gradients
from gan_modules.networks.spectral import Spectral
from gan_modules.parallel import std_over_ranks
from gan_modules.parts.penalty import Penalty, drops
from gan_modules.parts.schedules import Schedule
from gan_modules.parts.turn import FAKE, REAL, Turn
from gan_modules.precision import wide
from minmax.errors import UserError

Shown = tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]
"""Images, their classes, their logits, and what the discriminator sees of images."""


def slopes(logits: Tensor, images: Tensor) -> Tensor:
    """Gradients `[N, C H W]` of each logit with respect to its image, to be differentiated again.

    Args:
        logits: a logit an image.
        images: `[N, C, H, W]`, whose gradients are asked for.
    """
    with no_weight_gradients():
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)


def watched(images: Tensor) -> Tensor:
    """Images whose gradients will be asked for; the same under autocast to float16.

    There second derivatives overflow, so R1 has a float32 pass of its own.
    """
    kind = images.device.type
    half = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
    return images if half else images.detach().requires_grad_(True)


class SlopePenalty(Penalty):
    """A penalty that means something only if each logit depends on one image alone."""

    def check(self, discriminator: nn.Module) -> None:
        """Refuse batch norm, which mixes images."""
        layers = discriminator.modules()
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
            raise UserError(
                f"`discriminator` {type(discriminator).__name__} has batch norm, which mixes "
                f"images, and {type(self).__name__} wants the gradient of each: choose Critic32, "
                "say"
            )


class NormPenalty(SlopePenalty):
    """(|grad_x D(x)| - 1)^2 at images that a subclass chooses, times a weight.

    Each image has its own norm, over all its pixels. Logs the penalty without its weight, and the
    mean norm, which should be 1.

    Args:
        weight: weight of the term. Papers: 10.
    """

    weight_now: Tensor

    def __init__(self, weight: float | Schedule = 10.0) -> None:
        super().__init__()
        self.check_range(0, float("inf"), weight=weight)
        self.weight = weight
        self.changing("weight_now", weight)

    @abstractmethod
    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        """Images `[N, C, H, W]` at which the slope is penalised, near those that D is shown."""

    def forward(self, turn: Turn) -> Tensor:
        """The term; both batches must have the same number of images."""
        real, fake = turn.seen_real, turn.seen_fake
        with torch.autocast(real.device.type, enabled=False):
            images = self.images(wide(real.detach()), wide(fake.detach()))
            images.requires_grad_(True)
            norm = slopes(turn.discriminator(images, turn.classes), images).norm(dim=1)
            penalty: Tensor = (norm - 1).square().mean()
            self.observed = {
                "penalty/value": penalty.detach(),
                "penalty/norm": norm.detach().mean(),
            }
            return self.weight_now * penalty


class GradientPenalty(NormPenalty):
    """The penalty of WGAN-GP, between real and fake images (Gulrajani et al. 2017, eq. 3).

    Each image has its own epsilon from U[0, 1]. https://arxiv.org/abs/1704.00028
    """

    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        """A point on the line from each generated image to a real one."""
        epsilon = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
        return torch.lerp(fake, real, epsilon)


class DRAGAN(NormPenalty):
    """The penalty of DRAGAN, near real images (Kodali et al. 2017, section 2.3).

    https://arxiv.org/abs/1705.07215. The noise is that of the authors' code: half the standard
    deviation of the batch (over all ranks), times U[0, 1) for each pixel, times U[0, 1) for each
    image. The paper has Gaussian noise. Neither the noise's sign nor its mean is random: it
    brightens.
    """

    def images(self, real: Tensor, fake: Tensor) -> Tensor:
        """Real images with noise."""
        length = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
        return real + length * 0.5 * std_over_ranks(real) * torch.rand_like(real)


class R1(SlopePenalty):
    """gamma / 2 * E[|grad_x D(x)|^2] on real images (Mescheder et al. 2018, equation 9).

    https://arxiv.org/abs/1801.04406. The gradient is that at the image before augmentation, so that
    the penalty contains the augmentation. Only under autocast to float16 it needs a forward pass of
    its own.
    Logs the mean squared norm as `penalty/r1`.

    Args:
        gamma: weight of half the squared norm. Paper: 10. The paper's code, and some others, leave
            the half out: their 10 is a gamma of 20 (docs/options.md).
    """

    gamma_now: Tensor
    name = "r1"
    kinds = REAL

    def __init__(self, gamma: float | Schedule = 10.0) -> None:
        super().__init__()
        self.check_range(0, float("inf"), gamma=gamma)
        self.gamma = gamma
        self.changing("gamma_now", gamma)

    def watch(self, turn: Turn) -> Turn:
        """Ask for gradients at the images that the discriminator will be shown."""
        turn.real = watched(turn.real)
        return turn

    def shown(self, turn: Turn) -> Shown:
        """The real images `[N, C, H, W]` before augmentation."""
        return turn.real, turn.classes, turn.real_logits, turn.augment.real

    def forward(self, turn: Turn) -> Tensor:
        """The term."""
        images, classes, logits, augment = self.shown(turn)
        with torch.autocast(images.device.type, enabled=False):
            if not images.requires_grad:  # see `watched`
                images = wide(images).detach().requires_grad_(True)
                logits = turn.discriminator(augment(images), classes)
            squares = wide(slopes(logits, images)).square().sum(dim=1).mean()
            self.observed = {f"penalty/{self.name}": squares.detach()}
            return self.gamma_now / 2 * squares


class R2(R1):
    """R1's term on generated images (Mescheder et al. 2018, equation 10); `penalty/r2`."""

    name = "r2"
    kinds = FAKE

    def watch(self, turn: Turn) -> Turn:
        """Ask for gradients at the images that the discriminator will be shown."""
        turn.fake = watched(turn.fake)
        return turn

    def shown(self, turn: Turn) -> Shown:
        """The generated images `[M, C, H, W]` before augmentation."""
        return turn.fake, turn.asked, turn.fake_logits, turn.augment.fake


class ApproximateR1(SlopePenalty):
    """R1 by a difference: lambda / sigma^2 * E[(D(x + sigma e) - D(x))^2], e from N(0, 1).

    Lin et al. 2025 (https://arxiv.org/abs/2501.08316). It needs one more pass of the discriminator
    and no second derivatives. The mean over e is R1's term to first order, for lambda = gamma / 2.
    The noise is added behind the augmentation, so that both passes have the same draw. Under
    autocast both passes are made again in float32: in bfloat16 the difference is lost. Logs
    the squared difference / sigma^2 of an image as `penalty/r1`.

    Args:
        gamma: weight of half the squared norm, as R1's.
        std: sigma, the noise's standard deviation; pixels lie in [-1, 1].
        share: share of the batch's first images that is penalised.
    """

    gamma_now: Tensor
    name = "r1"
    kinds = REAL

    def __init__(
        self, gamma: float | Schedule = 10.0, std: float = 0.01, share: float = 1.0
    ) -> None:
        super().__init__()
        self.check_range(0, float("inf"), gamma=gamma)
        if not 0 < std < float("inf"):
            raise UserError(f"`std` of {type(self).__name__} must be above 0, got {std}")
        if not 0 < share <= 1:
            raise UserError(f"`share` of {type(self).__name__} must lie in (0, 1], got {share}")
        self._compares = False
        self.gamma = gamma
        self.std = std
        self.share = share
        self.changing("gamma_now", gamma)

    def check(self, discriminator: nn.Module) -> None:
        """Refuse batch norm, and dropout and spectral norm, which change between the passes."""
        super().check(discriminator)
        layers = [*discriminator.modules()]
        self._compares = any(getattr(layer, "compares_images", False) for layer in layers)
        exact = type(self).__name__.removeprefix("Approximate")
        if any(isinstance(layer, Spectral) for layer in layers):
            raise UserError(
                f"`discriminator` {type(discriminator).__name__} has spectral norm, whose estimate "
                f"is another in each of the two passes whose difference {type(self).__name__} "
                f"takes: choose {exact}, or a discriminator without it"
            )
        if any(map(drops, layers)):
            raise UserError(
                f"`discriminator` {type(discriminator).__name__} has dropout, which differs between"
                f" the two passes whose difference {type(self).__name__} takes: set `dropout` of "
                f"the discriminator to 0, or choose {exact}"
            )

    def shown(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """What the discriminator saw `[N, C, H, W]`, of which classes, and its logits."""
        return turn.seen_real, turn.classes, turn.real_logits

    def forward(self, turn: Turn) -> Tensor:
        """The term."""
        images, classes, logits = self.shown(turn)
        judgements = max(1, round(self.share * len(logits)))
        count = judgements * len(images) // len(logits)  # several images a logit if packed
        images, classes, logits = images[:count].detach(), classes[:count], logits[:judgements]
        again = torch.is_autocast_enabled(images.device.type)
        # A share of a batch, whose images are compared, is another batch.
        again = again or (self._compares and self.share < 1)
        with torch.autocast(images.device.type, enabled=False):
            images = wide(images)
            if again:
                logits = turn.discriminator(images, classes)
            moved = turn.discriminator(images + self.std * torch.randn_like(images), classes)
            # Of an image, as R1's: a pack's logit moves by the slopes at all its images.
            squares = ((moved - logits) / self.std).square().sum() / len(images)
            self.observed = {f"penalty/{self.name}": squares.detach()}
            return self.gamma_now / 2 * squares


class ApproximateR2(ApproximateR1):
    """R2 by a difference, as `ApproximateR1` on generated images; `penalty/r2`."""

    name = "r2"
    kinds = FAKE

    def shown(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """What the discriminator saw `[M, C, H, W]`, of which classes, and its logits."""
        return turn.seen_fake, turn.asked, turn.fake_logits
