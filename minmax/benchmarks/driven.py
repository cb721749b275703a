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
    """The attributes of a trainer that a step and its hooks read.

    Attributes:
        optimizers: the generator's, then the discriminator's.
        global_step: number of the discriminator's steps.
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
    """A mixin for a variant, whose step then needs no trainer."""

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizers of torch, without Lightning's wrappers."""
        return self.trainer.optimizers

    def both_optimizers(self) -> Any:
        """The optimizers of torch; `NoTrainer` counts their steps."""
        return self.trainer.optimizers

    def uncounted(self, optimizer: Any) -> Any:
        """An optimizer whose next step isn't counted."""
        cast(NoTrainer, self.trainer).global_step -= 1
        return optimizer

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass with its hooks."""
        self.on_before_backward(loss)
        self.backward(loss, *args, **kwargs)
        self.on_after_backward()

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing."""


def without_trainer(module: GANModule) -> GANModule:
    """A copy of a variant whose step needs no trainer, with new optimizers."""
    memo: dict[int, Any] = {id(vars(module).get("training_step")): None}  # captured, by `StepGraph`
    for part in module.modules():
        for value in tree_leaves(vars(part)):
            if isinstance(value, Tensor) and not value.is_leaf:  # has the last step's graph
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, partial):  # a factory, which holds the parsed command line
                memo[id(value)] = value
    driven = copy.deepcopy(module, memo)
    vars(driven).pop("training_step", None)
    driven.observers = {}
    variant = type(module)
    driven.__class__ = type(f"Driven{variant.__name__}", (WithoutTrainer, variant), {})
    optimizers = cast(list[Optimizer], driven.configure_optimizers())
    for optimizer in optimizers:
        optimizer.register_step_pre_hook(lambda own, *step: driven.on_before_optimizer_step(own))
    driven.trainer = cast(Any, NoTrainer(optimizers))
    driven.logging_due = False
    return driven


class Driven:
    """Trains a copy of a variant by its own step alone.

    Only `begin_batch` and the hooks of the backward pass and the optimizers are called. Nothing is
    logged, and random numbers are not seeded for each batch.

    Args:
        module: the variant to copy.
        loader: of the images.
        bfloat16: run the forward passes under autocast to bfloat16.

    Attributes:
        module: the copy.
        format: memory format of the images; the loader's if it is `torch.preserve_format`.
    """

    def __init__(self, module: GANModule, loader: ResidentLoader, bfloat16: bool) -> None:
        self.module = without_trainer(module)
        self.bfloat16 = bfloat16
        self.format = torch.preserve_format
        loader = copy.copy(loader)  # so that the trainer's own loader doesn't advance
        loader.sampler = copy.copy(loader.sampler)
        loader.current_epoch = count().__next__
        self.batches = endless(loader)

    def step(self) -> int:
        """Train on a batch; return its number of images."""
        index, (images, classes) = next(self.batches)
        device = self.module.device
        batch = images.to(device, memory_format=self.format), classes.to(device)
        self.module.begin_batch(len(images))
        self.train(batch, index)
        return len(images)

    def train(self, batch: Batch, index: int) -> None:
        """Update the networks."""
        with self.autocast(cache_enabled=False):  # like Lightning: updates make the cache stale
            self.module.training_step(batch, index)

    def use_format(self, memory_format: torch.memory_format) -> None:
        """Put networks and images into a memory format."""
        self.format = memory_format
        for network in self.module.children():
            network.to(memory_format=memory_format)

    def autocast(self, cache_enabled: bool = True) -> torch.autocast:
        """The context of forward passes."""
        kind, dtype = self.module.device.type, torch.bfloat16
        return torch.autocast(kind, dtype, enabled=self.bfloat16, cache_enabled=cache_enabled)


def endless(batches: Iterable[Batch]) -> Iterator[tuple[int, Batch]]:
    """Batches without end, each with its number in its epoch."""
    while True:
        yield from enumerate(batches)
