"""JSON that every parser reads: numbers that JSON doesn't know become null."""

import json
from math import isfinite
from typing import Any


def finite(values: Any) -> Any:
    """The same, with None in place of numbers that are not finite."""
    if isinstance(values, dict):
        return {key: finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not isfinite(values) else values


def dumps(values: Any, indent: int | None = None) -> str:
    """Values as text."""
    return json.dumps(finite(values), allow_nan=False, indent=indent)


def loads(text: str | bytes) -> Any:
    """Values of a text, also of one that holds NaN or Infinity.

    Raises:
        ValueError: it is no JSON.
    """
    return finite(json.loads(text))
