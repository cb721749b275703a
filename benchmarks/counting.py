"""Counts the work of a step: operations by name, and floating point operations."""

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts all that is dispatched to a device while it is entered.

    torch's own FlopCounterMode can't be entered around a gradient penalty's double backward.

    Attributes:
        operations: how often each operation ran, by its name (`aten.convolution`).
        flop: floating point operations of matrix products and convolutions, a
            multiply-and-add as two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()
        self.flop = 0

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
        self.operations[str(packet)] += 1
        if packet in flop_registry:
            self.flop += flop_registry[packet](*args, **kwargs, out_val=output)
        return output
