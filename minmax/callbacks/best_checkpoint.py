"""The checkpoint of a run's best score."""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer

from minmax.callbacks.hooks import callbacks_of
from minmax.callbacks.run_checkpoint import RunCheckpoint
from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import MissingError, UserError
from minmax.metrics.table import BEST_BY, mode_of


class BestCheckpoint(RunCheckpoint):
    """Save `best.ckpt` whenever a validation score is better than all before it.

    The best score so far is that of the file which lies there, which holds it.

    Args:
        monitor: log name of the score; if None, the Frechet distance of the run's features.
        mode: `min` where lower is better, else `max`; if None, as the table of scores says.
    """

    def __init__(
        self, monitor: str | None = None, mode: Literal["min", "max"] | None = None
    ) -> None:
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode or mode_of(monitor or f"metric/{BEST_BY}"),
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the name of the score, which ends in that of its features."""
        if self.monitor is None:
            names = (callback.score_name for callback in callbacks_of(trainer))
            self.monitor = next((name for name in names if name is not None), None)
        if self.monitor is None:
            raise UserError("`BestCheckpoint.monitor` is needed in a run without scores")
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
