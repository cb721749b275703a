"""What the callbacks of a GAN's training share: short hooks, and how they reach each other."""

from collections.abc import Iterator
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from datamodules import ImageDataModule
from gan_modules import GANModule

Batch = tuple[Tensor, Tensor]
"""Images `[N, C, H, W]` in [-1, 1], and labels int64 `[N]`."""


class GANCallback(Callback):
    """A callback with hooks for what most of them do.

    Their order in a trainer has no meaning. Whatever one wants saved is saved when all have seen
    the batch: Lightning calls those that save (`Checkpoint`) last.
    """

    @property
    def score_name(self) -> str | None:
        """Log name of the score that the best checkpoint is chosen by, of one that scores."""
        return None

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Called before each batch of a training."""

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Called after each batch of a training."""

    def before_save(self, trainer: Trainer, module: GANModule) -> None:
        """Called before the training's state is saved, on all ranks."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Lightning's hook of `before_batch`."""
        assert isinstance(pl_module, GANModule)
        self.before_batch(trainer, pl_module, batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lightning's hook of `after_batch`."""
        assert isinstance(pl_module, GANModule)
        self.after_batch(trainer, pl_module, batch)


def callbacks_of(trainer: Trainer) -> Iterator[GANCallback]:
    """The trainer's callbacks that have these hooks."""
    every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return (callback for callback in every if isinstance(callback, GANCallback))


def data_of(trainer: Trainer) -> ImageDataModule:
    """What the trainer trains on."""
    data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a `fast_dev_run`, of which nothing is kept."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def boards(trainer: Trainer) -> list[Any]:
    """TensorBoard's writers (`SummaryWriter`), for texts and images; they do nothing on ranks."""
    return [one.experiment for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
