"""A variant's own training step, driven without a trainer: the limit of its speed."""

import copy
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from datamodules.loader import ResidentLoader
from gan_modules import GANModule
from gan_modules.base import Batch


class NoTrainer:
    """What a step and its hooks read of a trainer.

    Attributes:
        optimizers: the generator's first, the discriminator's second.
        global_step: steps of the discriminator's.
    """

    world_size = 1
    global_rank = 0
    current_epoch = 0
    log_every_n_steps = 0
    lr_scheduler_configs: tuple[()] = ()
    precision_plugin = None

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers = optimizers
        self.global_step = 0
        optimizers[1].register_step_post_hook(self._count)

    def _count(self, *step: Any) -> None:
        self.global_step += 1


class WithoutTrainer(GANModule):
    """Mixed into a variant, does what a step asks of its trainer."""

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """Those of torch."""
        return self.trainer.optimizers

    def both_optimizers(self) -> Any:
        """Those of torch: `NoTrainer` counts the steps."""
        return self.trainer.optimizers

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Differentiate, with the hooks around it."""
        self.on_before_backward(loss)
        self.backward(loss, *args, **kwargs)
        self.on_after_backward()

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


def without_trainer(module: GANModule) -> GANModule:
    """A copy of a variant whose step needs no trainer; its optimizers are new."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in tree_leaves(vars(part)):
            if isinstance(value, Tensor) and not value.is_leaf:  # of the last step's graph
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, partial):  # a factory, with all that the command line has read
                memo[id(value)] = value
    driven = copy.deepcopy(module, memo)
    variant = type(module)
    driven.__class__ = type(f"Driven{variant.__name__}", (WithoutTrainer, variant), {})
    optimizers = cast(list[Optimizer], driven.configure_optimizers())
    for optimizer in optimizers:
        optimizer.register_step_pre_hook(lambda own, *step: driven.on_before_optimizer_step(own))
    driven.trainer = cast(Any, NoTrainer(optimizers))
    driven.logging_due = False
    return driven


class Driven:
    """Trains a copy of a variant by its own step, and by nothing else of a training.

    Of the hooks, those of the backward pass and the optimizers are called, and `begin_batch`. No
    batch is logged, nor has random numbers of its own.

    Args:
        module: what is copied.
        loader: the images, batches by index from one tensor.
        bfloat16: run the forward passes under autocast to bfloat16.

    Attributes:
        module: the copy.
        format: memory format of the images; the loader's if it is `torch.preserve_format`.
    """

    def __init__(self, module: GANModule, loader: ResidentLoader, bfloat16: bool) -> None:
        self.module = without_trainer(module)
        self.bfloat16 = bfloat16
        self.format = torch.preserve_format
        loader = copy.copy(loader)  # the trainer's stays where it is
        loader.sampler = copy.copy(loader.sampler)
        loader.current_epoch = count().__next__
        self.batches = endless(loader)

    def step(self) -> int:
        """Train on a batch; its number of images."""
        index, (images, classes) = next(self.batches)
        device = self.module.device
        batch = images.to(device, memory_format=self.format), classes.to(device)
        self.module.begin_batch(len(images))
        self.train(batch, index)
        return len(images)

    def train(self, batch: Batch, index: int) -> None:
        """Update the networks."""
        with self.autocast(cache_enabled=False):  # as the trainer: an update makes it stale
            self.module.training_step(batch, index)

    def use_format(self, memory_format: torch.memory_format) -> None:
        """Keep networks and images in a memory format."""
        self.format = memory_format
        for network in self.module.children():
            network.to(memory_format=memory_format)

    def autocast(self, cache_enabled: bool = True) -> torch.autocast:
        """Where forward passes run."""
        kind, dtype = self.module.device.type, torch.bfloat16
        return torch.autocast(kind, dtype, enabled=self.bfloat16, cache_enabled=cache_enabled)


def endless(batches: Iterable[Batch]) -> Iterator[tuple[int, Batch]]:
    """Batches without end, each with its number in its epoch."""
    while True:
        yield from enumerate(batches)
