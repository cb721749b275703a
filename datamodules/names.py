"""Names of files and classes as text that is safe to print."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """Text without characters that a terminal obeys: they are written as Python escapes.

    The name of a file can hold escape codes, line breaks, marks that turn the direction of
    writing, and bytes that are not UTF-8.
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names, printable, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def short(name: str, longest: int = 200) -> str:
    """A name, without its middle if it is longer than `longest`."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}...{name[-half:]}"
