"""Reads tuples in options as lists: `(0.5, 0.9)` is `[0.5, 0.9]`."""

import ast
from functools import cache
from typing import Any

from jsonargparse import get_loader, set_loader
from jsonargparse._loaders_dumpers import get_yaml_default_loader
from yaml import YAMLError

TAG = "tag:yaml.org,2002:python/tuple"


@cache
def read_tuples() -> None:
    """Have jsonargparse read tuples from now on, in configs and on the command line."""
    load = get_loader("yaml")
    get_yaml_default_loader().add_constructor(  # type: ignore[no-untyped-call]
        TAG, lambda loader, node: loader.construct_sequence(node, deep=True)
    )
    set_loader("yaml", lambda text: with_lists(load(text)), (YAMLError,))


def with_lists(value: Any) -> Any:
    """Replace each text that is a tuple of numbers by a list, also in nested values."""
    if isinstance(value, dict):
        return {key: with_lists(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_lists(inner) for inner in value]
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        try:
            literal = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
        if isinstance(literal, tuple) and all(isinstance(x, int | float) for x in literal):
            return list(literal)
    return value
