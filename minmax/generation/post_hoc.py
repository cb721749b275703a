"""Averages of a width that is chosen after the training (Karras et al. 2024, section 3.2).

https://arxiv.org/abs/2312.02696. A power-function average at a time T counts the weights of a time
t by its profile, `(g + 1) t^g / T^(g + 1)` for t <= T. The sum of a run's kept averages is taken
whose profile is nearest to the wanted one: least squares over time.

Deviation: the factors add up to one. Otherwise weights that never change would be scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_modules.parts.average import power_of
from minmax.errors import UserError

Numbers = np.ndarray[Any, np.dtype[np.float64]]
FAR = 0.1
"""Largest distance of the two profiles, as a share of the wanted one's L2 norm."""


@dataclass(frozen=True)
class Profile:
    """How an average counts the weights of all times.

    Attributes:
        images: when the average was kept, in images of the training.
        width: its relative width.
    """

    images: int
    width: float


def products(ones: Sequence[Profile], others: Sequence[Profile]) -> Numbers:
    """Inner products of profiles, `[len(ones), len(others)]`: integrals over time."""
    (time, power), (time_, power_) = (
        np.array([[p.images, power_of(p.width, "--width") + 1] for p in profiles], float).T
        for profiles in (ones, others)
    )
    time, power = time[:, None], power[:, None]
    until = np.minimum(time, time_)
    result: Numbers = (until / time) ** power * (until / time_) ** power_ / until
    result *= power * power_ / (power + power_ - 1)
    return result


def factors_of(kept: Sequence[Profile], wanted: Profile) -> tuple[Numbers, float]:
    """Factors of the kept averages whose sum is nearest to the wanted one.

    Returns:
        The factors, `[len(kept)]`, which add up to one; and the distance of the two profiles, as a
        share of the wanted one's L2 norm.
    """
    if wanted in kept:
        return np.array([float(profile == wanted) for profile in kept]), 0.0
    square = products([wanted], [wanted]).item()
    among, aims = products(kept, kept) / square, products(kept, [wanted])[:, 0] / square
    # In units of their norms: otherwise the equations would differ by orders of magnitude.
    norms = np.diag(among) ** 0.5
    among, aims = among / norms / norms[:, None], aims / norms
    # Lagrange's equations of the least squares, with the factors' sum as the condition.
    equations = np.block([[among, 1 / norms[:, None]], [1 / norms, np.zeros((1, 1))]])
    scaled = np.linalg.lstsq(equations, np.append(aims, 1.0), rcond=None)[0][:-1]
    distance = max(0.0, 1 - 2 * scaled @ aims + scaled @ among @ scaled) ** 0.5
    return scaled / norms, distance


def checked_factors(kept: Sequence[Profile], wanted: Profile) -> Numbers:
    """The factors, if their sum is about the wanted average.

    Raises:
        UserError: it isn't.
    """
    factors, distance = factors_of(kept, wanted)
    if distance > FAR:
        widths = ", ".join(f"{width}" for width in sorted({profile.width for profile in kept}))
        raise UserError(
            f"--width {wanted.width}: the run has kept {len(kept)} averages, and no sum of them is "
            f"near enough (its profile is {distance:.0%} off). Choose a width nearer to {widths}, "
            "or train with a smaller --averages.every_images"
        )
    return factors
