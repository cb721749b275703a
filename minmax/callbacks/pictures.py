"""Pictures of a run, in TensorBoard and as PNG files in the run's folder."""

from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from datamodules.loader import ResidentLoader
from gan_modules import GANModule
from gan_modules.base import Batch
from gan_modules.latents import slerp
from minmax.callbacks.hooks import GANCallback, boards, data_of
from minmax.errors import UserError
from minmax.files import whole


class Pictures(GANCallback):
    """Grids of real images, of images from fixed latents, and of interpolated latents.

    They are shown in TensorBoard's image tab, and saved in `pictures/` of the run's folder as
    `real.png`, `fake_IMAGES.png` (IMAGES: real images trained on by then), `fake_last.png`
    and `interpolation.png`. Class-conditional generators draw one row for each class, and InfoGAN
    one for each category.

    Args:
        every_images: real images from one grid to the next.
        columns: images in a row.
        rows: number of rows; ignored by InfoGAN, and by class-conditional generators of at most
            100 classes.
    """

    def __init__(self, every_images: int = 60_000, columns: int = 8, rows: int = 8) -> None:
        for name, value in (("every_images", every_images), ("columns", columns), ("rows", rows)):
            if value < 1:
                raise UserError(f"`Pictures.{name}` must be at least 1, got {value}")
        self.every_images = every_images
        self.columns = columns
        self.rows = rows

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the folder on all ranks: `log_dir` is a collective operation."""
        self._folder = Path(trainer.log_dir or trainer.default_root_dir) / "pictures"

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show real images, and the untrained generator's images."""
        assert isinstance(pl_module, GANModule)
        if data_of(trainer) is not None:
            images = self._real_images(trainer, pl_module)
            self._show(trainer, pl_module, "real", images)
        self._due = (pl_module.images_seen // self.every_images + 1) * self.every_images
        if pl_module.images_seen == 0:
            self._show_fake(trainer, pl_module)

    @rank_zero_only
    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Show the fixed latents' images every `every_images` real images."""
        if module.images_seen >= self._due:
            self._due += self.every_images
            self._show_fake(trainer, module)

    @rank_zero_only
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last images, and interpolations between latents."""
        assert isinstance(pl_module, GANModule)
        self._show(trainer, pl_module, "fake", self._fixed_images(pl_module), "last")
        _, labels = pl_module.grid(self.rows, self.columns)
        start, end = pl_module.seeded_latents(2 * len(labels) // self.columns).chunk(2)
        latents = slerp(start, end, self.columns).flatten(0, 1)
        images = pl_module.sample(latents, labels)
        self._show(trainer, pl_module, "interpolation", images)

    def _real_images(self, trainer: Trainer, module: GANModule) -> Tensor:
        """Held-out images, chosen with a fixed seed: of all classes, or one row for each class."""
        loader: ResidentLoader = data_of(trainer).val_dataloader()
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
        return loader.batch(order.to(loader.labels.device))[0]

    def _fixed_images(self, module: GANModule) -> Tensor:
        return module.sample(*module.grid(self.rows, self.columns))

    def _show_fake(self, trainer: Trainer, module: GANModule) -> None:
        images = self._fixed_images(module)
        self._show(trainer, module, "fake", images, f"{module.images_seen:09d}")

    def _show(
        self,
        trainer: Trainer,
        module: GANModule,
        name: str,
        images: Tensor,
        suffix: str = "",
    ) -> None:
        grid = make_grid(images.float().cpu(), self.columns, normalize=True, value_range=(-1, 1))
        with whole(self._folder / f"{name}{suffix and '_'}{suffix}.png") as part:
            save_image(grid, part)
        for board in boards(trainer):
            board.add_image(f"images/{name}", grid, module.images_seen)
