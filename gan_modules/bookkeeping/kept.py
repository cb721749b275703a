"""What a variant adds to Lightning's checkpoints, and how it loads them."""

import io
from typing import Any, Self

import numpy as np
import torch
from lightning import LightningModule

from gan_modules.bookkeeping.described import hyperparameters_of
from gan_modules.bookkeeping.older import renew
from gan_modules.bookkeeping.position import settle
from minmax.errors import UserError


class Kept(LightningModule):
    """A module whose checkpoints hold plain options, the count of images and the class names.

    Attributes:
        images_seen: real images trained on so far, the current batch included, all ranks.
    """

    images_seen: int

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the count of images, the class names, and the options as plain values."""
        checkpoint["images_seen"] = self.images_seen
        arguments = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        if "_instantiator" not in arguments:  # built in Python, not by the command line
            described = hyperparameters_of(type(self), arguments)
            checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = described
            for state in checkpoint.get("optimizer_states", []):
                for group in state["param_groups"]:
                    group |= {n: v.item() for n, v in group.items() if isinstance(v, np.generic)}
        datamodule = getattr(self.trainer, "datamodule", None)
        checkpoint["class_names"] = list(getattr(datamodule, "class_names", []))

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load as Lightning does, but ask for Python objects that no checkpoint can hold.

        Raises:
            UserError: such an object is missing.
        """
        held = torch.load(checkpoint_path, map_location="cpu", weights_only=weights_only)
        missing = held.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}).get("_undescribed", [])
        missing = [f"{name}=..." for name in missing if name not in kwargs]
        if missing:
            raise UserError(
                f"{checkpoint_path} was trained with Python objects that have no import path: give "
                f"them again, {cls.__name__}.load_from_checkpoint(path, {', '.join(missing)})"
            )
        undescribed = held.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}).pop("_undescribed", None)
        if renew(held) or undescribed:
            checkpoint_path = io.BytesIO()
            torch.save(held, checkpoint_path)
        if hasattr(checkpoint_path, "seek"):
            checkpoint_path.seek(0)
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the count of images, and the position in the epoch.

        The model takes its precision first, so that float64 weights are not rounded to float32.
        """
        renew(checkpoint)
        if self._trainer is not None:
            self._trainer.precision_plugin.convert_module(self)
        self.images_seen = checkpoint["images_seen"]
        if "loops" in checkpoint:
            settle(checkpoint["loops"]["fit_loop"])
