"""Lightning's command line with this project's additions."""

import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from lightning import Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from datamodules import ImageDataModule
from gan_modules import GANModule
from minmax.callbacks.hooks import callbacks_of
from minmax.errors import UserError, files_named
from minmax.training import fitting, parts, testing
from minmax.training.asked import Asked
from minmax.training.choosing import saves, to_go_on_from
from minmax.training.dry_run import summary_of
from minmax.training.launching import several_work
from minmax.training.options import Options
from minmax.training.parsing import Parser
from minmax.training.precision import default_precision, precision_to_use
from minmax.training.refusing import refuse_settings, refuse_trainer
from minmax.training.resuming import check_fit, read_held
from minmax.training.settings import SaveConfig


class GANCLI(Options):
    """Lightning's command line, which also chooses checkpoints and works in a run's folder."""

    @files_named()
    def _parse_ckpt_path(self) -> None:
        """Choose the checkpoints, and check that they belong to the variant.

        Replaces Lightning's method, which lets a checkpoint override the command line.
        """
        trains = self._asked.command == "fit"
        if trains and self._asked.is_trial:
            self._leave_nothing()
        if trains:
            asked = self._asked
            self._saves = saves(asked.folder)
            self.config.fit.ckpt_path = to_go_on_from(asked.folder, asked.ckpt_path, asked.resume)
        asked = self._asked
        self._held = [read_held(file, asked.variant, trains) for file in asked.files]

    def _leave_nothing(self) -> None:
        """Have a trial of a few batches start anew, in a temporary folder.

        Raises:
            UserError: a checkpoint is given.
        """
        if self._asked.ckpt_path:
            raise UserError(
                "--trainer.fast_dev_run begins from the start: leave --ckpt_path out, or try the "
                "checkpoint with --trainer.max_steps"
            )
        self._thrown_away = TemporaryDirectory(prefix="minmax-")  # removed with this object
        self.config.fit.trainer.default_root_dir = self._thrown_away.name
        self.config.fit.resume = False

    @property
    def _asked(self) -> Asked:
        """Read from the current configuration, which may have changed since the last call."""
        return Asked.of(self.config)

    def before_instantiate_classes(self) -> None:
        """Choose the precision, if the user names none."""
        super().before_instantiate_classes()
        trainer = self.config[self.config.subcommand].trainer
        trainer.precision = precision_to_use(
            trainer.precision,
            trainer.accelerator,
            trainer.plugins,
            [held.precision for held in self._held],
        )

    def after_instantiate_classes(self) -> None:
        """Refuse a checkpoint of other networks or classes, before anything is written."""
        for held in self._held:
            check_fit(held, self.model, self.datamodule)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer the parts of every run (`parts.py`); refuse unsupported options."""
        settings, asked = self._get(self.config_init, "trainer"), self._asked
        if settings.enable_progress_bar is False:  # Lightning refuses this with our own bar
            settings.enable_progress_bar = True
            self._get(self.config_init, "progress").disable()
        # Values that a killed run logged after its last checkpoint are hidden.
        seen = max((held.images_seen for held in self._held), default=0)
        kwargs |= parts.run_parts(
            asked.folder,
            logs=asked.command == "fit",
            since=seen + 1 if asked.goes_on else None,
            **{name: settings[name] for name in parts.TAKEN},
        )
        together = several_work(kwargs["plugins"], settings.num_nodes, settings.devices)
        refuse_settings(settings, together)
        trainer = super().instantiate_trainer(**kwargs)
        refuse_trainer(trainer, str(settings.strategy))
        if trainer.world_size == 1:  # the environment may hold a stale RANK
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command; rank 0 of a training holds the lock of the run's folder."""
        asked = self._asked
        with self._explained(), ExitStack() as held:
            for callback in callbacks_of(self.trainer):
                callback.refuse(self.trainer, self.datamodule, subcommand)
            if subcommand == "fit" and not asked.dry_run and self.trainer.is_global_zero:
                held.enter_context(fitting.alone_in(asked.folder, self._saves))
            super()._run_subcommand(subcommand)

    def fit(self, **kwargs: Any) -> None:
        """Train, or with `--dry_run` print what the training would do."""
        asked = self._asked
        if asked.dry_run:
            model, data = kwargs["model"], kwargs["datamodule"]
            print(summary_of(self.trainer, model, data, asked.folder, asked.file))
        else:
            fitting.fit(asked, self._held, self.trainer, **kwargs)

    def test(self, **kwargs: Any) -> None:
        """Score the given checkpoint, or the run's best and last."""
        testing.test(self._held, self.trainer, **kwargs)


def run(
    arguments: list[str] | None, description: str | None, kind: type[GANCLI] = GANCLI
) -> GANCLI:
    """Run a command.

    Args:
        arguments: of the command line; None: those of the process.
        description: for the help.
        kind: of the command line.
    """
    given = sys.argv[1:] if arguments is None else arguments
    kind.given = given[0] if given and given[0] in LightningCLI.subcommands() else None
    strict = {"allow_abbrev": False}
    return kind(
        GANModule,
        ImageDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
        trainer_defaults={
            **parts.DEFAULTS,
            "callbacks": [kind() for kind in parts.WITHOUT_OPTIONS],
            "precision": default_precision(),
        },
        parser_class=Parser,
        parser_kwargs={
            **strict,
            "description": description,
            **{name: dict(strict) for name in kind.subcommands()},
        },
        args=arguments,
    )
