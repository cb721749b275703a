"""Schedules: values that change with the number of images seen.

They count real images over all ranks, so that a schedule means the same at every batch size, and a
resumed training goes on exactly.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from minmax.errors import UserError


class Schedule(ABC):
    """A value at each number of images seen.

    Attributes:
        ends: values between which all others lie.
    """

    ends: tuple[float, float]

    @abstractmethod
    def at(self, images_seen: int) -> float:
        """The value after this many images."""


def _check_images(images: int) -> None:
    if images < 1:
        raise UserError(f"`images` of a schedule must be at least 1, got {images}")


class LinearSchedule(Schedule):
    """A straight line from one value to another; then the latter.

    Args:
        start: value at 0 images.
        end: value from `images` on.
        images: length of the line in images.
    """

    def __init__(self, start: float, end: float, images: int) -> None:
        _check_images(images)
        self.start = start
        self.end = end
        self.images = images

    @property
    def ends(self) -> tuple[float, float]:  # type: ignore[override]
        """The start and the end."""
        return self.start, self.end

    def at(self, images_seen: int) -> float:
        """The value after this many images."""
        return self.end + (self.start - self.end) * self.left(min(images_seen / self.images, 1.0))

    def left(self, share: float) -> float:
        """How much of the way to the end is left, from 1 to 0, after a share of the images."""
        return 1 - share


class CosineSchedule(LinearSchedule):
    """Half a cosine from one value to another; then the latter: the burn-in of R3GAN.

    end + (start - end) (1 + cos(pi n / images)) / 2 (Huang et al. 2024, appendix,
    https://arxiv.org/abs/2501.05441).
    """

    def left(self, share: float) -> float:
        """How much of the way to the end is left, from 1 to 0, after a share of the images."""
        return (1 + math.cos(math.pi * share)) / 2


class ExponentialSchedule(Schedule):
    """A value multiplied by a factor at regular intervals, but never beyond an end.

    Args:
        start: value at 0 images, above 0.
        factor: of each interval, above 0.
        images: length of an interval in images.
        end: value at which it stops.
    """

    def __init__(self, start: float, factor: float, images: int, end: float) -> None:
        _check_images(images)
        comes_there = start == end or (end - start) * (factor - 1) > 0
        if not (start > 0 and factor > 0 and comes_there):
            raise UserError(
                f"an exponential schedule from `start` {start} by `factor` {factor} never comes to "
                f"`end` {end}: all must be above 0, and the end on the side to which it moves"
            )
        self.start = start
        self.factor = factor
        self.images = images
        self.end = end

    @property
    def ends(self) -> tuple[float, float]:  # type: ignore[override]
        """The start and the end."""
        return self.start, self.end

    def at(self, images_seen: int) -> float:
        """The value after this many images."""
        last = max if self.factor < 1 else min
        try:
            return last(self.end, self.start * float(self.factor) ** (images_seen // self.images))
        except OverflowError:
            return self.end


class WarmUp(Schedule):
    """A rise in proportion to the images seen, from 0 to a value or another schedule.

    Args:
        to: the value, or the schedule, that is multiplied by the rise.
        images: length of the rise in images.
    """

    def __init__(self, to: float | Schedule, images: int) -> None:
        _check_images(images)
        self.to = to
        self.images = images

    @property
    def ends(self) -> tuple[float, float]:  # type: ignore[override]
        """The least and the greatest value."""
        held = ends_of(self.to)
        return min(0.0, *held), max(0.0, *held)

    def at(self, images_seen: int) -> float:
        """The value after this many images."""
        return value_of(self.to, images_seen) * min(images_seen / self.images, 1.0)


def value_of(value: float | Schedule, images_seen: int) -> float:
    """A number, which is the same at all times, or the value of a schedule."""
    return value.at(images_seen) if isinstance(value, Schedule) else value


def ends_of(value: float | Schedule) -> tuple[float, float]:
    """Two numbers between which a value always lies."""
    return value.ends if isinstance(value, Schedule) else (value, value)


class OptimizerSchedule:
    """Schedules of an optimizer's values, in place of those that it was made with.

    Args:
        lr: learning rate; none leaves it alone.
        beta1: Adam's decay of the first moment; none leaves it alone. Between a schedule's ends
            1 - beta1 is rounded to two digits.
        beta2: Adam's decay of the second moment; likewise.
    """

    def __init__(
        self,
        lr: float | Schedule | None = None,
        beta1: float | Schedule | None = None,
        beta2: float | Schedule | None = None,
    ) -> None:
        for name, value, most in (("lr", lr, math.inf), ("beta1", beta1, 1), ("beta2", beta2, 1)):
            ends = (0.0, 0.0) if value is None else ends_of(value)
            if not all(0 <= end < most for end in ends):
                allowed = "0 or more" if name == "lr" else "in [0, 1)"
                raise UserError(
                    f"`{name}` of an optimizer's schedule must be {allowed}, got {ends}"
                )
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2

    def check(self, optimizer: Optimizer) -> None:
        """Refuse betas for an optimizer without.

        Raises:
            UserError: it has none.
        """
        if not (self.beta1 is None and self.beta2 is None) and "betas" not in optimizer.defaults:
            raise UserError(
                f"`beta1` and `beta2` can't be scheduled: {type(optimizer).__name__} has no betas. "
                "Leave them out, or choose torch.optim.Adam"
            )

    def apply(
        self,
        optimizer: Optimizer,
        images_seen: int,
        step_share: float = 1.0,
        rates_times: float = 1.0,
    ) -> None:
        """Set the optimizer's values for a step.

        Args:
            optimizer: the optimizer.
            images_seen: real images trained on so far, the step's included, over all ranks.
            step_share: multiplies learning rates, and is the power of betas (`Penalty.step_share`).
            rates_times: multiplies learning rates.
        """
        for group in optimizer.param_groups:
            if self.lr is not None:
                rate = value_of(self.lr, images_seen) * step_share * rates_times
                set_learning_rate(group, rate)
            if "betas" in group:
                scheduled = (self.beta1, self.beta2)
                group["betas"] = tuple(
                    held if new is None else beta_at(new, images_seen) ** step_share
                    for held, new in zip(group["betas"], scheduled, strict=True)
                )


def beta_at(value: float | Schedule, images_seen: int) -> float:
    """A beta; between its ends a scheduled one moves in small steps, 0.9, 0.901, ..., 0.989, 0.99.

    A captured step (`captured.py`) holds its betas, so that each is worth a capture.
    """
    beta = value_of(value, images_seen)
    return beta if beta in ends_of(value) else 1 - float(f"{1 - beta:.2g}")


def set_learning_rate(group: dict[str, Any], value: float) -> None:
    """Set a learning rate that may be a tensor, which a captured step reads."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(value)
    else:
        group["lr"] = value


def take_more_steps(groups: Iterable[dict[str, Any]], step_share: float) -> None:
    """Correct an optimizer's groups for 1 / step_share times the steps (`Penalty.step_share`)."""
    if step_share == 1:
        return
    for group in groups:
        set_learning_rate(group, float(group["lr"]) * step_share)
        if "betas" in group:
            group["betas"] = tuple(beta**step_share for beta in group["betas"])
