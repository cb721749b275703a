"""What `fit`, `validate` and `test` say of wrong options."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from inspect import getmembers, isclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

import datamodules
import gan_modules
from datamodules.classes import QUOTE
from gan_modules import networks, tricks
from minmax import documents
from minmax.culprits import about_files, about_options, bug_in_parsing
from minmax.errors import UserError
from minmax.run_config import about_its_folder
from minmax.trust import import_own, reworded

CLASSES = [
    name
    for module in (datamodules, gan_modules, networks, tricks)
    for name, _ in getmembers(module, isclass)
]
"""Those that need no import path."""
LONGEST = 4000
"""Characters of a message: it may hold a whole value that was given."""


class Parser(LightningArgumentParser):
    """Lightning's parser, with errors that are raised and name what may have been meant.

    A run's own `config.yaml` is about the folder it lies in.
    """

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Read a file of options."""
        read = super().parse_path(path, *args, **kwargs)
        options: Namespace = about_its_folder(read, Path(os.path.expanduser(path)))
        return options

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


def likely(wrong: str, known: list[str]) -> str:
    """A question for the most similar of the known names, if there is one."""
    by_lower = {name.lower(): name for name in known}
    similar = get_close_matches(wrong.lower(), by_lower, 1)
    return f". Did you mean {by_lower[similar[0]]}?" if similar else ""


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


def one_line(message: str) -> str:
    """What a person needs of jsonargparse's messages, which list all that a value is not."""
    noise = (
        "Does not validate against|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value|"
        "Expected a path but"
    )
    lines = [line.strip().removeprefix("- ") for line in reworded(message).splitlines()]
    kept = [line for line in lines if line and not re.match(noise, line)]
    text = re.sub(r'^Parser key "([\w.]+)":', r"--\1:", " ".join(kept))
    text = re.sub(r'Parser key "([\w.]+)":', r"\1:", text)
    if unknown := re.search(r"dot import path string: (\S+)$", text):
        text += likely(unknown[1], CLASSES)
    if re.search(r"\bclasses: Expected a", text):
        text = f"--data.init_args.classes must be a list of names or numbers.{QUOTE}"
    elif "determine a constructor for the tag" in text:
        text += ". Quote what begins with =, <<, !, & or *"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return text.replace(
        "No supported gpu", "--trainer.accelerator auto takes what is there: no gpu"
    )
