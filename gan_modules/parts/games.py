"""Games: the losses of both networks.

Each loss is a pure function of logits: a scalar in float32, or in float64 if the logits are. Logits
are cast first, since autocast on a CPU would keep them in bfloat16.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.labels import HardLabels, LabelFlips
from gan_modules.parts.part import Part
from gan_modules.parts.schedules import Schedule, ends_of, value_of
from gan_modules.precision import wide
from minmax.errors import UserError

JudgeReal = Callable[[], Tensor]
"""Shows the real images to the discriminator as it is now: logits `[N]` without gradients."""


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of logits `[N]` against targets `[N]`.

    Targets may be soft, and slightly outside [0, 1]: softplus(x) - targets * x is linear
    in the targets, so nothing needs clipping.
    """
    logits = wide(logits)
    return (F.softplus(logits) - targets * logits).mean()


class Game(Part, ABC):
    """A loss for each network.

    Attributes:
        has_zero: whether a logit above 0 means "real", and below 0 "generated". If a
            constant can be added to all logits, only their differences have a meaning.
        pairs: whether each generated image is compared with one real image, of its class.
    """

    has_zero = True
    pairs = False

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, from logits `[N]` of real and `[M]` of generated images."""

    @abstractmethod
    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """The generator's loss, from logits `[M]` of its images.

        Args:
            fake: the logits.
            judge_real: gives logits of the batch's real images, for which the discriminator then
                makes one more pass; most games don't call it.
        """

    def accuracies(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """How often the discriminator is right, by log name.

        With `has_zero` the share of logits `[N]` and `[M]` with the right sign; otherwise the share
        of pairs in which the real image has the higher logit.
        """
        if self.has_zero:
            return {
                "accuracy/real": (real > 0).float().mean(),
                "accuracy/fake": (fake < 0).float().mean(),
            }
        return {"accuracy/pairs": (real > fake).float().mean()}


class CrossEntropy(Game):
    """Cross entropy, with the non-saturating generator loss (Goodfellow et al. 2014).

    https://arxiv.org/abs/1406.2661, equation 1 and section 3: the discriminator minimises the cross
    entropy of its logits, the generator -log D(G(z)). Chance level is log 2 = 0.693 for both.

    Args:
        labels: targets of the discriminator's update; none means 1 and 0.
        label_flips: exchange of some of these targets; none means no exchange.
        discriminator_weight: factor of the discriminator's loss, the sum of the cross entropies of
            real and generated images; 0.5 gives their mean. Paper: 1 (chance level 1.386).
    """

    def __init__(
        self,
        labels: HardLabels | None = None,
        label_flips: LabelFlips | None = None,
        discriminator_weight: float = 0.5,
    ) -> None:
        super().__init__()
        if discriminator_weight <= 0:
            raise UserError(f"`discriminator_weight` must be above 0, got {discriminator_weight}")
        self.labels = labels or HardLabels()
        self.label_flips = label_flips or LabelFlips()
        self.discriminator_weight = discriminator_weight

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Weighted sum of the two cross entropies."""
        targets = self.label_flips(self.labels.real(real), self.labels.fake(fake))
        both = bce(real, targets[0]) + bce(fake, targets[1])
        return both if self.discriminator_weight == 1 else both * self.discriminator_weight

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """-log D(G(z))."""
        return F.softplus(-wide(fake)).mean()


