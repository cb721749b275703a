"""Checks whether the tensors of a checkpoint are finite."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn


def saved_tensors(
    state_dict: Mapping[str, Tensor], optimizer_states: Iterable[Mapping[str, Any]]
) -> dict[str, Tensor]:
    """All floating-point tensors of a model and its optimizers that a checkpoint saves, by name."""
    tensors = dict(state_dict)
    for index, optimizer in enumerate(optimizer_states):
        for number, values in optimizer["state"].items():
            for name, value in values.items():
                tensors[f"{name} of weight {number} in optimizer {index}"] = value
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def all_finite(tensors: Mapping[str, Tensor]) -> Tensor:
    """Whether all values are finite, as a boolean scalar on the tensors' device."""
    return nn.utils.get_total_norm(tensors.values(), norm_type=float("inf")).isfinite()


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a value that is not finite; None if there is none."""
    if all_finite(tensors):
        return None
    return next(name for name, values in tensors.items() if not values.isfinite().all())
