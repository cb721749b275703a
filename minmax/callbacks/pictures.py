"""Pictures of a run, in TensorBoard and as PNG files in the run's folder."""

from pathlib import Path

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import Tensor
from torchvision.utils import save_image

from datamodules import Points
from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.grids import Grids
from minmax.callbacks.hooks import GANCallback, boards, data_of, is_trial, remove_later
from minmax.errors import UserError
from minmax.files import whole
from minmax.films import pictures_in, write_gif
from minmax.plane import Plane

FRAMES_PER_SECOND = 10
MOST = 10_000
"""Images of a picture."""


class Pictures(GANCallback):
    """Grids of real images, of images from fixed latents, and of interpolated latents.

    They are shown in TensorBoard's image tab, and saved in `pictures/` of the run's folder as
    `real.png`, `fake_IMAGES.png` (IMAGES: real images trained on by then), `fake_last.png`
    and `interpolation.png`. Class-conditional generators draw one row for each class, and InfoGAN
    one for each category.

    Points in the plane are drawn over the discriminator's surface, and `film.gif` shows
    `fake_IMAGES.png`: all, or 300 of them.

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
        if rows * columns > MOST:
            raise UserError(
                f"`Pictures.rows` times `Pictures.columns` must be at most {MOST:,}, got "
                f"{rows * columns:,}"
            )
        self.every_images = every_images
        self.columns = columns
        self.rows = rows

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the folder on all ranks: `log_dir` is a collective operation."""
        self._folder = Path(trainer.log_dir or trainer.default_root_dir) / "pictures"

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show real images, and the untrained generator's images.

        Pictures of a future that is now trained again are removed.
        """
        assert isinstance(pl_module, GANModule)
        if not is_trial(trainer):
            remove_later(self._folder, "fake_*.png", pl_module.images_seen)
        data = data_of(trainer)
        self._painter: Plane | Grids = (
            Plane(data) if isinstance(data, Points) else Grids(data, self.rows, self.columns)
        )
        if data is not None and any(data.counts(train=False)):
            self._show(trainer, pl_module, "real", self._painter.real(pl_module))
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
        painter = self._painter
        self._show(trainer, pl_module, "fake", painter.fake(pl_module), "last")
        self._show(trainer, pl_module, "interpolation", painter.interpolation(pl_module))
        if painter.film:
            self._show_film()

    def _show_fake(self, trainer: Trainer, module: GANModule) -> None:
        picture = self._painter.fake(module)
        self._show(trainer, module, "fake", picture, f"{module.images_seen:09d}")

    def _show(
        self, trainer: Trainer, module: GANModule, name: str, picture: Tensor, suffix: str = ""
    ) -> None:
        """Save and log a picture `[3, H, W]` in [0, 1]."""
        with whole(self._folder / f"{name}{suffix and '_'}{suffix}.png") as part:
            save_image(picture, part)
        for board in boards(trainer):
            board.add_image(f"images/{name}", picture, module.images_seen)

    def _show_film(self) -> None:
        """Save the pictures of fixed latents as a film; they are on the disk since a resume."""
        files = [file for _, file in pictures_in(self._folder)] + [self._folder / "fake_last.png"]
        frames = np.stack([np.array(Image.open(file).convert("RGB")) for file in files])
        with whole(self._folder / "film.gif") as part:
            write_gif(frames, part, FRAMES_PER_SECOND)
