"""The two checkpoints of a run: `checkpoints/last.ckpt` and `checkpoints/best.ckpt`."""

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.quality import Quality


class LastCheckpoint(ModelCheckpoint):
    """Save `last.ckpt` after epochs, and when the training ends in the midst of one.

    Args:
        every_n_epochs: epochs from one save to the next.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        super().__init__(
            filename="last",
            enable_version_counter=False,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, also an epoch that `max_steps` or `max_time` has cut short.

        Only here does Lightning still know how far that epoch went.
        """
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.global_step == trainer.max_steps or trainer.should_stop:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what came after the newest save, if anything did."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.global_step != self._last_global_step_saved and self.dirpath:
            trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
            self._last_global_step_saved = trainer.global_step


class BestCheckpoint(ModelCheckpoint):
    """Save `best.ckpt` whenever a validation score is better than all before it.

    Args:
        monitor: log name of the score; if None, the Frechet distance of the run's features.
        mode: `min` where lower is better, else `max`.
    """

    def __init__(self, monitor: str | None = None, mode: str = "min") -> None:
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the name of the score, which ends in that of its features."""
        if self.monitor is None:
            scored = [c for c in trainer.callbacks if isinstance(c, Quality)]  # type: ignore[attr-defined]
            if not scored:
                raise ValueError("--checkpoint_best.monitor is needed in a run without scores")
            self.monitor = scored[0].score_name
        super().setup(trainer, pl_module, stage)
