"""Failures that losses, accuracies and gradients show."""

import math

from minmax.diagnosis.samples import generator_learns
from minmax.diagnosis.stretches import Curves, Finding, first_median, newest

EXPLODED = 100.0
"""Gradient norm over that of the first stretch. A healthy run's discriminator came to 13."""
PINNED = 0.97
"""Accuracies on real and on generated images. With batch norm healthy runs come to 1 too, so the
scores decide."""
LOST = 2.0
"""Generator's loss: the discriminator takes its images for real with probability exp(-2), 0.14."""
GONE = 0.01
"""Generator's gradient norm, over that of the run's first stretch."""


def not_finite(curves: Curves) -> Finding | None:
    """A loss or a gradient's norm is not finite."""
    for name, (images, values) in curves.items():
        if name.startswith(("loss", "gradient_norm")) and not math.isfinite(values[-1]):
            sentence = f"{name} is {values[-1]}: the training has diverged."
            return Finding("not_finite", images[-1], sentence)
    return None


def exploding(curves: Curves) -> Finding | None:
    """The norm of a network's gradient has grown a hundredfold."""
    for network in ("generator", "discriminator"):
        name = f"gradient_norm/{network}"
        norm = newest(curves, name)
        first = first_median(curves, name) if norm else 0.0
        if norm is None or first == 0 or norm.median <= EXPLODED * first:
            continue
        sentence = (
            f"the {network}'s gradient norm is {norm.median:.3g}, and was {first:.3g} at the "
            "start: its steps follow no slope any more."
        )
        return Finding("exploding", norm.since_images, sentence)
    return None


def discriminator_won(curves: Curves) -> Finding | None:
    """The discriminator is never wrong, and the generator gets nothing from it.

    Being right is no failure by itself: with batch norm it can judge a whole batch, and be right on
    all while the generator's images become better. So scores have the last word.

    At the optimal discriminator the generator's gradient vanishes with the saturating loss, and
    is unstable with the non-saturating loss (Arjovsky and Bottou 2017,
    https://arxiv.org/abs/1701.04862, theorems 2.4 and 2.6). The rule doesn't apply to games whose
    logits have no zero: there the discriminator ought to be right.
    """
    real, fake = newest(curves, "accuracy/real"), newest(curves, "accuracy/fake")
    loss, norm = newest(curves, "loss/generator"), newest(curves, "gradient_norm/generator")
    if "accuracy/pairs" in curves or not (real and fake and loss and norm):
        return None
    first = first_median(curves, "gradient_norm/generator", span=0)
    if min(real.median, fake.median) < PINNED:
        return None
    if loss.median < LOST and norm.median > GONE * first:
        return None
    if generator_learns(curves):
        return None
    sentence = (
        f"the discriminator is right on {real.median:.0%} of real and {fake.median:.0%} of "
        f"generated images. The generator's loss is {loss.median:.2f}, its gradient norm "
        f"{norm.median:.3g} ({first:.3g} at the start): it is told that it is wrong, and not how."
    )
    return Finding("discriminator_won", real.since_images, sentence)
