"""What every part of a training step promises."""

import torch
from torch import Tensor, nn


class Part(nn.Module):
    """A term of a training step: an object that a configuration names by its class.

    What a part remembers from step to step stands in its buffers. Then checkpoints, exact resume,
    devices and ranks follow. What changes between steps is a tensor without dimensions that `begin`
    sets; a step itself reads nothing from the device, and neither branches nor has shapes that
    depend on data. A part that is off is the identity.

    Each argument of a part's constructor stands in the attribute of its name.

    Attributes:
        observed: the newest scalars by log name, logged with those of the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: dict[str, Tensor] = {}

    def begin(self, images_seen: int) -> None:
        """Get ready for a step.

        Args:
            images_seen: real images trained on so far, the step's included, of all ranks.
        """

    def constant(self, name: str, value: float) -> None:
        """Hold a number as a tensor without dimensions, on the device, in no checkpoint."""
        self.register_buffer(name, torch.tensor(value), persistent=False)
