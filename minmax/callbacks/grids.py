"""Grids of a run's images."""

import torch
from torch import Tensor
from torchvision.utils import make_grid

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.latents import slerp


class Grids:
    """Draws a run's pictures of images.

    Args:
        data: with held-out images.
        rows: ignored by class-conditional generators and InfoGAN.
        columns: images in a row.
    """

    film = False

    def __init__(self, data: ImageDataModule | None, rows: int, columns: int) -> None:
        self.data = data
        self.rows = rows
        self.columns = columns

    # Pictures, [3, H, W] in [0, 1]

    def real(self, module: GANModule) -> Tensor:
        """Held-out images, chosen with a fixed seed: of all classes, or one row for each class."""
        assert self.data is not None
        loader = self.data.val_dataloader()
        order = torch.randperm(len(loader.labels), generator=torch.Generator().manual_seed(0))
        if module.conditional:
            of_class = loader.labels.cpu()[order]
            classes = [order[of_class == number] for number in module.classes_of_rows(self.rows)]
            columns = torch.arange(self.columns)
            order = torch.cat(
                [indices[columns % len(indices)] for indices in classes if len(indices)]
            )
        else:
            order = order[: self.rows * self.columns]
        return self._grid(loader.batch(order.to(loader.labels.device))[0])

    def fake(self, module: GANModule) -> Tensor:
        """Images of fixed latents."""
        return self._grid(module.sample(*module.grid(self.rows, self.columns)))

    def interpolation(self, module: GANModule) -> Tensor:
        """Images on the way from one latent to another, a way in each row."""
        _, labels = module.grid(self.rows, self.columns)
        start, end = module.seeded_latents(2 * len(labels) // self.columns).chunk(2)
        latents = slerp(start, end, self.columns).flatten(0, 1)
        return self._grid(module.sample(latents, labels))

    def _grid(self, images: Tensor) -> Tensor:
        images = images.float().cpu()
        grid: Tensor = make_grid(images, self.columns, normalize=True, value_range=(-1, 1))
        return grid
