"""Reads a training's logged values and weights, and compares two trainings bit by bit."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_modules.bookkeeping.older import renew
from minmax.scalars import read_scalars

CLOCK = "time/"
"""Prefix of values that differ in any two trainings."""


@dataclass(frozen=True)
class Recorded:
    """The results of one training.

    Attributes:
        values: for each log name, the logged values by images seen.
        tensors: by name, the final weights, buffers and states of the optimizers.
    """

    values: Mapping[str, Mapping[int, float]]
    tensors: Mapping[str, Tensor]


def read(run: Path) -> Recorded:
    """Read a run's folder; names are translated to today's."""
    values = {
        name: dict(zip(*series, strict=True))
        for name, series in read_scalars(run).items()
        if not name.startswith(CLOCK)
    }
    saved = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    renew(saved)
    tensors = dict(saved["state_dict"])
    for number, optimizer in enumerate(saved["optimizer_states"]):
        tensors |= dict(_flat(optimizer["state"], f"optimizer{number}"))
    return Recorded(values, tensors)


def differences(old: Recorded, new: Recorded, batch_size: int, ignored: str = "") -> list[str]:
    """One line for each value or group of tensors of the old that isn't bit-identical in the new.

    Values and tensors that only the new has are no difference.

    Args:
        old: the training before the change.
        new: the training after the change.
        batch_size: images in a batch.
        ignored: regular expression that matches whole names to leave out; none if empty.
    """

    def kept(names: Mapping[str, Any]) -> list[str]:
        return [name for name in names if not re.fullmatch(ignored, name)]

    lines = [
        found
        for name in kept(old.values)
        if (found := _values_differ(name, old.values[name], new.values.get(name), batch_size))
    ]
    changed = {
        name: found
        for name in kept(old.tensors)
        if (found := _tensors_differ(old.tensors[name], new.tensors.get(name)))
    }
    for group in dict.fromkeys(_group(name) for name in old.tensors):
        own = {name: found for name, found in changed.items() if _group(name) == group}
        if own:
            name, found = next(iter(own.items()))
            lines.append(f"{group}: {len(own)} tensors, the first {name} {found}")
    return lines


def _flat(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from _flat(value, f"{name}.{key}")


def _group(name: str) -> str:
    return name.split(".")[0]


def _values_differ(
    name: str, old: Mapping[int, float], new: Mapping[int, float] | None, batch_size: int
) -> str | None:
    if new is None:
        return f"{name}: missing in the new"
    unequal = sorted(
        images
        for images in old.keys() | new.keys()
        if images not in old or images not in new or not _same(old[images], new[images])
    )
    if not unequal:
        return None
    both = [abs(old[images] - new[images]) for images in unequal if images in old and images in new]
    largest = f"by {max(both):.3g} at most" if both else "in when it was logged"
    return f"{name}: from batch {unequal[0] // batch_size} on, {largest}"


def _same(old: float, new: float) -> bool:
    return old == new or (old != old and new != new)


def _tensors_differ(old: Tensor, new: Tensor | None) -> str | None:
    if new is None:
        return "missing in the new"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"is {new.dtype} {list(new.shape)}, was {old.dtype} {list(old.shape)}"
    if torch.equal(_bytes(old), _bytes(new)):
        return None
    return f"by {(old.double() - new.double()).abs().max().item():.3g} at most"


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