class Wasserstein(Game):
    """Difference of the mean logits (Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875).

    It is a distance only if the discriminator's slope is bounded, by a gradient penalty say.
    """

    has_zero = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[D(fake)] - E[D(real)] (Gulrajani et al. 2017, eq. 3, first two terms)."""
        return wide(fake).mean() - wide(real).mean()

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """-E[D(fake)] (Gulrajani et al. 2017, algorithm 1, line 12)."""
        return -wide(fake).mean()


class Hinge(Game):
    """Hinge losses (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).

    https://arxiv.org/abs/1705.02894, https://arxiv.org/abs/1802.05957. Logits beyond 1 and -1
    teach the discriminator nothing. Chance level is 2, at logits of 0.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]."""
        return (1 - wide(real)).relu().mean() + (1 + wide(fake)).relu().mean()

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """-E[D(G(z))]."""
        return -wide(fake).mean()


class LeastSquares(Game):
    """Least squares (Mao et al. 2017, https://arxiv.org/abs/1611.04076).

    Equation 9 by default: 0 and 1 for the discriminator, 1 for the generator; equation 8 has -1, 1
    and 0, and minimises a Pearson chi^2 divergence. Chance level of the former is 0.25, at logits
    of 0.5.

    Args:
        fake_target: logit that the discriminator should give to generated images (a).
        real_target: logit that it should give to real images (b), above `fake_target`.
        generator_target: logit that the generator wants for its images (c).
    """

    def __init__(
        self, fake_target: float = 0.0, real_target: float = 1.0, generator_target: float = 1.0
    ) -> None:
        super().__init__()
        if not fake_target < real_target:
            raise UserError(
                f"`fake_target` {fake_target} must be below `real_target` {real_target}: the "
                "papers have 0 and 1, or -1 and 1"
            )
        self.fake_target = fake_target
        self.real_target = real_target
        self.generator_target = generator_target
        self.has_zero = fake_target + real_target == 0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[(D(x) - b)^2] / 2 + E[(D(G(z)) - a)^2] / 2."""
        of_real = (wide(real) - self.real_target).square().mean()
        return (of_real + (wide(fake) - self.fake_target).square().mean()) / 2

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """E[(D(G(z)) - c)^2] / 2."""
        return (wide(fake) - self.generator_target).square().mean() / 2


class RelativisticAverage(Game):
    """Relativistic average game (Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734).

    Each logit is compared with the mean logit of the other kind, of this rank's batch. A constant
    added to all logits changes nothing. Chance level is 2 log 2 = 1.386 for both networks.
    """

    has_zero = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Cross entropies of D(x) - E[D(G(z))] against 1, and of D(G(z)) - E[D(x)] against 0."""
        real, fake = wide(real), wide(fake)
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """The same with the two kinds exchanged."""
        return self.discriminator(fake, judge_real())


class RelativisticPairing(Game):
    """Relativistic pairing game (Jolicoeur-Martineau 2018; Huang et al. 2024, equation 2).

    https://arxiv.org/abs/1807.00734, https://arxiv.org/abs/2501.05441. The n-th generated image is
    compared with the n-th real one, so both batches have the same size. A constant added to all
    logits changes nothing. Chance level is log 2 = 0.693 for both networks.
    """

    has_zero = False
    pairs = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Cross entropy of D(x) - D(G(z)) against 1."""
        if real.shape != fake.shape:
            raise UserError(
                "`game` RelativisticPairing compares each generated image with a real one, and got "
                f"logits of {len(real)} and {len(fake)}: choose RelativisticAverage"
            )
        return F.softplus(wide(fake) - wide(real)).mean()

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """Cross entropy of D(G(z)) - D(x) against 1."""
        return self.discriminator(fake, judge_real())


class TopK(Game):
    """A game whose generator learns from its best images alone (Sinha et al. 2020).

    https://arxiv.org/abs/2002.06224: those with the highest logits, on each rank of its own. The
    paper's share is 1 at the start, times 0.99 an epoch, down to a half: an `ExponentialSchedule`.

    Args:
        game: the losses of both networks.
        share: share of a batch, above 0 and at most 1; rounded up to whole images.
    """

    def __init__(self, game: Game, share: float | Schedule = 0.5) -> None:
        super().__init__()
        self.check_range(0, 1, share=share)
        if not all(ends_of(share)):
            raise UserError("`share` of TopK must stay above 0")
        if game.pairs:
            raise UserError(
                f"`game` of TopK is {type(game).__name__}, which compares each generated image "
                "with a real one, and TopK leaves some out: choose RelativisticAverage"
            )
        self.game = game
        self.share = share
        self.has_zero = game.has_zero
        self.begin(0)

    def begin(self, images_seen: int) -> None:
        """Set the share: a number of the host, since it decides a shape."""
        super().begin(images_seen)
        self._share = value_of(self.share, images_seen)

    def kind(self, update: int) -> float:
        """The share, which decides a shape."""
        return self._share

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The game's own loss, of all images."""
        return self.game.discriminator(real, fake)

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        """The game's own loss, of the images with the highest logits."""
        count = max(1, math.ceil(self._share * len(fake)))
        return self.game.generator(torch.topk(fake, count).values, judge_real)
