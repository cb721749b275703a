"""Which classes the generator is asked for in training."""

from typing import Any

import torch
from torch import Tensor

from gan_modules.parts.part import Part
from minmax.errors import UserError


class UniformClasses(Part):
    """Ask for each class equally often."""

    num_classes = 0

    def prepare(self, num_classes: int) -> None:
        """Make room for this number of classes; called once, by the model."""
        self.num_classes = num_classes

    def learn(self, data: Any) -> None:
        """Learn from a data module before the training begins."""

    def shares(self) -> list[int]:
        """Whole numbers that are to each other as the classes are."""
        return [1] * self.num_classes

    def forward(self, count: int, device: torch.device) -> Tensor:
        """Random classes, int64 `[count]`."""
        return torch.randint(self.num_classes, (count,), device=device)


class DataShares(UniformClasses):
    """Ask for each class as often as the training images have it.

    Before a training begins every class is equally likely. Checkpoints keep what is learnt.

    Attributes:
        counts: number of training images of each class.
    """

    counts: Tensor

    def prepare(self, num_classes: int) -> None:
        """Make room for this number of classes."""
        super().prepare(num_classes)
        self.register_buffer("counts", torch.ones(num_classes, dtype=torch.int64))

    def learn(self, data: Any) -> None:
        """Count the training images of each class.

        Raises:
            UserError: the training has no data module that can count them.
        """
        if not hasattr(data, "counts"):
            raise UserError(
                "`asked_classes` DataShares needs an ImageDataModule, which counts the images of "
                "each class: train with one as `datamodule`, or choose UniformClasses"
            )
        self.counts.copy_(torch.tensor(data.counts(train=True)))

    def shares(self) -> list[int]:
        """Number of training images of each class."""
        return self.counts.tolist()

    def forward(self, count: int, device: torch.device) -> Tensor:
        """Random classes, int64 `[count]`."""
        # torch.multinomial reads its probabilities back from the device.
        ends = self.counts.cumsum(0) / self.counts.sum()
        return torch.searchsorted(ends, torch.rand(count, device=device), right=True)
