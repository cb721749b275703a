"""A training step's work and memory, from tensors that have shapes and no numbers."""

import math
import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from lightning import Trainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.benchmarks.counting import Work
from minmax.benchmarks.driven import NoTrainer, without_trainer


def memory_of(t: Tensor) -> int:
    """What tensors that share their memory have in common."""
    memory: int = t.untyped_storage()._cdata
    return memory


class Held:
    """A tensor that autograd keeps for a backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@dataclass
class Kept:
    """Bytes that autograd keeps, each tensor's memory counted once.

    Attributes:
        not_counted: memory of the weights.
        most: so far.
    """

    not_counted: set[int]
    most: int = 0
    now: int = 0
    holders: Counter[int] = field(default_factory=Counter)

    def hold(self, tensor: Tensor) -> Held:
        """Count a tensor until autograd lets it go."""
        held, memory, size = Held(tensor), memory_of(tensor), tensor.untyped_storage().nbytes()
        if memory not in self.not_counted:
            self.now += size * (not self.holders[memory])
            self.most = max(self.most, self.now)
            self.holders[memory] += 1
            weakref.finalize(held, self.let_go, memory, size)
        return held

    def let_go(self, memory: int, size: int) -> None:
        """Count it no more, if it was its last holder."""
        self.holders[memory] -= 1
        self.now -= size * (not self.holders[memory])


@dataclass
class Step:
    """What a batch needs.

    Attributes:
        flop: operations of matrix products and convolutions, two for each multiply-add; the mean
            over the batches until all terms were due as often as they are.
        kept: most bytes that autograd keeps for backward passes at any time.
    """

    flop: float
    kept: int


def imagined_step(trainer: Trainer, model: GANModule, batch: Batch) -> Step:
    """Run the variant's own step on tensors without numbers, in the trainer's precision.

    Args:
        trainer: of the training.
        model: to be trained; it stays as it is.
        batch: images and classes, of which only shapes and types matter.

    Raises:
        RuntimeError: the step depends on numbers.
    """
    device = trainer.strategy.root_device
    driven = without_trainer(model).to(device)
    lengths = (getattr(part, "every", 1) for part in model.modules())
    batches = model.discriminator_steps * math.lcm(*lengths)  # some count the generator's turns
    flop = dict[tuple[Any, ...], int]()  # by kind of step
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, Work() as work:
        driven._apply(mode.from_tensor)  # type: ignore[no-untyped-call]
        kept = Kept({memory_of(weight) for weight in driven.parameters()})
        total = 0
        for index in range(batches):
            cast(NoTrainer, driven.trainer).global_step = index
            kind = driven.kind_of_step()
            if kind not in flop:
                before = work.flop
                images, classes = (torch.empty_like(given, device=device) for given in batch)
                driven.begin_batch(len(images))
                with (
                    torch.autograd.graph.saved_tensors_hooks(kept.hold, lambda held: held.tensor),
                    trainer.precision_plugin.train_step_context(),
                ):
                    driven.training_step((images, classes), index)
                flop[kind] = work.flop - before
            total += flop[kind]
    return Step(total / batches, kept.most)
