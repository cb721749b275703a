"""Failures that a discriminator shows which knows its training images too well."""

from minmax.diagnosis.stretches import LONG, Curves, Finding, newest

OVERFITTED = 0.5
"""Fall of held-out images' logits, over that of generated ones. Healthy runs came to 0.2."""
MEASURED = 3
"""Validations in a row: a single ratio of 500 images is known to 0.2 or so."""
INVERTIBLE = 0.8
"""Probability from which on augmented images no longer tell how images without augmentation are
spread. ADA's is held there if no other limit is given."""


def discriminator_overfits(curves: Curves) -> Finding | None:
    """Held-out images are judged more like generated ones than like training images.

    Karras et al. 2020, https://arxiv.org/abs/2006.06676, equation 1. Their other measure, the mean
    sign of training images' logits (r_t), needs no held-out images, but is as high where the
    discriminator wins without overfitting; some games' logits have no zero.
    """
    ratio = newest(curves, "overfitting/held_out", MEASURED, span=0)
    if ratio is None or not all(value >= OVERFITTED for value in ratio.values):
        return None
    sentence = (
        f"held-out images' logits lie {ratio.values[-1]:.0%} of the way from training images' to "
        "generated ones': the discriminator knows its training images by heart, and teaches no "
        "more than those. Use more images, augment (DiffAugment, ADA), or penalise it more."
    )
    return Finding("discriminator_overfits", ratio.since_images, sentence)


def p_runs_away(curves: Curves) -> Finding | None:
    """The augmentation's probability is so high that the generator need not undo it.

    Karras et al. 2020, section 2.2 and appendix C.
    """
    probability = newest(curves, "augment/p", LONG)
    if probability is None or probability.median < INVERTIBLE:
        return None
    sign = newest(curves, "augment/sign")
    still = f", and the mean sign of real logits is still {sign.median:.2f}" if sign else ""
    sentence = (
        f"images are augmented with probability {probability.median:.2f}{still}: from "
        f"{INVERTIBLE} on a generator may draw augmented images unpunished, and no more of it "
        "helps. Use more images, fewer transforms, or a stronger penalty."
    )
    return Finding("p_runs_away", probability.since_images, sentence)
