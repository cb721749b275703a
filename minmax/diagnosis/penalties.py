"""Penalties that hold the discriminator too little, or too much."""

from minmax.diagnosis.stretches import LONG, Curves, Finding, first_median, newest

PENALTY_OFF = 0.5
"""Distance of the gradient's norm from 1. In a healthy run a stretch's norm came to 1.2."""
SLOPES = {"penalty/r1": "real", "penalty/r2": "generated"}
"""Mean squared gradients, by log name, and the images at which they are taken."""
STEEPER = 10.0
"""Mean squared gradient over that of the first stretch. Held ones came to 3, others to 46."""
EASY = 0.9
"""Accuracies above which real and generated images are easily told apart."""
FLAT = 1e-6
"""Mean squared gradient of a discriminator too flat: 0.01 logits over a distance of 10 in pixels.
Healthy runs had 8e-5 and more."""


def penalty_off(curves: Curves) -> Finding | None:
    """The norm of the discriminator's gradient stays far from 1, the penalty's target.

    Its score is then no longer a distance between images (Gulrajani et al. 2017,
    https://arxiv.org/abs/1704.00028, proposition 1).
    """
    norm = newest(curves, "penalty/norm", LONG)
    if norm is None or abs(norm.median - 1) <= PENALTY_OFF:
        return None
    sentence = (
        f"the norm of the discriminator's gradient is {norm.median:.3g}, and its penalty asks for "
        f"1: its loss measures no distance."
    )
    return Finding("penalty_off", norm.since_images, sentence)


def penalty_too_weak(curves: Curves) -> Finding | None:
    """In spite of R1 or R2, the discriminator becomes steeper and is nearly always right."""
    names = (
        ("accuracy/pairs",) if "accuracy/pairs" in curves else ("accuracy/real", "accuracy/fake")
    )
    right = [newest(curves, name) for name in names]
    if any(stretch is None or stretch.median < EASY for stretch in right):
        return None
    for name, images in SLOPES.items():
        slope = newest(curves, name)
        first = first_median(curves, name) if slope else 0.0
        if slope is None or slope.median <= STEEPER * first:
            continue
        sentence = (
            f"the discriminator's mean squared slope at {images} images is {slope.median:.3g}, and "
            f"was {first:.3g} at the start, and it is nearly always right: the penalty doesn't "
            "hold it, and a generator learns little from a steep step. Use a gamma ten times as "
            "large."
        )
        return Finding("penalty_too_weak", slope.since_images, sentence)
    return None


def penalty_too_strong(curves: Curves) -> Finding | None:
    """R1 or R2 keeps the discriminator flat.

    Optimizers such as Adam even out scales, so that a generator learns from small slopes as well;
    but not from those near the constant that they add to the gradients' size (Adam's 1e-8).
    """
    for name, images in SLOPES.items():
        slope = newest(curves, name, LONG)
        if slope is None or slope.median >= FLAT:
            continue
        sentence = (
            f"the discriminator's mean squared slope at {images} images is {slope.median:.2g}: the "
            "penalty keeps it so flat that optimizers see no gradient. Use a hundredth of this "
            "gamma."
        )
        return Finding("penalty_too_strong", slope.since_images, sentence)
    return None
