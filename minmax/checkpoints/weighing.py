"""Checks the size of a checkpoint's contents before anything is built from them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minmax.files import check_archive

DEPTH = 50
VALUES = 100_000
"""How many repetitions of stored values a checkpoint may have, besides ten times each."""
OPTIONS = 10_000
TEXT = 10_000
"""Characters of an option at most."""
NUMBER = 2**53
Shapes = dict[str, tuple[int, ...]]
PLAIN = (bool, int, float, str, type(None))


def load_weighed(file: Path, mmap: bool = False) -> Any:
    """Load what `torch.save` wrote, without running code in it.

    Args:
        file: from anybody.
        mmap: read tensors from the disk when they are used.

    Raises:
        ValueError: it is damaged, unpacks to more bytes than it has, or needs far more memory.
        Exception: whatever torch raises about a damaged file, or about code in it.
    """
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > size:
        raise ValueError(f"it would unpack {unpacked:,} bytes")
    check_archive(file)
    content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    check_contents(content, size)
    return content


def check_contents(checkpoint: Any, size: int) -> None:
    """Refuse values that need far more memory than their file, whose size is in bytes.

    Raises:
        ValueError: there are such values.
    """
    seen: dict[int, int] = {}
    tensors: list[Tensor] = []
    repeated = count(checkpoint, seen, tensors, 0)
    if repeated > len(seen) * 10 + VALUES:
        raise ValueError(f"it repeats its values {repeated:,} times")
    if any(t.layout != torch.strided or t.device.type != "cpu" for t in tensors):
        raise ValueError("it holds tensors without values")
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if needed > 4 * size:
        raise ValueError(f"its tensors would take {needed:,} bytes")


def count(value: Any, seen: dict[int, int], tensors: list[Tensor], depth: int) -> int:
    """Number of values in a tree; a shared subtree counts each time that it occurs.

    Args:
        value: the tree.
        seen: counts of the subtrees, by identity; -1 while a subtree is being counted.
        tensors: list to which the tree's tensors are added.
        depth: of the value in the whole tree.

    Raises:
        ValueError: the tree contains itself, or is nested too deep.
    """
    if seen.get(id(value)) == -1 or depth > DEPTH:
        raise ValueError("its values contain themselves, or are nested too deep")
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, Tensor):
        tensors.append(value)
    if not isinstance(value, Mapping | list | tuple | set):
        return 1
    seen[id(value)] = -1
    parts = [*value, *value.values()] if isinstance(value, Mapping) else value
    total = 1 + sum(count(part, seen, tensors, depth + 1) for part in parts)
    seen[id(value)] = total
    return total


def check_options(options: Any, name: str = "hyper_parameters") -> int:
    """Refuse a model's options that are not plain values, too many, or too large.

    Returns:
        Their number.

    Raises:
        ValueError: there are such options.
    """
    if isinstance(options, dict):
        if not all(isinstance(key, str) for key in options):
            raise ValueError(f"its {name} have a name that is no text")
        parts = [(f"{name}.{key}", value) for key, value in options.items()]
    elif isinstance(options, list | tuple):
        parts = [(name, value) for value in options]
    elif not isinstance(options, PLAIN):
        raise ValueError(f"its {name} is a {type(options).__name__}")
    elif isinstance(options, str) and len(options) > TEXT:
        raise ValueError(f"its {name} has more than {TEXT:,} characters")
    elif isinstance(options, int) and abs(options) > NUMBER:
        raise ValueError(f"its {name} is more than {NUMBER:,}")
    else:
        return 1
    total = 1
    for place, value in parts:
        total += check_options(value, place)
        if total > OPTIONS:
            raise ValueError(f"it has more than {OPTIONS:,} options")
    return total


def shapes_of(weights: Mapping[str, Tensor]) -> Shapes:
    """The shape of each weight, by its name."""
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def first_difference(held: Shapes, wanted: Shapes) -> str | None:
    """Describe the first weight, by name, whose shape in a checkpoint isn't the model's."""
    for name in sorted(held.keys() | wanted.keys()):
        if held.get(name) != wanted.get(name):
            return (
                f"its {name} is {held.get(name, 'missing')}, the model's is "
                f"{wanted.get(name, 'missing')}"
            )
    return None
