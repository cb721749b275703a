"""A run's configuration: in its folder, in TensorBoard, and in its checkpoints."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from gan_modules import GANModule
from minmax.callbacks.hooks import boards
from minmax.checkpoints.weighing import check_options
from minmax.errors import UserError
from minmax.files import whole
from minmax.run_config import FILE
from minmax.training.changes import KEY, settings, use_what_is_asked_for

# Some of Lightning's defaults are members of enumerations.
yaml.SafeDumper.add_multi_representer(str, yaml.SafeDumper.represent_str)


class KeepConfig(Callback, ABC):
    """Save a training's whole configuration; apply it to the checkpoint that is resumed."""

    _folder: str | None = None
    _goes_on_from: dict[str, Any] | None = None
    _is_due = True

    @abstractmethod
    def options(self, trainer: Trainer, module: GANModule) -> dict[str, Any]:
        """The options, plain values."""

    @abstractmethod
    def write(self, file: Path) -> None:
        """Write the options into a file."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder on all ranks: `log_dir` is a collective operation."""
        if stage == "fit":
            self._folder = trainer.log_dir

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the checkpoint until `on_fit_start`; the optimizers don't exist yet."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._goes_on_from = checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the command's options override the checkpoint's states; print each change."""
        assert isinstance(pl_module, GANModule)
        self._settings = settings(self.options(trainer, pl_module), trainer)
        try:
            check_options(self._settings, "settings")
        except ValueError as error:
            raise UserError(
                f"no command would read a checkpoint of this run, since {error}"
            ) from error
        checkpoint, self._goes_on_from = self._goes_on_from, None
        if checkpoint is not None:
            lines = use_what_is_asked_for(checkpoint, self._settings, trainer, pl_module)
            if trainer.is_global_zero:
                print("".join(f"--resume: {line}\n" for line in lines), end="", flush=True)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write the configuration once the first batch begins."""
        if self._is_due and trainer.is_global_zero:
            with whole(Path(self._folder or trainer.default_root_dir) / FILE) as part:
                self.write(part)
                lines = part.read_text().splitlines()
            text = "\n".join(f"    {line}" for line in lines if not line.endswith(": null"))
            for board in boards(trainer):
                board.add_text("config", text)
        self._is_due = False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the settings."""
        checkpoint[KEY] = self._settings


class SaveConfig(KeepConfig, SaveConfigCallback):
    """Save the configuration of the command line."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave out the checkpoint that the training resumes.

        Else the next command with this file would use that checkpoint instead of the run's own.
        """
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.config = self.config.clone()
            self.config.ckpt_path = None

    def options(self, trainer: Trainer, module: GANModule) -> dict[str, Any]:
        """The options, plain values."""
        plain: dict[str, Any] = json.loads(
            self.parser.dump(self.config, skip_none=False, format="json")
        )
        return plain

    def write(self, file: Path) -> None:
        """Write the options into a file."""
        self.parser.save(self.config, str(file), skip_none=False, skip_validation=True)
