"""Adversarial losses: pure functions of logits, each a scalar in float32 (of float64, in float64).

Logits are cast first: autocast on a CPU would keep them in bfloat16.
"""

from torch import Tensor
from torch.nn import functional as F

from gan_modules.precision import wide


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of logits `[N]` against targets `[N]`.

    Targets may be soft, also slightly outside [0, 1]: softplus(x) - targets * x is linear
    in the targets, so nothing needs clipping.
    """
    logits = wide(logits)
    return (F.softplus(logits) - targets * logits).mean()


def bce_sum(
    real_logits: Tensor, fake_logits: Tensor, real_targets: Tensor, fake_targets: Tensor
) -> Tensor:
    """Discriminator loss, sum of the two cross entropies (Goodfellow et al. 2014, eq. 1).

    Chance level is 2 log 2 = 1.386. https://arxiv.org/abs/1406.2661
    """
    return bce(real_logits, real_targets) + bce(fake_logits, fake_targets)


def bce_mean(
    real_logits: Tensor, fake_logits: Tensor, real_targets: Tensor, fake_targets: Tensor
) -> Tensor:
    """Discriminator loss, mean of the two cross entropies. Chance level is log 2 = 0.693."""
    return bce_sum(real_logits, fake_logits, real_targets, fake_targets) / 2


def non_saturating(fake_logits: Tensor) -> Tensor:
    """Generator loss -log D(G(z)) (Goodfellow et al. 2014, section 3). Chance level 0.693."""
    return F.softplus(-wide(fake_logits)).mean()


def wasserstein_critic(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Critic loss E[D(fake)] - E[D(real)] (Gulrajani et al. 2017, eq. 3, first two terms)."""
    return wide(fake_scores).mean() - wide(real_scores).mean()


def wasserstein_generator(fake_scores: Tensor) -> Tensor:
    """Generator loss -E[D(fake)] (Gulrajani et al. 2017, algorithm 1, line 12)."""
    return -wide(fake_scores).mean()
