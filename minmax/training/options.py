"""The options of `fit`, `validate` and `test`."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from minmax import admission, trust
from minmax.constructing import Constructors
from minmax.errors import UserError
from minmax.paths import expanded, mapped
from minmax.training import parts
from minmax.training.parsing import (
    check_files,
    configs_first,
    options_refused,
    parsing,
    print_completion,
    refuse_items,
)
from minmax.training.placing import LINKED, placing
from minmax.training.refusing import refuse_infinite
from minmax.trust import imported


class Options(LightningCLI):
    """Lightning's options and those of every run's callbacks; the model's shape from the data."""

    given: ClassVar[str | None] = None
    """The command on the command line, if it is one of Lightning's."""

    @classmethod
    def subcommands(cls) -> dict[str, set[str]]:
        """The given command, or all of Lightning's commands but `predict`.

        Building each parser takes a tenth of a second. Generators predict nothing.
        """
        commands = LightningCLI.subcommands()
        del commands["predict"]
        return {name: commands[name] for name in commands if cls.given in (None, name)}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of every run's callbacks, and link the data's shape to the model."""
        for name, kind in parts.WITH_OPTIONS.items():
            parser.add_lightning_class_args(kind, name)
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
            help="fit: print devices, batches, images, work and memory, and train nothing",
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
        """Parse, or print a shell's completion script."""
        given = sys.argv[1:] if args is None else args
        if given[:1] == ["completion"]:
            print_completion(parser, *given[1:2])
            sys.exit()
        refuse_items(given)
        check_files(given)
        if args is None:  # through sys.argv: Lightning warns if it is passed arguments
            sys.argv[1:] = configs_first(given)
        else:
            args = configs_first(given)
        with parsing():
            super().parse_arguments(parser, args)
        mapped(self.config, expanded)

    def _dump_config(self) -> None:
        """Keep the options as plain values; Lightning's own would write YAML and read it again."""
        if not hasattr(self, "config_dump"):
            whole = {"skip_link_targets": False, "skip_none": False}
            text = self.parser.dump(self.config, format="json", **whole)
            self.config_dump = json.loads(text)[self.config.subcommand]

    def _set_seed(self) -> None:
        """Seed everything.

        Raises:
            UserError: the seed is out of range.
        """
        try:
            super()._set_seed()
        except ValueError as error:
            raise UserError(f"--seed_everything: {error}") from error

    def before_instantiate_classes(self) -> None:
        """Refuse foreign code, infinite numbers, and options that the data would override."""
        asked = self.config[self.config.subcommand]
        trust.check_config(asked)
        if self.config.subcommand == "fit":
            for name, value in vars(asked).items():
                refuse_infinite(value, f"--{name}")
        given = asked.model.get("init_args", {})
        for name in LINKED:
            if given.get(name) is not None:
                raise UserError(
                    f"--model.init_args.{name} is taken from the data. Leave it out, and choose "
                    "data with this value"
                )

    def _add_instantiators(self) -> None:
        """Add an instantiator for all other classes, which keeps what a constructor raised."""
        super()._add_instantiators()
        self._constructors = Constructors()
        self.parser.add_instantiator(self._constructors, object)

    def instantiate_classes(self) -> None:
        """Make all objects, and the trainer with them."""
        with self._explained(), self._constructors.watched():
            super().instantiate_classes()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Have errors name options as on the command line; bugs pass unchanged."""
        given = self.config[self.config.subcommand]
        data, model = (imported(given[name].class_path, name) for name in ("data", "model"))
        with options_refused(), placing(data, model):
            yield
