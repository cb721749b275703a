"""Ends a run whose losses are not finite, or returns it to its newest checkpoint."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.hooks import GANCallback
from minmax.callbacks.last_checkpoint import saver_of
from minmax.checkpoints.finite_values import all_finite, first_not_finite, saved_tensors
from minmax.errors import UserError
from minmax.files import check_archive

MOST_UNREAD = 1000
"""Batches after which losses are read even if none was logged."""


class Finite(GANCallback):
    """Stops when a loss is not finite, and names it and the batch; or returns to `last.ckpt`.

    Losses of all batches are read at every log, save and validation: reading them in each batch
    would make a GPU wait. Weights and optimizers' states are checked then, too.
    Checkpoints with such values are refused (`minmax/checkpoints/whole.py`), so the newest one is
    good. A run that may return is also saved before its first batch.

    Args:
        returns: how often the run may return to its newest checkpoint: it takes the weights,
            averages and optimizers from there, and goes on with the next images. 0: the run ends.
        rates_times: factor of all learning rates at each return.

    Raises:
        UserError: from the training, with what to change.
    """

    def __init__(self, returns: int = 0, rates_times: float = 0.5) -> None:
        if returns < 0 or not 0 < rates_times <= 1:
            raise UserError(
                "`Finite.returns` must be 0 or more, and `Finite.rates_times` above 0 and at most "
                f"1, got {returns} and {rates_times}"
            )
        self.returns = returns
        self.rates_times = rates_times
        self.returned = 0

    def state_dict(self) -> dict[str, Any]:
        """How often the run has returned."""
        return {"returned": self.returned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count."""
        self.returned = state_dict["returned"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget earlier losses; if the run may return, have its initial state saved."""
        self._unread: list[tuple[int, list[str], Tensor]] = []
        self._lower_scheduled_rates(pl_module)
        if self.returns and (saver := saver_of(trainer)) is not None:
            saver.from_the_beginning = True

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Keep the losses; read those of all batches since the last time when a batch is logged."""
        names = [name for name in module.observed if name.startswith("loss")]
        if names:  # a single operation, which doesn't wait for the device
            with torch.no_grad():
                kept = torch.stack([module.observed[name].reshape(()) for name in names])
            self._unread.append((trainer.global_step, names, kept))
        if module.logging_due or trainer.is_last_batch or len(self._unread) == MOST_UNREAD:
            self._look(trainer, module)

    def before_save(self, trainer: Trainer, module: GANModule) -> None:
        """Read the losses of batches that were not logged."""
        self._look(trainer, module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read them before scores are computed, which may be saved as the best."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            assert isinstance(pl_module, GANModule)
            self._look(trainer, pl_module)

    def _look(self, trainer: Trainer, module: GANModule) -> None:
        """End or return if a batch was bad on any rank; a collective operation.

        The tensors that a checkpoint saves are checked too. A gradient whose square overflows makes
        an optimizer's state infinite: its weights then stand still, with finite losses.
        """
        if not self._unread:
            return
        losses = [(step, name) for step, names, _ in self._unread for name in names]
        good = torch.cat([kept for *_, kept in self._unread]).isfinite()
        self._unread.clear()
        tensors = saved_tensors(module.state_dict(), [o.state_dict() for o in trainer.optimizers])
        bad = ~torch.cat([good, all_finite(tensors).to(module.device).reshape(1)])
        if trainer.world_size > 1:
            bad = trainer.strategy.reduce(bad.float(), reduce_op="max")
        *bad_losses, state_is_bad = bad.tolist()
        if any(bad_losses):
            step, name = next(
                loss for loss, is_bad in zip(losses, bad_losses, strict=True) if is_bad
            )
            what = f"{name} is no longer finite since batch {step}: "
        elif state_is_bad:
            what = f"{first_not_finite(tensors)} is not finite after batch {trainer.global_step}: "
        else:
            return
        what += "the training has diverged. "
        saver = saver_of(trainer)
        if saver is None or not saver.file.is_file():
            raise UserError(
                f"{what}Nothing was saved yet: start again with lower learning rates "
                "(--model.init_args.*_optimizer.init_args.lr), or in float32 (--trainer.precision "
                "32-true)"
            )
        if self.returned == self.returns:
            raise UserError(
                f"{what}checkpoints/last.ckpt is from before; go on from there (--resume true) "
                "with lower learning rates (--model.init_args.*_optimizer.init_args.lr), or in "
                "float32 (--trainer.precision 32-true). `Finite.returns` 3 does so by itself"
            )
        self._return(trainer, module, what, saver.file)

    def _lower_scheduled_rates(self, module: LightningModule) -> None:
        """Schedules set the rates anew at each step; others are lowered where they are kept."""
        assert isinstance(module, GANModule)
        module.rates_times = self.rates_times**self.returned

    def _return(self, trainer: Trainer, module: GANModule, what: str, file: Path) -> None:
        """Load weights and optimizers of the newest checkpoint, and lower the rates."""
        check_archive(file)
        checkpoint = torch.load(file, map_location=module.device, weights_only=True)
        module.load_state_dict(checkpoint["state_dict"])
        states = checkpoint["optimizer_states"]
        for optimizer, state in zip(trainer.optimizers, states, strict=True):
            rates = [group["lr"] * self.rates_times for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        self.returned += 1
        self._lower_scheduled_rates(module)
        rank_zero_warn(
            f"{what}Weights and optimizers are again those after {checkpoint['images_seen']:,} "
            f"images, and learning rates times {self.rates_times} (return {self.returned} of "
            f"{self.returns})"
        )
