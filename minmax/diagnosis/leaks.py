"""Augmentation that generated images show, though only the discriminator should see it."""

from collections.abc import Callable

from minmax.diagnosis.samples import DISTANCE, VARIED
from minmax.diagnosis.stretches import Curves, Finding, newest

MEASURED = 2
"""Validations in a row."""
SIGNS: dict[str, tuple[float, Callable[[float], str]]] = {
    "leak/squares": (
        0.1,
        lambda more: f"{more:.0%} more generated images than real ones have a gray square",
    ),
    "leak/borders": (
        0.1,
        lambda more: f"{more:.0%} more generated images than real ones have a gray border",
    ),
    "leak/brightness": (
        1.4,
        lambda ratio: f"generated images' brightness spreads {ratio:.1f} times as wide as reals'",
    ),
    "leak/turns": (
        0.5,
        lambda lost: f"the mean generated image is only {1 - lost:.0%} as upright as the real one",
    ),
}
"""By log name: the value above which it is a leak, and what it says."""


def augmentation_leaks(curves: Curves) -> Finding | None:
    """Generated images look augmented in several validations, and are as varied as real ones.

    Before they are varied they are gray, and have all signs.
    """
    variety = newest(curves, DISTANCE)
    if variety is None or variety.median < VARIED:
        return None
    found = {
        name: sign for name in SIGNS if (sign := newest(curves, name, MEASURED, span=0)) is not None
    }
    seen = {
        name: sign
        for name, sign in found.items()
        if all(value > SIGNS[name][0] for value in sign.values)
    }
    if not seen:
        return None
    what = ", and ".join(SIGNS[name][1](sign.values[-1]) for name, sign in seen.items())
    sentence = (
        f"{what}: the generator draws the augmentation that only the discriminator should see. Use "
        "a lower p, or leave that transform out."
    )
    return Finding("augmentation_leaks", min(s.since_images for s in seen.values()), sentence)
