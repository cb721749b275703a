"""Has the training steps of a run captured as CUDA graphs."""

from functools import partial
from inspect import signature
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from gan_modules import GANModule
from gan_modules.bookkeeping.captured import CapturedStep, CUDARecorder, Recorder, why_eager
from minmax.callbacks.hooks import GANCallback
from minmax.lightning_inside import count_steps

IN_STEPS = (
    *("on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
"""Hooks that are called within a step, and that a replay would leave out."""


class StepGraph(GANCallback):
    """Replays each kind of training step as a CUDA graph, which a GPU begins at once.

    Losses, counts, callbacks, logs and checkpoints are those of a training without it. Where it is
    known that steps can't be captured, a line says why, and they are trained as always. What a step
    keeps in numbers of Python, and not in tensors that it changes in place, stands still.

    Args:
        enabled: whether steps are captured.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the captured step in the step's place."""
        assert isinstance(pl_module, GANModule)
        if not self.enabled or not self.possible(pl_module.device):
            return
        if (reason := self.reason(trainer, pl_module)) is not None:
            rank_zero_info(f"Trains without a CUDA graph: {reason}")
            return
        step: Any = pl_module.training_step
        captured = CapturedStep(
            pl_module, step, self.recorder(), partial(count_steps, trainer), rank_zero_info
        )
        pl_module.training_step = captured  # type: ignore[method-assign]

    def reason(self, trainer: Trainer, module: GANModule) -> str | None:
        """Why the steps can't be captured; None if nothing is known against it."""
        if len(signature(module.training_step).parameters) != 2:
            return f"{type(module).__name__}.training_step must take a batch and its number"
        owners = [(type(module), GANModule), *((c, Callback) for c in trainer.callbacks)]  # type: ignore[attr-defined]
        for hook in IN_STEPS:
            for owner, base in owners:
                own = getattr(owner, hook)
                if getattr(own, "__func__", own) is not getattr(base, hook):
                    return f"{own.__qualname__} has to run in each step"
        return why_eager(module)

    @staticmethod
    def possible(device: torch.device) -> bool:
        """Whether this kind of device has graphs."""
        return device.type == "cuda"

    @staticmethod
    def recorder() -> Recorder:
        """The recorder of the device."""
        return CUDARecorder()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the variant's own step back, and free the graphs' memory."""
        captured = vars(pl_module).pop("training_step", None)
        if isinstance(captured, CapturedStep):
            captured.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Do so here, too: after an exception Lightning calls no `teardown`."""
        self.teardown(trainer, pl_module, "fit")
