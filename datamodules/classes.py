"""Classes selected by name or by number."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from jsonargparse import get_loader

from datamodules.names import few
from minmax.errors import UserError

Class = str | int | float | bool | None
"""A class' name or number; also what YAML makes of a name such as `yes`, `1e3` or `null`."""
Classes = Sequence[Class] | None

QUOTE = """ YAML doesn't read yes, no, on, off, null and numbers as text: '["yes", "no"]'."""

_SHOWN = 20


def select_classes(available: Sequence[str], wanted: Classes) -> list[int]:
    """Return the labels of the `wanted` classes; None means all.

    A text is the name of a class. Any other value is the class whose name YAML reads as this
    value. If there is none, a number is a label, unless all names are numbers.

    Raises:
        UserError: a class is unknown, unclear or named twice, or the list is empty.
    """
    if wanted is None:
        return list(range(len(available)))
    shown = few([f"{index}: {name}" for index, name in enumerate(available)], _SHOWN)
    selected: list[int] = []
    for value in wanted:
        holds = f"`classes` holds {value!r}"
        named = called(value, available)
        number = _number(value, available)
        unclear = number is not None and bool(named) and str(value) not in named
        if len(named) > 1 or unclear:
            meant = few([*named, *[f"number {number}"] * unclear], _SHOWN)
            raise UserError(
                f"{holds}, as YAML reads what was written, and this can be {meant}: quote the"
                f" name, as in `classes` '[\"{named[0]}\"]'."
            )
        label = list(available).index(named[0]) if named else number
        if label is None:
            quote = "" if isinstance(value, str) else QUOTE
            raise UserError(
                f"{holds}, which is no class of this data set: choose names or numbers from"
                f" {shown}.{quote}"
            )
        if label in selected:
            raise UserError(f"{holds} twice: name each of its classes once (there are {shown}).")
        selected.append(label)
    if not selected:
        raise UserError(
            f"`classes` is an empty list: choose from {shown}, or leave the option"
            " out for all classes."
        )
    return selected


def called(value: Class, available: Sequence[str]) -> list[str]:
    """Names of the classes that a value can mean, as it was written or as YAML reads it."""
    if isinstance(value, str):
        return [value] * (value in available)
    return _by_reading(tuple(available)).get(repr(value), [])


@cache
def _by_reading(available: tuple[str, ...]) -> dict[str, list[str]]:
    """Names by the `repr` of what YAML reads: 1, 1.0 and True are equal, and nan is not nan."""
    names = defaultdict[str, list[str]](list)
    for name in available:
        names[repr(_read(name))].append(name)
    return dict(names)


def _number(value: Class, available: Sequence[str]) -> int | None:
    """The label that a value means; None if it means none."""
    if isinstance(value, str) and value.isdecimal() and value == str(int(value)):
        value = int(value)
    if type(value) is not int or not 0 <= value < len(available):
        return None
    numbers = all(type(_read(name)) in (int, float) or name.isdecimal() for name in available)
    return None if numbers else value


@cache
def _read(name: str) -> Class:
    """What YAML reads in a name."""
    try:
        read: Class = get_loader("yaml")(name)
    except Exception:  # YAML raises many types
        return name
    return read
