"""What every part of a training step promises."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gan_modules.parts.schedules import Schedule, ends_of, value_of
from minmax.errors import UserError


class Part(nn.Module):
    """A term of a training step: an object that a configuration names by its class.

    A part keeps in buffers, which it changes in place, what it remembers: then checkpoints, exact
    resume, devices and ranks work. What changes between steps is a 0-dim tensor that `begin` sets.
    A step itself reads nothing from the device, and its branches and shapes don't depend on data. A
    part that is off is the identity.

    The constructor keeps each argument in the attribute of the same name.

    Attributes:
        observed: the newest scalars by log name, logged once, with those of the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: dict[str, Tensor] = {}
        self._changing: dict[str, float | Schedule] = {}

    def begin(self, images_seen: int) -> None:
        """Get ready for a step: set what changes.

        Args:
            images_seen: real images trained on so far, the step's included, over all ranks.
        """
        for name, value in self._changing.items():
            if isinstance(value, Schedule):
                getattr(self, name).fill_(value.at(images_seen))

    def kind(self, update: int) -> object:
        """What decides which operations the part runs in a step, if anything does.

        Args:
            update: number of the discriminator's updates before the step.
        """
        return None

    def constant(self, name: str, value: float) -> None:
        """Keep a number as a 0-dim tensor on the device, outside of checkpoints."""
        self.register_buffer(name, torch.tensor(value), persistent=False)

    def changing(self, name: str, value: float | Schedule) -> None:
        """Keep a number, or the value of a schedule at each step, as a 0-dim tensor."""
        self._changing[name] = value
        self.constant(name, float(value_of(value, 0)))

    def check_range(self, low: float, high: float, **options: float | Schedule) -> None:
        """Refuse options that don't lie in a range, at any time if they are schedules.

        Raises:
            UserError: one doesn't.
        """
        for name, value in options.items():
            if not all(low <= end <= high and math.isfinite(end) for end in ends_of(value)):
                allowed = (
                    f"be {low:g} or more" if high == math.inf else f"lie in [{low:g}, {high:g}]"
                )
                given: Any = ends_of(value) if isinstance(value, Schedule) else value
                raise UserError(f"`{name}` of {type(self).__name__} must {allowed}, got {given}")
