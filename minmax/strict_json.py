"""JSON that every parser reads: NaN and infinity become null."""

import json
from math import isfinite
from typing import Any


def finite(values: Any) -> Any:
    """Replace numbers that are not finite by None."""
    if isinstance(values, dict):
        return {key: finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not isfinite(values) else values


def dumps(values: Any, indent: int | None = None) -> str:
    """Values as text."""
    return json.dumps(finite(values), allow_nan=False, indent=indent)


def loads(text: str | bytes) -> Any:
    """Parse a text, in which NaN and Infinity may occur.

    Raises:
        ValueError: it is no JSON.
    """
    return finite(json.loads(text))
