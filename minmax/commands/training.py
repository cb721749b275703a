"""`python cli.py fit`, `validate` and `test`: train a GAN, and score it."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

import shtab
import torch
from lightning import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.precision import refuse_precision
from minmax import admission, callbacks, events, lock, trust
from minmax.checkpoints.forms import check_states
from minmax.checkpoints.reading import read_checkpoint, variant_of
from minmax.constructing import Constructors
from minmax.errors import UserError, files_named
from minmax.files import discard
from minmax.kept_memory import keep_freed_memory
from minmax.parent import children_follow
from minmax.paths import expanded, mapped
from minmax.placing import placing
from minmax.reporting.metrics_file import write_report
from minmax.reporting.tables import score_table
from minmax.run_config import RUN_FILES, run_folder
from minmax.training.dry_run import summary_of
from minmax.training.launching import (
    processes_of,
    refuse_settings,
    refuse_strategy,
    started_by,
)
from minmax.training.parsing import (
    Parser,
    check_files,
    configs_first,
    options_refused,
    parsing,
)
from minmax.training.resuming import (
    Held,
    belongs_to,
    check_classes,
    check_shapes,
    is_finished,
    newest_checkpoint,
    saves,
)
from minmax.training.settings import SaveConfig
from minmax.training.sizes import headline
from minmax.training.tuples import read_tuples
from minmax.trust import imported

IDLE = "Tip:|`weights_only` was not set"
"""What Lightning says at each start and at each save, and nobody can act on."""
LOST = "by peer|remote process|socketTimeout"
"""What gloo and NCCL say of a process that is gone."""
Kind = TypeVar("Kind", bound=Callback)
LINKED = ("channels", "image_size", "num_classes")


class GANCLI(LightningCLI):
    """Lightning's command line with the data's shape linked to the model."""

    given: ClassVar[str | None] = None
    """The command that was given, if it is one of Lightning's."""

    @classmethod
    def subcommands(cls) -> dict[str, set[str]]:
        """The one that was given, if it is one, since a parser of each takes a tenth of a second.

        All of Lightning's but `predict` else: generators predict nothing.
        """
        commands = LightningCLI.subcommands()
        del commands["predict"]
        return {name: commands[name] for name in commands if cls.given in (None, name)}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks of every run, and link what the data knows to the model."""
        parser.add_lightning_class_args(callbacks.Pictures, "pictures")
        parser.add_lightning_class_args(callbacks.Quality, "quality")
        parser.add_lightning_class_args(callbacks.Progress, "progress")
        parser.add_lightning_class_args(callbacks.Finite, "finite")
        parser.add_lightning_class_args(callbacks.BestCheckpoint, "checkpoint_best")
        parser.add_lightning_class_args(callbacks.LastCheckpoint, "checkpoint_last")
        parser.add_argument(
            "--resume",
            type=bool,
            default=False,
            help="fit: go on with the run in --trainer.default_root_dir, if it holds one",
        )
        parser.add_argument(
            "--dry_run",
            type=bool,
            default=False,
            help="fit: print devices, batches, images and memory, and train nothing",
        )
        parser.add_argument(
            admission.OPTION,
            type=admission.refuse_in_config,
            default=argparse.SUPPRESS,
            metavar="PACKAGE",
            help=admission.HELP,
        )
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, or print a shell's completion script.

        jsonargparse's own script follows every class into every option, for many minutes.
        """
        given = sys.argv[1:] if args is None else args
        if given[:1] == ["completion"]:
            shell = given[1] if given[1:] else "bash"
            if shell not in shtab.SUPPORTED_SHELLS:
                raise UserError(f"completion {shell}: choose from {shtab.SUPPORTED_SHELLS}")
            parser.prog = "minmax"
            print(shtab.complete(parser, shell))
            sys.exit()
        check_files(given)
        if args is None:  # not handed on: Lightning warns of arguments that aren't the process's
            sys.argv[1:] = configs_first(given)
        else:
            args = configs_first(given)
        with parsing():
            super().parse_arguments(parser, args)
        mapped(self.config, expanded)

    def _set_seed(self) -> None:
        """Seed everything."""
        try:
            super()._set_seed()
        except ValueError as error:
            raise UserError(f"--seed_everything: {error}") from error

    @files_named()
    def _parse_ckpt_path(self) -> None:
        """Check the checkpoint's variant, instead of letting it overrule the command line."""
        if self.config.subcommand == "fit":
            if self._setting("trainer").fast_dev_run:
                self._leave_nothing()
            self._saves = saves(self._run_folder())
            self._choose_checkpoint()
        self._held: dict[str, Held] = {}
        for path in self._checkpoints():
            checkpoint = read_checkpoint(path)
            if self.config.subcommand == "fit":
                check_states(checkpoint, path)
            self._held[path] = Held.of(path, checkpoint)
            held, wanted = variant_of(checkpoint, path), self._setting("model").class_path
            if held != wanted:
                raise UserError(
                    f"--ckpt_path {path} holds a {held}, but --model is {wanted}. Give the config "
                    "that it was trained with (config.yaml in its run's folder), or another "
                    "checkpoint"
                )

    def _leave_nothing(self) -> None:
        """Let a trial of a few batches begin from the start, in a folder that is thrown away."""
        if self._setting("ckpt_path"):
            raise UserError(
                "--trainer.fast_dev_run begins from the start: leave --ckpt_path out, or try the "
                "checkpoint with --trainer.max_steps"
            )
        self._thrown_away = TemporaryDirectory(prefix="minmax-")  # removed with this object
        self.config.fit.trainer.default_root_dir = self._thrown_away.name
        self.config.fit.resume = False

    def _choose_checkpoint(self) -> None:
        """Find the run's own newest checkpoint if it is to be resumed."""
        last, folder = self._setting("ckpt_path") == "last", self._run_folder()
        if last or self._setting("resume"):
            newest = newest_checkpoint(folder)
            if newest is not None:
                self.config.fit.ckpt_path = str(newest)
            elif last:
                raise UserError(
                    f"--ckpt_path last: there is no checkpoint in {folder}/checkpoints. Name the "
                    "run's folder with --trainer.default_root_dir, or leave --ckpt_path out"
                )

    def before_instantiate_classes(self) -> None:
        """Refuse foreign code, and what the links would overrule without a word."""
        trust.check_config(self.config[self.config.subcommand])
        given = self._setting("model").get("init_args", {})
        for name in LINKED:
            if given.get(name) is not None:
                raise UserError(
                    f"--model.init_args.{name} is taken from the data. Leave it out, and choose "
                    "data that has it so"
                )

    def _add_instantiators(self) -> None:
        """Beside those of the model and the data one of all others, to know what was raised."""
        super()._add_instantiators()
        self._constructors = Constructors()
        self.parser.add_instantiator(self._constructors, object)

    def instantiate_classes(self) -> None:
        """Make all objects, and the trainer with them."""
        with self._explained(), self._constructors.watched():
            super().instantiate_classes()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Have wrong options named as they are on the command line; bugs stay as they are."""
        data, model = (imported(self._setting(n).class_path, n) for n in ("data", "model"))
        with options_refused(), placing(data, model, LINKED):
            yield

    def after_instantiate_classes(self) -> None:
        """Refuse a checkpoint of other networks or classes, before anything is written."""
        for held in self._held.values():
            check_classes(held, self.datamodule.class_names, self.model.conditional)
            check_shapes(held, self.model)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log a training into the run's folder itself; let several devices work together."""
        settings = self._get(self.config_init, "trainer")
        if settings.enable_progress_bar is False:  # Lightning refuses that beside ours.
            settings.enable_progress_bar = True
            self._get(self.config_init, "progress").disable()
        plugins = settings.plugins or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, callbacks.WholeCheckpoints()]
        if settings.logger is None or settings.logger is True:
            folder = self._run_folder()
            kwargs["logger"] = False
            if self.subcommand == "fit":
                # Hides what a killed run logged after the checkpoint that it goes on from.
                seen = max((held.images_seen for held in self._held.values()), default=0)
                purge = seen + 1 if self._resumes(folder) else None
                kwargs["logger"] = events.Events(folder, purge)
        environment = started_by(plugins, settings.num_nodes)
        if environment not in plugins:
            kwargs["plugins"] = [*kwargs.get("plugins", plugins), environment]
        alone = ("1",) if torch.cuda.device_count() > 1 else ("1", "auto")
        several = (
            processes_of(environment) > 1
            or settings.num_nodes > 1
            or str(settings.devices) not in alone
        )
        refuse_settings(settings, several)
        if settings.strategy == "ddp" or (settings.strategy == "auto" and several):
            kwargs["strategy"] = "gan_ddp"
        trainer = super().instantiate_trainer(**kwargs)
        refuse_strategy(trainer.strategy, str(settings.strategy))
        refuse_precision(str(trainer.precision))
        if trainer.world_size == 1:  # whatever RANK is left in the environment
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command."""
        with self._explained():
            self._run_alone(subcommand)

    def _run_alone(self, subcommand: str) -> None:
        """Train where no other process does; the ranks of one training are led by their first."""
        if subcommand != "fit" or self._setting("dry_run") or not self.trainer.is_global_zero:
            super()._run_subcommand(subcommand)
            return
        folder = self._run_folder()
        with ExitStack() as held:
            try:
                held.enter_context(lock.locked(folder / lock.NAME))
            except OSError as error:
                raise UserError(
                    f"--trainer.default_root_dir {folder} can't be written ({error.strerror}): "
                    "choose another"
                ) from error
            if saves(folder) != self._saves:
                raise UserError(
                    f"{folder} was trained by another process while this one started: give the "
                    "command again"
                )
            super()._run_subcommand(subcommand)

    def fit(self, **kwargs: Any) -> None:
        """Train in a folder that holds no run yet; leave nothing there if no batch was trained."""
        folder = self._run_folder()
        if self._setting("dry_run"):
            given = kwargs["model"], kwargs["datamodule"]
            print(summary_of(self.trainer, *given, folder, self._checkpoint_path()))
            return
        resumed = self._resumes(folder)
        if any((folder / name).exists() for name in RUN_FILES) and not resumed:
            raise UserError(
                f"{folder} already holds a run. Choose another --trainer.default_root_dir, resume "
                "the run with --resume true, or delete it"
            )
        if any(is_finished(held, self.trainer, resumed) for held in self._held.values()):
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--trainer.default_root_dir {folder} can't be made ({error.strerror}): choose "
                "another"
            ) from error
        before, trial = set(folder.iterdir()), self._setting("trainer").fast_dev_run
        begun = max((held.batches for held in self._held.values()), default=0)
        if self.trainer.is_global_zero:
            events.date_back(folder)
            print(headline(kwargs["model"]))
            for held in self._held.values():
                print(f"Goes on from {held.path}, after {held.images_seen:,} images")
            if isinstance(self.trainer.logger, TensorBoardLogger):
                print(f"Watch it: tensorboard --logdir {folder} --samples_per_plugin images=100")
        try:
            with events.written_in(folder):
                self.trainer.fit(**kwargs)
        except Exception as error:
            launcher = self.trainer.strategy.launcher
            if launcher is not None:  # there are ranks that would wait for this one
                launcher.kill(signal.SIGTERM)
            if self.trainer.world_size > 1 and re.search(LOST, str(error)):
                raise UserError(
                    "another process of this training has ended, and this one can't go on alone: "
                    "look at its messages. The same command with --resume true goes on"
                ) from error
            raise
        finally:
            trained = self.trainer.global_step > begun
            if self.trainer.is_global_zero and trained and not trial:
                self._say_where(folder)
            elif self.trainer.is_global_zero:
                made = [*map(folder.joinpath, RUN_FILES), *folder.glob("events.out.tfevents*")]
                for new in set(made) - before:
                    discard(new)
                if not any(folder.iterdir()):
                    folder.rmdir()
        if not trained:
            raise UserError(
                "nothing was trained: --trainer.max_epochs, max_steps, limit_train_batches or "
                "max_time (of all starts of a run together) leaves nothing to do"
            )
        if trial and self.trainer.is_global_zero:
            print("The trial went well; nothing of it is kept.")

    def test(self, **kwargs: Any) -> None:
        """Score the given checkpoint, or the run's best and last; keep the scores in the run."""
        scored: dict[int, dict[str, Any]] = {}
        for path in map(Path, self._held):
            if not os.access(run_folder(path), os.W_OK):
                raise UserError(
                    f"{run_folder(path)} can't be written, and there metrics.json belongs: copy "
                    "the run, and give the copy's --ckpt_path"
                )
            quality, seen = self._callback(callbacks.Quality), self._held[str(path)].images_seen
            if seen not in scored:  # else the last checkpoint of a run is its best one
                kwargs |= {"ckpt_path": str(path), "verbose": False}
                self.trainer.test(**kwargs)
                scored[seen] = quality.report
            report = scored[seen]
            if report:
                report = report | {"protocol": report["protocol"] | {"checkpoint": str(path)}}
                seen = report["protocol"]["images_seen"]  # a training may save meanwhile
                print(f"\n{path}, after {seen:,} images:\n\n{score_table(report)}\n")
                file = write_report(path, report)
                pairs = file.parent / "pictures" / f"nearest_{path.stem}.png"
                quality.save_neighbours(pairs)
                print(f"Scores: {file}  Nearest: {pairs}")

    def _resumes(self, folder: Path) -> bool:
        """Whether the training goes on in the folder of its own run."""
        path = self._checkpoint_path()
        if path is None:  # by name, or nothing was saved yet
            return bool(self._setting("ckpt_path") or self._setting("resume"))
        return belongs_to(path, folder)

    def _say_where(self, folder: Path) -> None:
        best = self._callback(callbacks.BestCheckpoint)
        scored = (
            "none"
            if best.best_model_score is None
            else (f"{folder}/checkpoints/best.ckpt ({best.monitor} {best.best_model_score:.4g})")
        )
        last = folder / "checkpoints" / "last.ckpt"
        print(
            f"Run: {folder}  Last checkpoint: {last if last.is_file() else 'none'}  "
            f"Best checkpoint: {scored}  Pictures: {folder}/pictures"
        )

    def _run_folder(self) -> Path:
        """Absolute: a checkpoint remembers its folder, to know on resuming what is best so far."""
        return Path(self._setting("trainer").default_root_dir or os.getcwd()).absolute()

    def _callback(self, kind: type[Kind]) -> Kind:
        every = self.trainer.callbacks  # type: ignore[attr-defined]
        return next(callback for callback in every if isinstance(callback, kind))

    def _checkpoints(self) -> list[str]:
        """The checkpoints that the command is about."""
        path, command = self._checkpoint_path(), self.config.subcommand
        if path is not None or command == "fit":
            return [] if path is None else [path]
        folder = self._run_folder() / "checkpoints"
        found = [str(folder / f"{name}.ckpt") for name in ("best", "last")]
        found = [path for path in found if Path(path).is_file()]
        if command != "test" or not found:
            raise UserError(
                f"{command} needs a checkpoint: give --ckpt_path RUN/checkpoints/last.ckpt, say"
                + (", or --config RUN/config.yaml of a run that has one" * (command == "test"))
            )
        return found

    def _checkpoint_path(self) -> str | None:
        """The checkpoint that was asked for by its path, not by `best`."""
        path = self._setting("ckpt_path")
        return None if path in ("last", "best", "hpc", "registry") else path

    def _setting(self, name: str) -> Any:
        """What the subcommand was given for an option."""
        return self.config[self.config.subcommand].get(name)


@trust.enforced()
def main(arguments: list[str] | None = None) -> None:
    """Hand the arguments, or those of the process, to Lightning's command line."""
    keep_freed_memory()
    read_tuples()
    given = sys.argv[1:] if arguments is None else arguments
    GANCLI.given = given[0] if given and given[0] in LightningCLI.subcommands() else None
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        messages = logging.getLogger(f"lightning.pytorch.{name}")
        messages.addFilter(lambda record: not re.search(IDLE, record.getMessage()))
    strict = {"allow_abbrev": False}
    with children_follow():
        GANCLI(
            GANModule,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            trainer_defaults={
                "devices": 1,
                "enable_model_summary": False,  # it says 0 FLOPs of all
                # In this order: what a batch showed is noted before a signal has it saved.
                "callbacks": [callbacks.Amounts(), callbacks.Diagnosis(), callbacks.Signals()],
            },
            parser_class=Parser,
            parser_kwargs={
                **strict,
                "description": __doc__,
                **{name: dict(strict) for name in GANCLI.subcommands()},
            },
            args=arguments,
        )
