"""Paths: `~` is the home folder, `$NAME` an environment variable; where the cache lies."""

import os
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minmax.errors import UserError


def cache_folder() -> Path:
    """`$MINMAX_CACHE`, else `minmax` in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(expanded(os.environ.get("MINMAX_CACHE", "")) or Path(user) / "minmax")


def expanded(text: str) -> str:
    """Replace `~` and environment variables in a text.

    Raises:
        UserError: it is a path with an unset variable or an unknown user.
    """
    place = os.path.expanduser(os.path.expandvars(text))
    unknown = re.match("(~[^/]*)/", place) or re.search(r"(?:^|/)(\$\w+|\$\{.*)", place)
    if unknown and "/" in place:
        raise UserError(
            f"{text}: nothing is known here that {unknown[1]} could stand for. Give the path itself"
        )
    return place


def expanded_argument(argument: str) -> str:
    """Expand an argument, or the value of `--option=VALUE`; lists stay unchanged."""
    option, equals, value = "", "", argument
    if argument.startswith("--"):
        option, equals, value = argument.partition("=")
    return argument if value[:1] in ("[", "{") else option + equals + expanded(value)


def mapped(options: Any, change: Callable[[str], str]) -> Any:
    """Nested options with every text changed, except in lists, which hold names.

    Namespaces and dictionaries are changed in place.
    """
    if isinstance(options, Namespace | dict):
        values = options if isinstance(options, dict) else vars(options)
        for name, value in values.items():
            values[name] = mapped(value, change)
    elif isinstance(options, list):
        return [value if isinstance(value, str) else mapped(value, change) for value in options]
    elif isinstance(options, str):
        return change(options)
    return options
