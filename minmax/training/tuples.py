"""Tuples among options, as Python or YAML writes them: `(0.5, 0.9)` is `[0.5, 0.9]`."""

import ast
from functools import cache
from typing import Any

from jsonargparse import get_loader, set_loader
from jsonargparse._loaders_dumpers import get_yaml_default_loader
from yaml import YAMLError

TAG = "tag:yaml.org,2002:python/tuple"


@cache
def read_tuples() -> None:
    """Have jsonargparse read them, in configs and on the command line, from now on."""
    load = get_loader("yaml")
    get_yaml_default_loader().add_constructor(  # type: ignore[no-untyped-call]
        TAG, lambda loader, node: loader.construct_sequence(node, deep=True)
    )
    set_loader("yaml", lambda text: with_lists(load(text)), (YAMLError,))


def with_lists(value: Any) -> Any:
    """The same with a list in the place of each text that is a tuple of numbers."""
    if isinstance(value, dict):
        return {key: with_lists(held) for key, held in value.items()}
    if isinstance(value, list):
        return [with_lists(held) for held in value]
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        try:
            held = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
        if isinstance(held, tuple) and all(isinstance(part, int | float) for part in held):
            return list(held)
    return value
