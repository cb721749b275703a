"""Where the checkpoints of a run lie."""

import os
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """Saves checkpoints in the run's folder, whatever the logger."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose `checkpoints/` in the run's folder."""
        self.dirpath = self.dirpath or os.path.join(trainer.default_root_dir, "checkpoints")
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """Save nothing: Lightning's state holds paths, and the run may be moved."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing: the files in the run's folder tell all."""
