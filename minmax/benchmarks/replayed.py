"""A variant's own training step, captured as CUDA graphs and driven without a trainer."""

from typing import Any, cast

from gan_modules.base import Batch
from gan_modules.bookkeeping.captured import CapturedStep, CUDARecorder, Recorder, why_eager
from minmax.benchmarks.driven import Driven, NoTrainer


class Replayed(Driven):
    """The same step as `Driven`, replayed; arguments are `Driven`'s, and a recorder.

    Raises:
        RuntimeError: it can't be captured.
    """

    def __init__(self, *given: Any, recorder: Recorder | None = None) -> None:
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
