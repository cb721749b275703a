"""The small handwritten digits that scikit-learn ships: no download, no files."""

import torch
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.classes import Class


class Digits(ImageDataModule):
    """1,797 gray digits of 8x8 pixels in ten classes; every tenth image is held out.

    For first runs and tests: training on them takes seconds to minutes on a CPU.

    Args:
        image_size: height and width in pixels; the digits are enlarged smoothly.
        batch_size: images per batch and per process (GPU).
        classes: digits to use, "0" to "9"; None means all.
        on_device: keep the images in GPU memory if there is room for them twice.
        mirror: flip half of the training images left to right, others in each epoch.
    """

    def __init__(
        self,
        image_size: int = 32,
        batch_size: int = 64,
        classes: list[Class] | None = None,
        on_device: bool = True,
        mirror: bool = False,
    ) -> None:
        names = [str(digit) for digit in range(10)]
        super().__init__(names, image_size, True, batch_size, classes, on_device, mirror)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return the digits as `[N, 1, 8, 8]`, their 17 levels spread over 0 to 255."""
        from sklearn.datasets import load_digits  # slow to import, and only needed here

        data = load_digits()
        images = torch.from_numpy(data.images * (255 / 16)).round().byte().unsqueeze(1)
        labels = torch.from_numpy(data.target).long()
        held_out = torch.arange(len(images)) % 10 == 9
        chosen = ~held_out if train else held_out
        return images[chosen], labels[chosen]
