"""Reads the arguments of `fit`, `validate` and `test`, and explains wrong ones."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import shtab
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from minmax import documents
from minmax.culprits import about_files, about_options, bug_in_parsing
from minmax.errors import UserError
from minmax.one_line import one_line
from minmax.run_config import about_its_folder
from minmax.spelling import likely
from minmax.trust import import_own


class Parser(LightningArgumentParser):
    """Lightning's parser, which raises errors and suggests similar names.

    Paths in a run's own `config.yaml` follow the file's folder (`run_config.py`).
    """

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Read a file of options.

        Raises:
            UserError: it is no such file; the message begins with its path.
        """
        try:
            read = super().parse_path(path, *args, **kwargs)
        except UnicodeDecodeError as error:
            raise UserError(
                f"--config {path} is no YAML text ({error}): give a file like configs/*"
            ) from error
        except UserError as error:
            said = one_line(str(error))
            if said.startswith("Unexpected config"):  # a text, a list, or nothing
                said = "it holds no options: give a file like configs/*"
            raise UserError(f"--config {path}: {said}") from error
        options: Namespace = about_its_folder(read, Path(os.path.expanduser(path)))
        return options

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Options as text. They were checked when they were read; again takes 0.1 s each time."""
        text: str = super().dump(*args, **{"skip_validation": True, **kwargs})
        return text

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the bug behind the error, if there is one, else a `UserError`."""
        if (bug := bug_in_parsing(ex)) is not None:
            raise bug
        import_own(message)
        options = [name for name in self._option_string_actions if name.startswith("--")]
        raise UserError(message + hint(message, options)) from ex


def hint(message: str, options: list[str]) -> str:
    """Advice on an error of jsonargparse, to be appended to its message.

    Args:
        message: of the error.
        options: of the parser that raised it, each with its dashes.
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
    """Move the subcommand's `--config` before its other options.

    So an option overrides a config wherever it stands; in jsonargparse the last one wins.
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
    """Refuse files of options that are too large, before they are read."""
    for argument in arguments:
        file = Path(argument.partition("=")[2] or argument)
        try:
            if file.suffix in (".json", ".yaml", ".yml") and file.exists():
                documents.check_size(file)
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{argument} is no file of options: {error}") from error


def refuse_items(arguments: list[str]) -> None:
    """Refuse options that name one item of a list: jsonargparse would replace the others by 0."""
    for argument in arguments:
        if item := re.match(r"(--[a-zA-Z][\w.]*?)\.\d+(?=[.+=]|$)", argument):
            raise UserError(
                f"{item[0]} names one item of a list, which can't be set alone: write all of it, "
                f"{item[1]} '[FIRST, SECOND]' say"
            )


@contextmanager
def parsing() -> Iterator[None]:
    """Turn errors about options and their files into one line; bugs pass unchanged.

    Raises:
        UserError: the options are wrong.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if bug_in_parsing(error) is not None:
            raise
        raise UserError(one_line(str(error))) from error


@contextmanager
def options_refused() -> Iterator[None]:
    """Turn Lightning's errors about options, and the system's about files, into one line.

    Raises:
        UserError: an option is wrong, or a file can't be read or written.
    """
    try:
        yield
    except Exception as error:
        if not (about_options(error) or about_files(error)):
            raise
        raise UserError(one_line(str(error))) from error


def print_completion(parser: LightningArgumentParser, shell: str = "bash") -> None:
    """Print a shell's completion script.

    jsonargparse's own follows every class into every option, which takes many minutes.

    Raises:
        UserError: the shell is unknown.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(f"completion {shell}: choose from {shtab.SUPPORTED_SHELLS}")
    parser.prog = "minmax"
    print(shtab.complete(parser, shell))
