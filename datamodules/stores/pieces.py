"""Data sets that lie in several files of one kind: shards, pieces of a table."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.names import few
from datamodules.split_names import split_of
from minmax.errors import MissingError, UserError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_NUMBERED = re.compile(r"(.*?)(\d+)(?:-of-(\d+))?")
MOST = 100_000


class Piece(NamedTuple):
    """One file.

    Attributes:
        path: of the file.
        split: the split that its name or its folder means, with a slash; empty if none.
    """

    path: Path
    split: str = ""


def is_pattern(root: str) -> bool:
    """Whether a text names many files."""
    return _RANGE.search(root) is not None


def pieces_of(pattern: Path) -> list[Piece]:
    """The files that `name-{000..099}.tar` names.

    Raises:
        MissingError: some of them are not there.
        UserError: the range is empty, or too long.
    """
    paths = [pattern] if pattern.is_file() else [*map(Path, _expanded(str(pattern)))]
    if not 0 < len(paths) <= MOST:
        raise UserError(
            f"`root` is {str(pattern)!r}, which names {len(paths):,} files: give the numbers of the"
            f" first and of the last of at most {MOST:,}, as in name-{{000..099}}.tar."
        )
    if missing := [path.name for path in paths if not path.is_file()]:
        raise MissingError(
            f"`root` is {str(pattern)!r}, but of its {len(paths):,} files {len(missing):,} are not"
            f" there ({few(missing)}): fetch them, or give the range that is there."
        )
    return [Piece(path) for path in paths]


def _expanded(pattern: str) -> Iterator[str]:
    match = _RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    for number in range(first, min(last, first + MOST) + 1):
        yield from _expanded(f"{pattern[: match.start()]}{number:0{width}}{pattern[match.end() :]}")


def pieces_below(folder: Path, suffixes: Sequence[str]) -> list[Piece]:
    """All files of a kind below a folder, with splits if their names or folders mean any.

    Raises:
        MissingError: one is missing in a row of numbers.
    """
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    _refuse_gaps(paths)
    splits = {path: _split_of(path.relative_to(folder)) for path in paths}
    if "train" not in splits.values() or len({*splits.values()}) < 2:
        return [Piece(path) for path in paths]
    return [Piece(path, f"{split}/" if split else "") for path, split in splits.items()]


def _split_of(path: Path) -> str:
    """The split that a file's name means, else its innermost folder that means one."""
    for part in reversed((*path.parts[:-1], path.stem)):
        words = [part, *re.split(r"[-_.]", part)]
        if found := next((split for word in words if (split := split_of(word))), None):
            return found
    return ""


def _refuse_gaps(paths: Sequence[Path]) -> None:
    rows = defaultdict[tuple[Path, str, str | None], set[int]](set)
    for path in paths:
        if match := _NUMBERED.fullmatch(path.stem):
            rows[path.parent, match[1], match[3]].add(int(match[2]))
    for (folder, name, total), numbers in rows.items():
        whole = range(int(total)) if total else range(min(numbers), max(numbers) + 1)
        if missing := [str(number) for number in whole if number not in numbers][:MOST]:
            raise MissingError(
                f"`root` leads to {folder}, whose {len(numbers):,} files {name}* lack the numbers"
                f" {few(missing)}: fetch them, or give the range that is there, as in"
                f" {name}{{0..9}}{paths[0].suffix}."
            )
