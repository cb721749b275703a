"""Captured steps, with a stand-in for CUDA graphs that records and replays on the CPU."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_modules import GAN, GANModule
from gan_modules.bookkeeping.captured import WARM, CapturedStep
from gan_modules.parts import LazyPenalty, LinearSchedule, OptimizerSchedule, R1
from minmax.callbacks import StepGraph
from tests.gan_modules.helpers import (
    AfterBatch,
    RecordingLogger,
    TinyImages,
    copied,
    fit,
    make_batches,
    make_model,
)
from tests.gan_modules.test_parts import FUSED, OPTIONS

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:.*logging interval.*"
)


class Operations(TorchDispatchMode):
    """The operations that ran, with all numbers that they were given: what a graph contains."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[tuple[str, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = tree_leaves((args, kwargs))
        numbers = [v for v in leaves if isinstance(v, int | float | bool)]
        self.ran.append((str(func), numbers))
        return func(*args, **(kwargs or {}))


class StandIn:
    """Records a function by running it and undoing what it did to tensors; replays it likewise.

    A replay has to run the recorded operations with the recorded numbers, and what it does on the
    host is undone: a graph knows nothing of it.
    """

    def __init__(self, model: GANModule) -> None:
        self.model = model
        self.warmed = self.replays = 0

    def warm(self, step: Callable[[], None]) -> None:
        self.warmed += 1
        step()

    def state(self) -> list[Tensor]:
        optimizers = [o.state for o in self.model.trainer.optimizers]
        states = [v for state in optimizers for s in state.values() for v in s.values()]
        return [*self.model.state_dict(keep_vars=True).values(), *self.model.buffers(), *states]

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        tensors = self.state()
        before, random = [t.detach().clone() for t in tensors], torch.get_rng_state()
        recorded = Operations()
        with recorded:
            step()
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        torch.set_rng_state(random)

        def replay() -> None:
            self.replays += 1
            captured = self.model.training_step
            assert isinstance(captured, CapturedStep)
            host = self.model.trainer.global_step
            self.model.recording = True
            again = Operations()
            # The count was raised before: the step asks for the number of updates before it.
            captured.count(-1)
            with captured.rates.held(capturing=True), again:
                step()
            captured.count(host - self.model.trainer.global_step)
            self.model.recording = False
            assert again.ran == recorded.ran, "a replay would do something else"

        return replay


class Recorded(StepGraph):
    """Steps on the CPU, recorded by a stand-in."""

    def __init__(self) -> None:
        super().__init__(True)

    def reason(self, trainer: Any, module: GANModule) -> str | None:
        self.stand_in = StandIn(module)
        return None

    def recorder(self) -> Any:
        return self.stand_in

    def after_batch(self, trainer: Any, module: GANModule, batch: Any) -> None:
        self.captured: Any = module.training_step


def train(
    name: str, count: int, *callbacks: Callback, **options: Any
) -> tuple[dict[str, Tensor], list[Any], GANModule]:
    """Train, and return all that the model is made of, what was logged, and the model."""
    variant, chosen = OPTIONS[name][0], deepcopy(OPTIONS[name][1])
    fused = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    model = make_model(variant, **(fused | chosen), ema_half_life_images=30)
    model.trainer = None
    logger = RecordingLogger()
    data = TinyImages() if "asked_classes" in chosen else make_batches(4, size=chosen.get("image_size", 4))
    limits = {"max_epochs": -1, "max_steps": count, "log_every_n_steps": 6}
    fit(model, data, callbacks, logger=logger, **(limits | options))
    timeless = [
        (step, {n: v for n, v in values.items() if not n.startswith("time/")})
        for step, values in logger.records
    ]
    return copied(model), timeless, model
