"""A run whose losses are no longer numbers ends."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from gan_modules import GANModule


class Finite(Callback):
    """Stop when a loss is not finite, and name it and the batch.

    Batches are watched on the device, and looked at with every log: reading a number in each
    would make a GPU wait. A gradient or weight that is not finite makes the next batch's losses
    so. Checkpoints with such weights are refused (`callbacks/checkpoints.py`), so that the newest
    one is good.

    Raises:
        ValueError: from the training, with what to change.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """No loss is bad yet."""
        self._first_bad: dict[str, Tensor] = {}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the first bad batch of each loss; where the batch is logged, look at the notes."""
        assert isinstance(pl_module, GANModule)
        now = trainer.global_step
        for name, loss in pl_module.observed.items():
            if name.startswith("loss"):
                # 0 until then. Where nothing waits for the device, this is three tiny operations.
                noted = self._first_bad.get(name, torch.zeros((), device=loss.device))
                newly = now * (~loss.detach().isfinite()).float()
                self._first_bad[name] = torch.where(noted > 0, noted, newly)
        if pl_module.logging_due or trainer.is_last_batch:
            self._look(pl_module)

    def _look(self, module: GANModule) -> None:
        steps = {name: int(step) for name, step in self._first_bad.items() if step > 0}
        if steps:
            name = min(steps, key=lambda name: steps[name])
            raise ValueError(
                f"{name} is {module.observed[name].item()} since batch {steps[name]}: the training "
                "has diverged. checkpoints/last.ckpt is from before; go on from there (--resume "
                "true) with lower learning rates (--model.init_args.*_optimizer.init_args.lr), or "
                "in float32 (--trainer.precision 32-true)"
            )
