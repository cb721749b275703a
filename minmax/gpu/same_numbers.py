"""The same random numbers on every device: those of the CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class SameNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Has every random operation inside the context draw on the CPU, and copies what it drew.

    A number belongs to a place in the tensor, whatever its memory format is, which a GPU may choose
    otherwise. float64 has the numbers of float32.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation."""
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        if name == "native_dropout":
            return self._dropout(*args)
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator"):
            return func(*args, **kwargs)
        given = args[0]
        device = next((v.device for v in args if isinstance(v, Tensor)), kwargs.get("device"))
        dtype = next((v.dtype for v in args if isinstance(v, Tensor)), kwargs.get("dtype"))
        there = kwargs | ({"device": "cpu"} if "device" in kwargs else {})
        there |= {"dtype": type_drawn(kwargs["dtype"])} if kwargs.get("dtype") else {}
        if name.endswith(("_", "_like")):  # of the first tensor only the form counts
            args = (template(given), *args[1:])
        drawn = func(*tree_map(as_drawn, args), **tree_map(as_drawn, there))
        if name.endswith("_"):
            return given.copy_(drawn)
        if dtype == torch.float64 and drawn.is_floating_point():
            drawn = drawn.double()
        return drawn if device is None else drawn.to(device)

    @staticmethod
    def _dropout(maps: Tensor, share: float, train: bool | None) -> tuple[Tensor, Tensor]:
        """What the CPU does, which has no operation of its own for it."""
        kept = template(maps).bernoulli_(1 - share).to(maps)
        return maps * (kept / (1 - share)), kept.bool()


def type_drawn(dtype: torch.dtype) -> torch.dtype:
    """The type in which random numbers of a type are drawn."""
    return torch.float32 if dtype == torch.float64 else dtype


def template(form: Tensor) -> Tensor:
    """Where the numbers of a tensor are drawn."""
    return torch.empty(form.shape, dtype=type_drawn(form.dtype))


def as_drawn(value: Any) -> Any:
    """A tensor on the CPU, in its memory format and the type drawn; anything else as it is."""
    return value.to("cpu", type_drawn(value.dtype)) if isinstance(value, Tensor) else value
