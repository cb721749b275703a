"""Counts the work of a step: operations, floating point operations, and allocations."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts everything that is dispatched to a device inside the context.

    torch's own FlopCounterMode doesn't support a gradient penalty's double backward.

    Attributes:
        operations: how often each operation ran, by name (`aten.convolution`); each runs one
            kernel or a few. Views, which run none, are not counted.
        flop: floating point operations of matrix products and convolutions; a multiply-add
            counts as two.
        allocations: number of tensors with newly allocated memory.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()
        self.flop = 0
        self.allocations = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run and count an operation."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        packet = func._overloadpacket
        if func.namespace == "aten" and not func.is_view:
            self.operations[str(packet)] += 1
            given = {t.untyped_storage()._cdata for t in tensors((args, kwargs))}
            self.allocations += sum(
                t.untyped_storage()._cdata not in given for t in tensors(output)
            )
        if packet is torch.ops.aten.convolution_backward:
            self.flop += sum(args[-1][:2]) * of_convolution(args[0], args[1], args[2], args[7])
        elif packet in flop_registry:
            self.flop += flop_registry[packet](*args, **kwargs, out_val=output)
        return output


def of_convolution(gradient: Tensor, maps: Tensor, weight: Tensor, transposed: bool) -> int:
    """Operations of one gradient of a convolution, as many as its own.

    torch's own formula counts all groups for each of a grouped one.
    """
    places = maps if transposed else gradient  # each has all of a group's products
    return 2 * places[:, 0].numel() * weight.numel()


def tensors(values: Any) -> list[Tensor]:
    """All tensors in nested values."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
