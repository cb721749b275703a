"""The checkpoints of a run: `last.ckpt`, the one before it, and `best.ckpt`."""

import os
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from gan_modules import GANModule
from minmax.callbacks.finite import Finite, first_not_finite, saved_tensors
from minmax.callbacks.quality import Quality
from minmax.commands.checkpoint import read_checkpoint
from minmax.errors import MissingError, UserError
from minmax.files import whole

REMEDY = (
    "Make room there or let it be written, then go on with --resume true, or choose another "
    "--trainer.default_root_dir"
)


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints that are whole and finite, or leave the ones of before.

    Lightning's own way goes over the system's temporary folder, from where a file may be copied
    bit by bit. A `last.ckpt` that is replaced is kept as `previous.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checkpoint.

        Raises:
            UserError: it can't be written, or a weight or an optimizer's state is not finite.
        """
        file = Path(path)
        held = saved_tensors(checkpoint["state_dict"], checkpoint["optimizer_states"])
        if (name := first_not_finite(held)) is not None:
            raise UserError(
                f"{name} is not finite after {checkpoint['images_seen']:,} images: the training "
                f"has diverged, and {file} is not saved. Go on from the checkpoint before "
                "(--resume true) with lower learning rates"
            )
        kept = "previous.ckpt" if file.name == "last.ckpt" else ""
        with whole(file, kept, REMEDY) as part, part.open("wb") as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint without running code in it, whatever Lightning asks for."""
        return read_checkpoint(path)


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint in the run's folder, whatever logger there is."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose `checkpoints/` in the run's folder."""
        self.dirpath = self.dirpath or os.path.join(trainer.default_root_dir, "checkpoints")
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """Nothing that depends on where the run lies: it may be moved, or reached otherwise."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: what there is to know is in the run's folder."""


class LastCheckpoint(RunCheckpoint):
    """Save `last.ckpt` after epochs, and when the training ends in the midst of one.

    Args:
        every_n_epochs: epochs from one save to the next.
        every_images: also save after so many real images; if None, epochs alone count.
    """

    def __init__(self, every_n_epochs: int = 1, every_images: int | None = None) -> None:
        if every_images is not None and every_images < 1:
            raise UserError(f"`LastCheckpoint.every_images` must be at least 1, got {every_images}")
        self.every_images = every_images
        self._waiting = False
        super().__init__(
            filename="last",
            enable_version_counter=False,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the beginning, if the run may have to return to it; not what is gone on with."""
        super().on_train_start(trainer, pl_module)
        self._last_global_step_saved = trainer.global_step
        may_return = any(isinstance(c, Finite) and c.returns for c in trainer.callbacks)  # type: ignore[attr-defined]
        there = (Path(self.dirpath or "") / "last.ckpt").is_file()
        if may_return and not trainer.fast_dev_run and not trainer.strategy.broadcast(there):  # type: ignore[attr-defined]
            self._write(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save when as many images have been seen."""
        assert isinstance(pl_module, GANModule)
        seen, new = pl_module.images_seen, len(batch[0]) * trainer.world_size
        if self.every_images and seen // self.every_images > (seen - new) // self.every_images:
            self.save_soon(trainer)

    def save_soon(self, trainer: Trainer) -> None:
        """Save after this batch, and after the validation or the end of an epoch that it brings.

        What was saved before them would be gone on with behind them.
        """
        loop = trainer.fit_loop.epoch_loop
        validated = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]
        if validated or loop._num_ready_batches_reached():
            self._waiting = True
        else:
            self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what waited for it, in the midst of an epoch."""
        if self._waiting and not trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, also an epoch that `max_steps` or `max_time` has cut short.

        Only here does Lightning still know how far that epoch went.
        """
        if self._waiting or trainer.global_step == trainer.max_steps or trainer.should_stop:
            self.save(trainer)
        super().on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what came after the newest save."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save now, unless nothing was trained since the newest save."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Finite):  # notes of batches that were not logged
                callback.look(trainer, cast(GANModule, trainer.lightning_module))
        self._waiting = False
        if trainer.global_step != self._last_global_step_saved:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        assert self.dirpath is not None
        trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
        self._last_global_step_saved = trainer.global_step


class BestCheckpoint(RunCheckpoint):
    """Save `best.ckpt` whenever a validation score is better than all before it.

    The best score so far is that of the file which lies there, which holds it.

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
                raise UserError("`BestCheckpoint.monitor` is needed in a run without scores")
            self.monitor = scored[0].score_name
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """The best score so far: in `best.ckpt` its own."""
        return {"best_model_score": self.best_model_score}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the score to be beaten from the run's `best.ckpt`, if it has one."""
        super().on_train_start(trainer, pl_module)
        file = Path(self.dirpath or "") / "best.ckpt"
        score = best_score(file, self.state_key) if trainer.is_global_zero else None
        score = trainer.strategy.broadcast(score)
        if score is not None:
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(file)
            self.best_k_models = {str(file): score}


def best_score(file: Path, key: str) -> torch.Tensor | None:
    """The score that a `best.ckpt` was saved for; None if it isn't there, or not whole: it says so.

    Args:
        file: the checkpoint.
        key: of the callback's state in it, which says by what the best was chosen.
    """
    try:
        state = read_checkpoint(file).get("callbacks", {}).get(key, {})
    except MissingError:
        return None
    except UserError as error:
        warnings.warn(f"{error}. The next score that is made here replaces it", stacklevel=2)
        return None
    score: torch.Tensor | None = state.get("best_model_score")
    return score
