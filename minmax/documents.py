"""YAML that can't exhaust the machine, whoever wrote it."""

import stat
from pathlib import Path
from typing import Any

import yaml

from minmax.errors import UserError

CHARACTERS = 2**20
"""At most in a document; a configuration has some 3,000."""
SCALAR = 10_000
"""Characters of one value at most: such long numbers take seconds to read."""
NODES = 50_000
"""Values of a document at most, counted as often as aliases repeat them."""
DEPTH = 30
MERGE = "tag:yaml.org,2002:merge"
Fast: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RefusedError(UserError):
    """A document that is too large, or has a key twice, of which YAML would drop the first."""

    def __init__(self, why: str) -> None:
        super().__init__(f"YAML is refused: {why}")


class Bounded:
    """A mixin for loaders, which then refuse what is too large, and keys that stand twice."""

    def __init__(self, text: str) -> None:
        check_extent(text)
        super().__init__(text)  # type: ignore[call-arg]

    def get_single_node(self) -> Any:
        """The document's nodes."""
        document = super().get_single_node()  # type: ignore[misc]
        refuse_repeats(document)
        return document


class Loader(Bounded, Fast):  # type: ignore[misc]
    """Of plain values."""


def refuse_repeats(document: Any) -> None:
    """Refuse nodes in which a mapping has a key twice, by its text, except merge keys (`<<`)."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            before = set[tuple[str, str]]()
            for key in keys:
                if (key.tag, key.value) in before and key.tag != MERGE:
                    line = key.start_mark.line + 1
                    raise RefusedError(f"the key {key.value} stands twice, again in line {line}")
                before.add((key.tag, key.value))


def check_extent(text: str) -> None:
    """Refuse a document that is too large, or would be with its aliases expanded.

    It counts the parser's events, and so builds nothing and expands nothing.

    Raises:
        RefusedError: it is too large, too deep, or contains itself.
        yaml.YAMLError: it is no YAML.
    """
    if len(text) > CHARACTERS:
        raise RefusedError(f"it has more than {CHARACTERS:,} characters")
    sizes: dict[str, int] = {}  # by anchor, once its value is complete
    open_: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and count so far
    for event in yaml.parse(text, Fast):
        size, anchor = 0, getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((anchor, 1))
            if len(open_) > DEPTH:
                raise RefusedError(f"its values are nested more than {DEPTH} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == outer for outer, _ in open_):
                raise RefusedError(f"its &{anchor} contains itself")
            size, anchor = sizes.get(event.anchor, 1), None
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if len(event.value) > SCALAR:
                raise RefusedError(f"a value of it has more than {SCALAR:,} characters")
        if anchor is not None:
            sizes[anchor] = size
        outer, count = open_[-1]
        open_[-1] = (outer, count + size)
        if count + size > NODES:
            raise RefusedError(f"it has more than {NODES:,} values, counting what aliases repeat")


def load(text: str) -> Any:
    """Parse a document into plain values.

    Raises:
        yaml.YAMLError: it is no YAML, names Python objects, is too large, or has a key twice.
    """
    try:
        return yaml.load(text, Loader)
    except (ValueError, RecursionError) as error:  # refused, or an invalid number or date
        raise yaml.YAMLError(str(error)) from error


def read(file: str | Path) -> Any:
    """Read a file into plain values.

    Raises:
        OSError: it can't be read.
        yaml.YAMLError: it is no YAML, names Python objects, is too large, or has a key twice.
    """
    check_size(file)
    return load(Path(file).read_text())


def read_own(file: Path, *wanted: str) -> dict[str, Any]:
    """Read a file that a command has written.

    Raises:
        UserError: it is damaged, or lacks a wanted key.
    """
    try:
        content: dict[str, Any] = read(file)
        for name in wanted:
            content[name]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({error}): put a copy in its place, or delete its folder"
        ) from error
    return content


def check_size(file: str | Path) -> None:
    """Refuse, before reading, a file that is too large or not a regular file.

    Raises:
        OSError: it isn't there.
        yaml.YAMLError: it is too large, or no file.
    """
    found = Path(file).stat()
    if not stat.S_ISREG(found.st_mode):
        raise yaml.YAMLError(f"{file} is no file")
    if found.st_size > 4 * CHARACTERS:  # bytes
        raise yaml.YAMLError(f"{file} has more than {CHARACTERS:,} characters")
