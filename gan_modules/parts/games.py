"""Games: what the discriminator's logits are worth to each network.

Their losses are pure functions of logits, each a scalar in float32 (of float64, in float64). Logits
are cast first: autocast on a CPU would keep them in bfloat16.
"""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.base import Part
from gan_modules.parts.labels import HardLabels, LabelFlips
from gan_modules.precision import wide
from minmax.errors import UserError


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of logits `[N]` against targets `[N]`.

    Targets may be soft, also slightly outside [0, 1]: softplus(x) - targets * x is linear
    in the targets, so nothing needs clipping.
    """
    logits = wide(logits)
    return (F.softplus(logits) - targets * logits).mean()


class Game(Part, ABC):
    """A loss of each network.

    Attributes:
        has_zero: whether a logit's sign says what the discriminator holds an image for. Where a
            constant can be added to all logits, only differences say something.
    """

    has_zero = True

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss of real logits `[N]` and generated ones `[M]`."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss of the logits `[M]` of its images."""

    def accuracies(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """How often the discriminator is right, by log name.

        By the sign of the logits `[N]` and `[M]` if they have a zero, else the share of pairs of a
        real and a generated image that are ranked right.
        """
        if self.has_zero:
            return {
                "accuracy/real": (real > 0).float().mean(),
                "accuracy/fake": (fake < 0).float().mean(),
            }
        return {"accuracy/pairs": (real > fake).float().mean()}


class CrossEntropy(Game):
    """The first game, with the non-saturating generator loss (Goodfellow et al. 2014).

    https://arxiv.org/abs/1406.2661, equation 1 and section 3: the discriminator minimises the cross
    entropy of its logits, the generator -log D(G(z)). Chance level is log 2 = 0.693 for both.

    Args:
        labels: targets of the discriminator's update; none means 1 and 0.
        label_flips: exchange of some of these targets; none means none.
        discriminator_weight: of the sum of the cross entropies of real and of generated images:
            0.5 is their mean. Paper: 1, with which chance level is 1.386.
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

    def generator(self, fake: Tensor) -> Tensor:
        """-log D(G(z))."""
        return F.softplus(-wide(fake)).mean()


class Wasserstein(Game):
    """Distance of the mean logits (Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875).

    It measures one only of a discriminator whose slope is bounded, by a gradient penalty say.
    """

    has_zero = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[D(fake)] - E[D(real)] (Gulrajani et al. 2017, eq. 3, first two terms)."""
        return wide(fake).mean() - wide(real).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """-E[D(fake)] (Gulrajani et al. 2017, algorithm 1, line 12)."""
        return -wide(fake).mean()
