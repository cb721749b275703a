"""Failures that the discriminator's logits and the weights' norms show."""

from minmax.diagnosis.stretches import LONG, Curves, Finding, newest

DRIFTED = 30.0
"""Distance of all logits from 0, over that of real from generated ones."""
FAR = 30.0
"""The same distance in logits, below which no number type loses anything."""
STALE = 1.1
"""True spectral norm of a weight, over the estimate by which it is divided; in two validations.
Healthy runs came to 1.05."""


def logits_drift(curves: Curves) -> Finding | None:
    """All logits move away from 0 together, so that number types round their differences away.

    bfloat16 has 8 binary digits: its neighbours at 1000 are 4 apart.
    """
    real, fake = newest(curves, "logits/real", LONG), newest(curves, "logits/fake", LONG)
    if real is None or fake is None:
        return None
    gap, middle = abs(real.median - fake.median), abs(real.median + fake.median) / 2
    if middle < max(FAR, DRIFTED * gap):
        return None
    sentence = (
        f"logits lie around {(real.median + fake.median) / 2:.4g}, and real and generated ones "
        f"{gap:.3g} apart: in mixed precision their difference is rounded away. Hold them "
        "near 0: a penalty that does (LeCam), a lower rate of the discriminator, or float32."
    )
    return Finding("logits_drift", real.since_images, sentence)


def spectral_norm_stale(curves: Curves) -> Finding | None:
    """A spectrally normalised weight's norm isn't 1, since its estimate is of other weights."""
    for name in curves:
        if name.startswith("spectral/"):
            ratio = newest(curves, name, 2, span=0)
            if ratio is not None and min(ratio.values) > STALE:
                network = name.partition("/")[2].replace("_", " ")
                sentence = (
                    f"a weight of the {network} has {ratio.values[-1]:.2f} times the spectral norm "
                    "that it is divided by: its slope is no longer bounded by 1. Iterate more "
                    "often (it does in training mode alone), or lower the rate."
                )
                return Finding("spectral_norm_stale", ratio.since_images, sentence)
    return None
