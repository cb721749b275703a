"""Curves, findings, and the stretch of newest values that a rule looks at."""

from bisect import bisect_right
from dataclasses import dataclass
from math import isnan
from statistics import median

Curves = dict[str, tuple[list[int], list[float]]]
"""By log name: the images seen, and the values."""

STRETCH = 10
"""Least logged values in a stretch. Ten batches of 64 images give an accuracy of 0.5 +- 0.02."""

SPAN = 20_000
"""Least images in a stretch: in its first thousands, a healthy run may show any value."""

LONG = 20
"""Logged values after which a curve should have settled, or begun to move."""

MIDDLE = 1000
"""Values between a curve's first and newest ones, above which all but the extremes are dropped."""


@dataclass(frozen=True)
class Finding:
    """A failure that the newest values show.

    Attributes:
        name: of the failure; docs/reading_curves.md has a section of that name.
        since_images: real images seen when the stretch of values that shows it began.
        sentence: the evidence, with its numbers, and what it means.
    """

    name: str
    since_images: int
    sentence: str


@dataclass(frozen=True)
class Stretch:
    """The newest values of a curve, and the images seen at the first of them."""

    since_images: int
    values: list[float]

    @property
    def median(self) -> float:
        """Their median."""
        return median(self.values)


def newest(
    curves: Curves, name: str, count: int = STRETCH, span: int | None = None
) -> Stretch | None:
    """A curve's newest values, or None if there are too few yet.

    Args:
        curves: of the run.
        name: of the curve.
        count: least number of values.
        span: least number of images that they cover; `SPAN` if None.
    """
    images, values = curves.get(name, ([], []))
    span = SPAN if span is None else span
    since = bisect_right(images, images[-1] - span) if images else 0
    start = min(since, len(values) - count)
    if start < 0 or (images[-1] - images[0] < span):
        return None
    return Stretch(images[start], values[start:])


def first_median(curves: Curves, name: str, count: int = STRETCH, span: int | None = None) -> float:
    """Median of a curve's first values.

    Args:
        curves: of the run.
        name: of the curve.
        count: least number of values.
        span: all values within so many first images count too; `SPAN` if None. With low learning
            rates, the first ten gradients can be a hundredth of a healthy run's.
    """
    images, values = curves[name]
    end = bisect_right(images, images[0] + (SPAN if span is None else span))
    return median(values[: max(count, end)])


def thin_out(images: list[int], values: list[float]) -> None:
    """Drop from a long curve what no rule looks at, so that a run may log any number of values.

    Rules look at the first values, at the newest ones, and at the extremes of all.
    """
    begin = max(LONG, bisect_right(images, images[0] + SPAN))
    end = min(len(images) - LONG, bisect_right(images, images[-1] - SPAN))
    if end - begin <= MIDDLE:
        return
    numbers = [index for index in range(begin, end) if not isnan(values[index])]
    kept = sorted({pick(numbers, key=values.__getitem__) for pick in (min, max) if numbers})
    images[begin:end] = [images[index] for index in kept]
    values[begin:end] = [values[index] for index in kept]
