"""Saves a run's power-function averages, for a choice of the width after the training."""

from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from gan_modules import GANModule
from gan_modules.base import Batch
from gan_modules.parts.average import averaged_state
from minmax.callbacks.hooks import GANCallback, is_trial, remove_later
from minmax.checkpoints.finite_values import all_finite
from minmax.errors import UserError
from minmax.files import whole

FOLDER = "averages"
"""In the run's folder."""


class Averages(GANCallback):
    """Saves the averages of `ema_widths`, of which `cli.py average` makes others.

    Each file `averages/IMAGES.pt` in the run's folder holds their weights and running statistics at
    that count of images. Models without `ema_widths` have none.

    Args:
        every_images: real images from one file to the next.
    """

    def __init__(self, every_images: int = 60_000) -> None:
        if every_images < 1:
            raise UserError(f"`Averages.every_images` must be at least 1, got {every_images}")
        self.every_images = every_images

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the files of a future that is now trained again, maybe with other options."""
        assert isinstance(pl_module, GANModule)
        self._folder = Path(trainer.default_root_dir) / FOLDER
        self._seen = pl_module.images_seen
        if not is_trial(trainer):
            remove_later(self._folder, "*.pt", pl_module.images_seen)

    @rank_zero_only
    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Save every `every_images` real images; what has diverged is left out."""
        before, self._seen = self._seen, module.images_seen
        due = self._seen // self.every_images > before // self.every_images
        if not (due and module.ema_widths) or is_trial(trainer):
            return
        averages = states_by_width(module)
        if all(all_finite(state) for state in averages.values()):
            with whole(self._folder / f"{self._seen:010d}.pt") as part:
                torch.save({"images_seen": self._seen, "averages": averages}, part)


def states_by_width(module: GANModule) -> dict[float, dict[str, Tensor]]:
    """The averages of `ema_widths`, float32, by width and name."""
    widths = module.ema_widths or []
    averages = module.averages[len(module.averages) - len(widths) :]
    return {
        float(width): {name: v.detach().float() for name, v in averaged_state(average).items()}
        for width, average in zip(widths, averages, strict=True)
    }
