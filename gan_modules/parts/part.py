"""What every part of a training step promises."""

import torch
from torch import Tensor, nn


class Part(nn.Module):
    """A term of a training step: an object that a configuration names by its class.

    A part keeps in buffers what it remembers from step to step: then checkpoints, exact resume,
    devices and ranks work. What changes between steps is a 0-dim tensor that `begin` sets. A step
    itself reads nothing from the device, and its branches and shapes don't depend on data. A part
    that is off is the identity.

    The constructor keeps each argument in the attribute of the same name.

    Attributes:
        observed: the newest scalars by log name, logged with those of the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: dict[str, Tensor] = {}

    def begin(self, images_seen: int) -> None:
        """Get ready for a step.

        Args:
            images_seen: real images trained on so far, the step's included, over all ranks.
        """

    def constant(self, name: str, value: float) -> None:
        """Keep a number as a 0-dim tensor on the device, outside of checkpoints."""
        self.register_buffer(name, torch.tensor(value), persistent=False)
