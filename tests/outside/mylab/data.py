"""A data set."""

import torch
from torch import Tensor

from datamodules import ImageDataModule


class Bars(ImageDataModule):
    """Gray images of 16x16 pixels with a bright bar, at the left or above."""

    def __init__(self, image_size: int = 16, batch_size: int = 20) -> None:
        super().__init__(["left", "upper"], image_size, True, batch_size)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Images uint8 `[N, 1, 16, 16]` and their labels int64 `[N]`."""
        random = torch.Generator().manual_seed(int(train))
        labels = torch.randint(2, (400 if train else 100,), generator=random)
        edges = torch.randint(3, 13, (len(labels), 1, 1, 1), generator=random)
        images = (torch.arange(16) < edges).byte().mul(255).expand(-1, 1, 16, 16)
        noise = torch.randint(40, images.shape, generator=random, dtype=torch.uint8)
        turned = labels.bool()[:, None, None, None]
        return torch.where(turned, images.transpose(2, 3), images) // 2 + noise, labels
