"""A variant's own training step, captured as CUDA graphs and driven without a trainer."""

import gc
from typing import Any, cast

from gan_modules.base import Batch
from gan_modules.bookkeeping.captured import (
    WARM,
    CapturedStep,
    CUDARecorder,
    Recorder,
    why_eager,
)
from minmax.benchmarks.driven import Driven, NoTrainer

MOST_LAZY = 64
"""Steps within which the kinds of steps are expected to repeat."""


class Replayed(Driven):
    """The same step as `Driven`, replayed; arguments are `Driven`'s, and a recorder.

    Raises:
        RuntimeError: it can't be captured.
    """

    def __init__(self, *given: Any, recorder: Recorder | None = None) -> None:
        gc.collect()  # earlier loops, which hold themselves, and with them their graphs
        super().__init__(*given)
        if (reason := why_eager(self.module)) is not None:
            raise RuntimeError(reason)
        trainer: NoTrainer = cast(Any, self.module.trainer)
        step: Any = self.module.training_step

        def count(number: int) -> None:
            trainer.global_step += number

        recorder = recorder or CUDARecorder()
        self.captured = CapturedStep(self.module, step, recorder, count, self.refuse)

    @staticmethod
    def refuse(reason: str) -> None:
        """Fail, where a training would go on without graphs."""
        raise RuntimeError(reason)

    def train(self, batch: Batch, index: int) -> None:
        """Update the networks."""
        with self.autocast(cache_enabled=False):
            self.captured(batch, index)


def warm_steps(loop: Driven) -> int:
    """Steps before the speed is even: each kind of step has run, or was captured."""
    turns = loop.module.discriminator_steps * (WARM + 2)
    return max(turns, period(loop) * (WARM + 2 if isinstance(loop, Replayed) else 1))


def period(loop: Driven) -> int:
    """Steps until the kinds of steps repeat: whole turns of the generator, more with lazy terms."""
    trainer: NoTrainer = cast(Any, loop.module.trainer)
    first, kinds = trainer.global_step, list[Any]()
    for number in range(2 * MOST_LAZY):
        trainer.global_step = first + number
        kinds.append(loop.module.kind_of_step())
    trainer.global_step = first
    cycle = loop.module.discriminator_steps
    lengths = range(cycle, MOST_LAZY + 1, cycle)
    return next((length for length in lengths if kinds[length:] == kinds[:-length]), cycle)
