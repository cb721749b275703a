"""Places as people write them: `~` for the home folder, `$NAME` for a variable."""

import os
import re
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from minmax.errors import UserError


def expanded(text: str) -> str:
    """The text with its `~` and its variables of the environment replaced.

    Raises:
        UserError: it is a path, and names a variable that is not set, or an unknown user.
    """
    place = os.path.expanduser(os.path.expandvars(text))
    unknown = re.match("(~[^/]*)/", place) or re.search(r"(?:^|/)(\$\w+|\$\{.*)", place)
    if unknown and "/" in place:
        raise UserError(
            f"{text}: nothing is known here that {unknown[1]} could stand for. Give the path itself"
        )
    return place


def expanded_argument(argument: str) -> str:
    """An argument of a command, or the value in `--option=VALUE`, expanded; not lists of names."""
    option, equals, value = "", "", argument
    if argument.startswith("--"):
        option, equals, value = argument.partition("=")
    return argument if value[:1] in ("[", "{") else option + equals + expanded(value)


def mapped(options: Any, change: Callable[[str], str]) -> Any:
    """Nested options with all texts changed, but for those in lists, which are names.

    Namespaces and dictionaries are changed in place.
    """
    if isinstance(options, Namespace | dict):
        held = options if isinstance(options, dict) else vars(options)
        for name, value in held.items():
            held[name] = mapped(value, change)
    elif isinstance(options, list):
        return [value if isinstance(value, str) else mapped(value, change) for value in options]
    elif isinstance(options, str):
        return change(options)
    return options
