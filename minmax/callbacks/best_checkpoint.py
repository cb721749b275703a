"""Saves the checkpoint of a run's best score."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from minmax.callbacks.hooks import GANCallback, callbacks_of
from minmax.callbacks.run_checkpoint import RunCheckpoint
from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import MissingError, UserError
from minmax.metrics.table import SCORES, mode_of


class BestCheckpoint(RunCheckpoint):
    """Saves `best.ckpt` whenever a validation score is better than all before it.

    A resumed run reads the best score so far from its `best.ckpt`, unless scores now have another
    protocol (`GANCallback.score_protocol`): then it chooses anew.

    Args:
        monitor: log name of the score; if None, the Frechet distance of the run's features, or of
            points the energy distance.
        mode: `min` if lower is better, else `max`; if None, the table of scores decides.
    """

    def __init__(
        self, monitor: str | None = None, mode: Literal["min", "max"] | None = None
    ) -> None:
        self._protocol: dict[str, int | str] | None = None
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode or (mode_of(monitor) if monitor else "min"),
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the score's name, which ends in the name of its features.

        Raises:
            UserError: no score is named, and no callback scores; or it is one of other features.
        """
        scoring = scoring_of(trainer)
        chosen = None if scoring is None else scoring.score_name
        self.monitor = self.monitor or chosen
        if self.monitor is None:
            raise UserError("`BestCheckpoint.monitor` is needed in a run without scores")
        if chosen is not None and (meant := meant_by(self.monitor, chosen)) != self.monitor:
            raise UserError(f"`BestCheckpoint.monitor` {self.monitor} is {meant} in this run")
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, unless the score is missing: then say so, and go on."""
        logged = sorted(name for name in trainer.callback_metrics if name.startswith("metric/"))
        if self.monitor in trainer.callback_metrics or trainer.sanity_checking:
            super().on_validation_end(trainer, pl_module)
        else:
            rank_zero_warn(
                f"`BestCheckpoint.monitor` {self.monitor} was not logged, so no best.ckpt is "
                f"saved: choose from {', '.join(logged) or 'nothing: no score was logged'}"
            )

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, with its protocol; in `best.ckpt`, its own score."""
        return {"best_model_score": self.best_model_score, "protocol": self._protocol}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the score to beat from the run's `best.ckpt`, if it has one."""
        super().on_train_start(trainer, pl_module)
        scoring = scoring_of(trainer)
        self._protocol = None if scoring is None else scoring.score_protocol
        file, score = Path(self.dirpath or "") / "best.ckpt", None
        if trainer.is_global_zero:
            score = best_score(file, self.state_key, self._protocol)
        score = trainer.strategy.broadcast(score)
        if score is not None:
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(file)
            self.best_k_models = {str(file): score}


def scoring_of(trainer: Trainer) -> GANCallback | None:
    """The trainer's callback that scores; None if it has none."""
    every = callbacks_of(trainer)
    return next((callback for callback in every if callback.score_name is not None), None)


def meant_by(monitor: str, other: str) -> str:
    """The log name of a score, with the features of another score's log name.

    Args:
        monitor: `metric/precision`, say; a name of the user's own stays as it is.
        other: `metric/fid_domain`, say.
    """
    known = {name: score for score in SCORES.values() for name in score.log_names()}
    found = known.get(monitor) or SCORES.get(monitor.removeprefix("metric/"))
    _, of_features, features = other.rpartition("_")
    if found is None or not of_features or not monitor.startswith("metric/"):
        return monitor
    return f"metric/{found.full_name(features)}"


def best_score(
    file: Path, key: str, protocol: Mapping[str, int | str] | None
) -> torch.Tensor | None:
    """The score of a `best.ckpt`, to be compared with coming ones.

    Args:
        file: the checkpoint.
        key: of the callback's state in it; it contains the name and mode of the score.
        protocol: of the coming scores; None if they have none.

    Returns:
        None if the file is missing, with a warning if it is damaged, and with a line if its score
        has another protocol. Checkpoints of earlier versions hold none.
    """
    try:
        state = read_checkpoint(file).get("callbacks", {}).get(key, {})
    except MissingError:
        return None
    except UserError as error:
        warnings.warn(f"{error}. The next score of this run replaces it", stacklevel=2)
        return None
    held = state.get("protocol")
    if protocol is not None and held is not None and held != protocol:
        changes = [
            f"{name} {held.get(name)} -> {value}"
            for name, value in protocol.items()
            if held.get(name) != value
        ]
        rank_zero_info(
            f"The best checkpoint is chosen anew, since the score of {file} can't be compared "
            f"with those to come: {', '.join(changes)}"
        )
        return None
    score: torch.Tensor | None = state.get("best_model_score")
    return score
