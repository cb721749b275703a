"""The one callback that saves a training's state; others request a save from it."""

from pathlib import Path

from lightning import LightningModule, Trainer

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.hooks import GANCallback, callbacks_of, is_trial
from minmax.callbacks.run_checkpoint import RunCheckpoint
from minmax.errors import UserError
from minmax.lightning_inside import epoch_is_over, validation_follows


class LastCheckpoint(GANCallback, RunCheckpoint):
    """Saves `last.ckpt` after epochs, and when the training ends inside an epoch.

    Other callbacks find it by `saver_of` and request a save by `save_soon`. Each save is announced
    to all of them by `before_save`.

    Args:
        every_n_epochs: epochs from one save to the next.
        every_images: also save every so many real images; if None, only epochs count.

    Attributes:
        from_the_beginning: whether a run without a checkpoint is saved before its first batch.
    """

    def __init__(self, every_n_epochs: int = 1, every_images: int | None = None) -> None:
        if every_images is not None and every_images < 1:
            raise UserError(f"`LastCheckpoint.every_images` must be at least 1, got {every_images}")
        self.every_images = every_images
        self.from_the_beginning = False
        self._asked = False
        self._waiting = False
        super().__init__(
            filename="last",
            enable_version_counter=False,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
        )

    @property
    def file(self) -> Path:
        """Where the state is saved."""
        assert self.dirpath is not None, "a trainer's setup chooses it"
        return Path(self.dirpath) / "last.ckpt"

    def save_soon(self, trainer: Trainer) -> None:
        """Save once all callbacks have seen this batch.

        If a validation or the end of the epoch follows, save after it: a run resumed from an
        earlier save would skip it.
        """
        self._asked = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the initial state of a new run, if it may have to return to it."""
        super().on_train_start(trainer, pl_module)
        self._last_global_step_saved = trainer.global_step
        if not self.from_the_beginning or is_trial(trainer):
            return
        if not trainer.strategy.broadcast(self.file.is_file()):
            self._write(trainer)

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Save every `every_images` images, or when another callback has requested it."""
        seen, new = module.images_seen, len(batch[0]) * trainer.world_size
        if self.every_images and seen // self.every_images > (seen - new) // self.every_images:
            self.save_soon(trainer)
        if not self._asked:
            return
        self._asked = False
        if validation_follows(trainer) or epoch_is_over(trainer):
            self._waiting = True
        else:
            self._save(trainer, module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do a save that waited for a validation inside an epoch."""
        if self._waiting and not epoch_is_over(trainer):
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, also after an epoch that `max_steps` or `max_time` cut short.

        Later, Lightning no longer knows how far that epoch went.
        """
        if self._waiting or trainer.global_step == trainer.max_steps or trainer.should_stop:
            self._save(trainer, pl_module)
        super().on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if batches were trained since the newest save."""
        self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        """Save now, unless no batch was trained since the newest save."""
        if is_trial(trainer):
            return
        assert isinstance(module, GANModule)
        for callback in callbacks_of(trainer):
            callback.before_save(trainer, module)
        self._waiting = False
        if trainer.global_step != self._last_global_step_saved:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.file)
        self._last_global_step_saved = trainer.global_step


def saver_of(trainer: Trainer) -> LastCheckpoint | None:
    """The trainer's `LastCheckpoint`; None if it has none."""
    every = trainer.checkpoint_callbacks
    return next((callback for callback in every if isinstance(callback, LastCheckpoint)), None)
