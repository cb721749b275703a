"""Command line: fit, validate and test a GAN, and sample from it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from lightning import LightningModule, Trainer

import callbacks
from datamodules import ImageDataModule
from gan_modules import GANModule


class SaveConfig(SaveConfigCallback):
    """Keep a fit's whole configuration in the run's folder and in TensorBoard's text tab."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save it when a training starts, not when one is tested."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it as text into TensorBoard."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                config = self.parser.dump(self.config, skip_none=False)
                text = "\n".join("    " + line for line in config.splitlines())
                logger.experiment.add_text("config", text)


class GANCLI(LightningCLI):
    """Lightning's command line with the data's shape linked to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks of every run, and link what the data knows to the model."""
        parser.add_lightning_class_args(callbacks.Pictures, "pictures")
        parser.add_lightning_class_args(callbacks.Quality, "quality")
        parser.add_lightning_class_args(callbacks.Progress, "progress")
        parser.add_lightning_class_args(callbacks.BestCheckpoint, "checkpoint_best")
        parser.add_lightning_class_args(callbacks.LastCheckpoint, "checkpoint_last")
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Train in a folder that holds a run."
        )
        for name in ("channels", "image_size", "num_classes"):
            parser.link_arguments(
                f"data.{name}", f"model.init_args.{name}", apply_on="instantiate"
            )

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        """Let TensorBoard's files lie in the run's folder itself, unless told otherwise."""
        settings = self._get(self.config_init, "trainer")
        if settings.logger is None or settings.logger is True:
            folder = settings.default_root_dir or os.getcwd()
            kwargs["logger"] = TensorBoardLogger(folder, name="", version="")
        return super().instantiate_trainer(**kwargs)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command of the command line."""
    GANCLI(
        GANModule,
        ImageDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
        parser_kwargs={"allow_abbrev": False, "default_env": True},
    )


if __name__ == "__main__":
    main()
