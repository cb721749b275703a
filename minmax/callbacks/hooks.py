"""Shared by the callbacks: hooks with fewer arguments, and how callbacks find each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.base import Batch

BATCH_HOOKS = [("before_batch", "on_train_batch_start"), ("after_batch", "on_train_batch_end")]


class GANCallback(Callback):
    """A callback with simpler hooks.

    The order of these callbacks doesn't matter. A save comes after all of them have seen the
    batch, since Lightning calls its `Checkpoint` callbacks last.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Have Lightning skip the batch hooks that a callback doesn't use: a GPU waits for each."""
        self = super().__new__(cls)
        for hooks in BATCH_HOOKS:
            if all(getattr(cls, hook) is getattr(GANCallback, hook) for hook in hooks):
                setattr(self, hooks[1], None)
        return self

    def rest(self, resting: bool = True) -> None:
        """Have `after_batch` left out from now on, or called again."""
        vars(self).pop("on_train_batch_end", None)
        if resting:
            self.on_train_batch_end = None  # type: ignore[method-assign, assignment]

    @property
    def score_name(self) -> str | None:
        """Log name of the score that chooses the best checkpoint; None if the callback has none."""
        return None

    @property
    def score_protocol(self) -> dict[str, int | str] | None:
        """What that score depends on besides the weights, read when a training starts.

        A resumed run whose scores have another protocol chooses its best checkpoint anew. None if
        the callback doesn't tell.
        """
        return None

    def refuse(self, trainer: Trainer, data: ImageDataModule, stage: str) -> None:
        """Refuse what would fail later. The command line calls it before any image is read.

        Raises:
            UserError: the data or an option doesn't allow what the callback does.
        """

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Called before each batch of a training."""

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Called after each batch of a training."""

    def before_save(self, trainer: Trainer, module: GANModule) -> None:
        """Called before the training's state is saved, on all ranks."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Call `before_batch`."""
        assert isinstance(pl_module, GANModule)
        self.before_batch(trainer, pl_module, batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Call `after_batch`."""
        assert isinstance(pl_module, GANModule)
        self.after_batch(trainer, pl_module, batch)


def callbacks_of(trainer: Trainer) -> Iterator[GANCallback]:
    """The trainer's callbacks that have these hooks."""
    every: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return (callback for callback in every if isinstance(callback, GANCallback))


def data_of(trainer: Trainer) -> ImageDataModule:
    """The trainer's data module."""
    data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a `fast_dev_run`, which keeps nothing."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def remove_later(folder: Path, name: str, images_seen: int) -> None:
    """Remove the files of a future that is now trained again, maybe with other options.

    Args:
        folder: of the files.
        name: of the files, with a star for the number of images after which each was written.
        images_seen: by the training that begins.
    """
    before, _, behind = name.partition("*")
    for file in folder.glob(name):
        images = file.name.removeprefix(before).removesuffix(behind)
        if images.isdecimal() and int(images) > images_seen:
            file.unlink()


def boards(trainer: Trainer) -> list[Any]:
    """TensorBoard's writers (`SummaryWriter`), for texts and images; they write on rank 0 only."""
    loggers = trainer.loggers
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]
