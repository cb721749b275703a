"""Has the networks of a run compiled by torch."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.hooks import RemovableHandle

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.hooks import GANCallback
from minmax.errors import UserError, beginning_of, lies_in

TWICE = "does not currently support double backward|donated buffers"
"""In torch's errors about a compiled network whose gradients are differentiated."""
COMPILER = ("torch._dynamo", "torch._inductor")
"""The packages whose errors say that a network can't be compiled, or not on this machine."""


class Compiled(GANCallback):
    """Has torch compile networks into fewer kernels, which takes minutes at the start.

    The first batch is trained without, to see that its step calls them. Each kind of call (shapes,
    with or without gradients) is compiled when it first comes.

    Args:
        networks: those that are compiled; none by default.
    """

    def __init__(self, networks: list[Literal["generator", "discriminator"]] | None = None) -> None:
        self.networks = networks or []
        self._uncalled = set[str]()
        self._hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the networks' calls."""
        self.rest(not self.networks)
        self._uncalled = {*self.networks}
        self._hooks = [
            getattr(pl_module, name).register_forward_pre_hook(partial(self._called, name))
            for name in self._uncalled
        ]

    def _called(self, name: str, *_: Any) -> None:
        self._uncalled.discard(name)

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """After the first batch, have the networks compiled when they are called next.

        Raises:
            UserError: the step calls other methods of a network, which would stay as they are.
        """
        for hook in self._hooks:
            hook.remove()
        self.rest()
        for name in self._uncalled:
            raise UserError(
                f"`Compiled.networks`: {type(module).__name__}'s step doesn't call the {name} as a "
                f"whole, so that nothing of it would be compiled: leave {name} out"
            )
        rank_zero_info(f"torch compiles the {' and the '.join(self.networks)}: this takes minutes")
        for name in self.networks:
            getattr(module, name).compile()


@contextmanager
def compiling_explained(callbacks: Iterable[Any]) -> Iterator[None]:
    """Turn what torch says of networks that it can't compile into one line.

    Args:
        callbacks: of the training; without a `Compiled` that has networks all errors are bugs.

    Raises:
        UserError: a network can't be compiled.
    """
    try:
        yield
    except Exception as error:
        if not any(isinstance(one, Compiled) and one.networks for one in callbacks):
            raise
        if re.search(TWICE, str(error)):
            raise UserError(
                "`Compiled.networks`: a penalty differentiates gradients of a network in it, which "
                "torch can't compile: leave that network out, or choose another `penalty`"
            ) from error
        if lies_in(type(error).__module__, COMPILER):
            raise UserError(
                f"`Compiled.networks`: torch can't compile a network in it ({beginning_of(error)}):"
                " leave it out"
            ) from error
        raise
