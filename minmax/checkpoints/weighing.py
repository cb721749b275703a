"""Whether what a checkpoint says of itself can be true, before anything is made of it."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DEPTH = 50
VALUES = 100_000
"""Values that may stand in a checkpoint more often than they are stored."""
OPTIONS = 10_000
TEXT = 10_000
"""Characters of an option at most."""
NUMBER = 2**53
Shapes = dict[str, tuple[int, ...]]
PLAIN = (bool, int, float, str, type(None))


def check_unpacked(path: Path) -> None:
    """Refuse a file that torch would unpack into more than it is.

    Raises:
        ValueError: it would, or is no archive of torch's.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"it would unpack {unpacked:,} bytes")


def check_contents(checkpoint: Any, size: int) -> None:
    """Refuse values that take more memory than the file, and states that lead elsewhere.

    Args:
        checkpoint: what was read.
        size: of the file, in bytes.

    Raises:
        ValueError: there are such values or states.
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
    if isinstance(checkpoint, dict):
        for state in mappings(checkpoint.get("callbacks")):
            check_places(state)


def count(value: Any, seen: dict[int, int], tensors: list[Tensor], depth: int) -> int:
    """Number of values in a value, each as often as it stands there.

    Args:
        value: a tree, in which parts may stand several times.
        seen: counts of the parts, by their identity; -1 while they are counted.
        tensors: to which those of the tree are added.
        depth: of the value in the tree.
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


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The dictionaries in a dictionary."""
    held = value.values() if isinstance(value, Mapping) else []
    return [state for state in held if isinstance(state, Mapping)]


def check_places(state: Mapping[str, Any]) -> None:
    """Refuse the state of a checkpoint callback with files outside of its own folder.

    Lightning removes those files when better ones come.

    Raises:
        ValueError: there is such a file.
    """
    best = state.get("best_k_models")
    named = [*best] if isinstance(best, Mapping) else []
    named += [state.get(f"{kind}_model_path") for kind in ("best", "kth_best", "last")]
    for file in named:
        if not file:
            continue
        folder = state.get("dirpath")
        if not isinstance(file, str) or not isinstance(folder, str) or "://" in file:
            raise ValueError(f"its state names the file {file} without a folder")
        if Path(folder).resolve() not in Path(file).resolve().parents:
            raise ValueError(f"its state names the file {file} outside of {folder}")
        if not file.endswith(".ckpt"):
            raise ValueError(f"its state names {file}, which is no checkpoint")


def check_options(options: Any, name: str = "hyper_parameters") -> int:
    """Refuse options of a model that are no plain values, too many, or too large.

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
    """The first weight, by name, whose shape in a checkpoint is not the model's; None if all are.

    Args:
        held: in the checkpoint.
        wanted: by the model.
    """
    for name in sorted(held.keys() | wanted.keys()):
        if held.get(name) != wanted.get(name):
            return (
                f"its {name} is {held.get(name, 'missing')}, the model's is "
                f"{wanted.get(name, 'missing')}"
            )
    return None
