"""Where the checkpoints of a run lie."""

import os
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


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
