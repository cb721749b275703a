"""Games: the losses of both networks.

Each loss is a pure function of logits: a scalar in float32, or in float64 if the logits are. Logits
are cast first, since autocast on a CPU would keep them in bfloat16.
"""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.labels import HardLabels, LabelFlips
from gan_modules.parts.part import Part
from gan_modules.precision import wide
from minmax.errors import UserError


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
    """

    has_zero = True

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, from logits `[N]` of real and `[M]` of generated images."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss, from logits `[M]` of its images."""

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

    def generator(self, fake: Tensor) -> Tensor:
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

    def generator(self, fake: Tensor) -> Tensor:
        """-E[D(fake)] (Gulrajani et al. 2017, algorithm 1, line 12)."""
        return -wide(fake).mean()
