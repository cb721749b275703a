"""Failures that the generated images and their scores show."""

from statistics import mean

from minmax.diagnosis.stretches import LONG, Curves, Finding, first_median, newest

DISTANCE = "samples/pairwise_distance"
ENTROPY = "metric/class_entropy"
COLLAPSED = 0.3
"""Distance between generated images, over that between real ones."""
VARIED = 0.6
"""Distance or class entropy that a run must first have reached: all begin with gray images."""
ONE_IMAGE = 0.1
"""Largest distance of a generator that never varied. Healthy runs exceed it in a few values."""
LOST_ENTROPY = 0.2
"""Fall from the best class entropy. Without two of ten even classes it falls by 0.10, four 0.22."""
ONE_CLASS = 0.1
"""Class entropy when about 3 % of the images are outside of one class of ten."""
VALIDATIONS = 4
"""Scores in a row. One run had three at 0 before the classifier took its images for digits."""
COPIED = 0.5
"""Distance to the nearest training image, over held-out images': 0 for copies, usually 1."""
NO_BETTER = 0.95
"""Lowest Frechet distance, over the run's first one. Healthy runs came below 0.5."""
STILL = 0.001
"""Range of the Frechet distance, over the first one, when only batch norm's statistics change."""
WORSE = 1.5
"""Newest Frechet distance, over the best one, of a generator that loses what it had."""
PAIRS, SIGNS = ("accuracy/pairs",), ("accuracy/real", "accuracy/fake")
CHANCE = 0.05
"""Accuracy above one half, averaged over real and generated images, that still counts as chance."""


def collapsed(curves: Curves) -> Finding | None:
    """Images from different latents are nearly equal, since some point or from the start."""
    distance = newest(curves, DISTANCE)
    if distance is None:
        return None
    values, never = curves[DISTANCE][1], newest(curves, DISTANCE, LONG)
    best, before = max(values), max(values[: -len(distance.values)], default=0.0)
    fell = distance.median < COLLAPSED and before >= VARIED
    if not fell and not (never and best < ONE_IMAGE):
        return None
    sentence = (
        f"images from different latents differ by {distance.median:.2g} of what real ones do, and "
        f"by {best:.2g} at best: the generator draws nearly one image."
    )
    return Finding("collapsed", distance.since_images, sentence)


def classes_lost(curves: Curves) -> Finding | None:
    """The generated images' classes were evenly distributed, and no longer are."""
    entropy = newest(curves, ENTROPY, 1, span=0)
    if entropy is None:
        return None
    best = max(curves[ENTROPY][1])
    if best < VARIED or entropy.median >= best - LOST_ENTROPY:
        return None
    sentence = (
        f"the entropy of the generated images' classes fell from {best:.2f} to "
        f"{entropy.median:.2f} of 1: some are hardly drawn any more."
    )
    return Finding("classes_lost", entropy.since_images, sentence)


def one_class(curves: Curves) -> Finding | None:
    """In several validations, the classifier puts nearly all generated images in one class."""
    entropy = newest(curves, ENTROPY, VALIDATIONS, span=0)
    if entropy is None or max(entropy.values) >= ONE_CLASS:
        return None
    sentence = (
        f"in {VALIDATIONS} validations the classifier put nearly all generated images in one class "
        f"(entropy at most {max(entropy.values):.2f} of 1): they are all alike, or so unlike real "
        "ones, in brightness say, that it can't tell them apart. Look at the pictures."
    )
    return Finding("one_class", entropy.since_images, sentence)


def memorising(curves: Curves) -> Finding | None:
    """Generated images are nearer to training images than held-out ones are."""
    for name in curves:
        if name.startswith("metric/nearest"):
            ratio = newest(curves, name, 1, span=0)
            if ratio is not None and ratio.median < COPIED:
                sentence = (
                    f"half of the generated images are nearer to a training image than "
                    f"{ratio.median:.2f} of the distance that held-out images have: they are "
                    "close to copies."
                )
                return Finding("memorising", ratio.since_images, sentence)
    return None


def nothing_learned(curves: Curves) -> Finding | None:
    """The score never improved, and the images don't change or the discriminator is at chance.

    A discriminator at chance alone is no failure: it also occurs in healthy runs, with instance
    noise, or when the generator has learned everything.
    """
    name = distance_name(curves)
    score = newest(curves, name, VALIDATIONS, span=0)
    if score is None:
        return None
    images, (first, *later) = curves[name]
    still = max(score.values) - min(score.values) <= STILL * abs(first)
    if min(later) < NO_BETTER * first or not (still or at_chance(curves)):
        return None
    reason = "the images don't change" if still else "the discriminator sees no difference"
    sentence = (
        f"{name} is {score.values[-1]:.4g} after {images[-1]:,} images, and was {first:.4g} at the "
        f"first validation: {reason}."
    )
    return Finding("nothing_learned", images[0], sentence)


def distance_name(curves: Curves) -> str:
    """Log name of the Frechet distance, or of points the energy distance; empty without any."""
    names = ("metric/fid", "metric/energy")
    return next((name for name in curves if name.startswith(names)), "")


def generator_learns(curves: Curves) -> bool:
    """Whether varied images come nearer to the real ones, by the newest scores; False without any.

    A single score is too early to tell, and given the benefit of the doubt.
    """
    variety, (_, scores) = newest(curves, DISTANCE), curves.get(distance_name(curves), ([], []))
    if variety is None or variety.median < VARIED or not scores:
        return False
    best = min(scores)
    learned = len(scores) == 1 or best < NO_BETTER * scores[0]
    return learned and best in scores[-VALIDATIONS:] and scores[-1] <= WORSE * best


def at_chance(curves: Curves) -> bool:
    """Whether the discriminator is no better than chance, now and at first."""
    names = PAIRS if PAIRS[0] in curves else SIGNS
    now = [newest(curves, name, LONG) for name in names]
    if any(stretch is None for stretch in now):
        return False
    accuracy = mean(stretch.median for stretch in now if stretch is not None)
    at_first = mean(first_median(curves, name, LONG, span=0) for name in names)
    return max(accuracy, at_first) < 0.5 + CHANCE
