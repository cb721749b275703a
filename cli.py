"""Command line: fit, validate and test a GAN, and sample from it."""

import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import callbacks
from commands.checkpoint import read_checkpoint, variant_of
from datamodules import ImageDataModule
from gan_modules import GANModule

COMMANDS = {"sample": "draw images from a trained generator"}
RUN_FILES = ("checkpoints", "pictures", "config.yaml", "hparams.yaml")


class SaveConfig(SaveConfigCallback):
    """Keep a training's whole configuration in the run's folder and in TensorBoard's text tab."""

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

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """All of Lightning's but `predict`: generators predict nothing."""
        commands = LightningCLI.subcommands()
        del commands["predict"]
        return commands

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks of every run, and link what the data knows to the model."""
        parser.add_lightning_class_args(callbacks.Pictures, "pictures")
        parser.add_lightning_class_args(callbacks.Quality, "quality")
        parser.add_lightning_class_args(callbacks.Progress, "progress")
        parser.add_lightning_class_args(callbacks.BestCheckpoint, "checkpoint_best")
        parser.add_lightning_class_args(callbacks.LastCheckpoint, "checkpoint_last")
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Replace the run that is in --trainer.default_root_dir.",
        )
        for name in ("channels", "image_size", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Check the checkpoint, instead of letting it overrule the command line."""
        path = self._setting("ckpt_path")
        if path is None or path in ("last", "best", "hpc", "registry"):
            return
        held, wanted = variant_of(read_checkpoint(path), path), self._setting("model").class_path
        if held != wanted:
            raise ValueError(
                f"--ckpt_path {path} holds a {held}, but --model is {wanted}. Give the config that "
                "it was trained with (config.yaml in its run's folder), or another checkpoint"
            )

    def before_instantiate_classes(self) -> None:
        """Refuse to train over a run, unless told to; the permission is not saved."""
        command = self.config.subcommand
        overwrite, self.config[command].overwrite = self._setting("overwrite"), False
        if command != "fit" or self._setting("ckpt_path") or rank_zero_only.rank != 0:
            return
        folder = Path(self._setting("trainer").default_root_dir or os.getcwd())
        if not (folder / "checkpoints").exists():
            return
        if not overwrite:
            raise ValueError(
                f"{folder} already holds a run. Choose another --trainer.default_root_dir, resume "
                f"it with --ckpt_path {folder}/checkpoints/last.ckpt, or replace it with "
                "--overwrite true"
            )
        for old in [*(folder / name for name in RUN_FILES), *folder.glob("events.out.tfevents.*")]:
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Let TensorBoard's files lie in the run's folder itself, unless told otherwise."""
        settings = self._get(self.config_init, "trainer")
        if settings.logger is None or settings.logger is True:
            folder = settings.default_root_dir or os.getcwd()
            kwargs["logger"] = TensorBoardLogger(folder, name="", version="")
        return super().instantiate_trainer(**kwargs)

    @rank_zero_only
    def after_fit(self) -> None:
        """Say where the run is."""
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        best = next(
            callback
            for callback in self.trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, callbacks.BestCheckpoint)
        )
        scored = "none" if best.best_model_score is None else (
            f"{folder}/checkpoints/best.ckpt ({best.monitor} {best.best_model_score:.4g})"
        )
        print(
            f"Run: {folder}  Last checkpoint: {folder}/checkpoints/last.ckpt  "
            f"Best checkpoint: {scored}  Pictures: {folder}/pictures"
        )

    def _setting(self, name: str) -> Any:
        """What the subcommand was given for an option."""
        return self.config[self.config.subcommand].get(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command of the command line; wrong input ends it with one line and exit code 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    try:
        if arguments and arguments[0] in COMMANDS:
            import_module(f"commands.{arguments[0]}").main(arguments[1:])
        else:
            run_trainer(arguments)
    except (ValueError, OSError, MisconfigurationException) as error:
        if os.environ.get("MINMAX_TRACEBACK"):
            raise
        sys.exit(f"error: {error}\n(set MINMAX_TRACEBACK=1 to see where it was raised)")


def run_trainer(arguments: Sequence[str]) -> None:
    """Hand the arguments to Lightning's command line."""
    further = "; ".join(f"{name}: {purpose}" for name, purpose in COMMANDS.items())
    strict = {"allow_abbrev": False}
    sys.argv[1:] = []
    GANCLI(
        GANModule,
        ImageDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
        parser_kwargs={
            **strict,
            "description": f"{__doc__} Further commands: {further} (see `cli.py sample --help`).",
            **{name: dict(strict) for name in GANCLI.subcommands()},
        },
        args=list(arguments),
    )


if __name__ == "__main__":
    main()
