"""How the arguments of `fit`, `validate` and `test` are read, and what is said of wrong ones."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import shtab
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from minmax import documents
from minmax.culprits import about_files, about_options, bug_in_parsing
from minmax.errors import UserError
from minmax.one_line import likely, one_line
from minmax.run_config import about_its_folder
from minmax.trust import import_own


class Parser(LightningArgumentParser):
    """Lightning's parser, with errors that are raised and name what may have been meant.

    A run's own `config.yaml` is about the folder it lies in.
    """

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Read a file of options."""
        read = super().parse_path(path, *args, **kwargs)
        options: Namespace = about_its_folder(read, Path(os.path.expanduser(path)))
        return options

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Options as text. They were checked when they were read; again takes 0.1 s each time."""
        text: str = super().dump(*args, **{"skip_validation": True, **kwargs})
        return text

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing the usage and leaving; of a bug in our code, that itself."""
        if (bug := bug_in_parsing(ex)) is not None:
            raise bug
        import_own(message)
        options = [name for name in self._option_string_actions if name.startswith("--")]
        raise UserError(message + hint(message, options)) from ex


def hint(message: str, options: list[str]) -> str:
    """What to do about an error of jsonargparse's, as a sentence to follow it.

    Args:
        message: of the error.
        options: of the parser that met it, each with its dashes.
    """
    if unknown := re.match(r"unrecognized arguments: (\S+)", message):
        if Path(unknown[1]).is_file():
            return f". A file of options is given with --config {unknown[1]}"
        return likely(unknown[1].partition("=")[0], options)
    if refused := re.fullmatch("Option '(.+)' is not accepted", message):
        known = [name[2:] for name in options if not re.search(r"help$|\+$", name)]
        return f": choose from {', '.join(known)}{likely(refused[1], known)}"
    if re.search(r"required: \w+\.data, \w+\.model$", message):
        return ". Give both, or a file that has them: --config configs/dcgan_digits.yaml, say"
    if missing := re.search("File does not exist: '(.+)'", message):
        return likely(missing[1], [str(file) for file in Path(missing[1]).parent.glob("*.yaml")])
    return ""


def configs_first(arguments: list[str]) -> list[str]:
    """The same arguments with the subcommand's `--config` before its other options.

    An option overrules a config wherever it stands; jsonargparse would take what comes last.
    """
    configs, others = list[str](), list[str]()
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("--config", "-c"):
            configs += [argument, *islice(rest, 1)]
        else:
            (configs if argument.startswith("--config=") else others).append(argument)
    return arguments[:1] + configs + others


def check_files(arguments: list[str]) -> None:
    """Refuse files of options that are too large, before they are read.

    Raises:
        UserError: there is one.
    """
    for argument in arguments:
        file = Path(argument.partition("=")[2] or argument)
        try:
            if file.suffix in (".json", ".yaml", ".yml") and file.exists():
                documents.check_size(file)
        except (OSError, documents.Excessive) as error:
            raise UserError(f"{argument} is no file of options: {error}") from error


@contextmanager
def parsing() -> Iterator[None]:
    """Turn what is said of options and files of options into a line; a bug stays one."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(
            f"a --config is no YAML text ({error}): give a file like configs/*"
        ) from error
    except (ValueError, OSError) as error:
        if bug_in_parsing(error) is not None:
            raise
        raise UserError(one_line(str(error))) from error


@contextmanager
def options_refused() -> Iterator[None]:
    """Turn what Lightning says of its options, and the system of a command's files, into a line."""
    try:
        yield
    except Exception as error:
        if not (about_options(error) or about_files(error)):
            raise
        raise UserError(one_line(str(error))) from error


def print_completion(parser: LightningArgumentParser, shell: str = "bash") -> None:
    """Print a shell's completion script.

    jsonargparse's own follows every class into every option, for many minutes.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(f"completion {shell}: choose from {shtab.SUPPORTED_SHELLS}")
    parser.prog = "minmax"
    print(shtab.complete(parser, shell))
