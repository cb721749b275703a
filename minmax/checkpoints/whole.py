"""Writes checkpoints whole, and only finite ones."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from minmax.checkpoints.finite_values import first_not_finite, saved_tensors
from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import UserError
from minmax.files import RUNS_REMEDY, whole


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole and finite, or leaves the old one in place.

    Lightning writes to the system's temporary folder first, and a copy from there can be cut off.
    The old `last.ckpt` is kept as `previous.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checkpoint.

        Raises:
            UserError: it can't be written, or a weight or an optimizer's state is not finite.
        """
        file = Path(path)
        tensors = saved_tensors(checkpoint["state_dict"], checkpoint["optimizer_states"])
        if (name := first_not_finite(tensors)) is not None:
            raise UserError(
                f"{name} is not finite after {checkpoint['images_seen']:,} images: the training "
                f"has diverged, and {file} is not saved. Go on from the checkpoint before "
                "(--resume true) with lower learning rates"
            )
        kept = "previous.ckpt" if file.name == "last.ckpt" else ""
        with whole(file, kept, RUNS_REMEDY) as part, part.open("wb") as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint without running code in it, whatever arguments Lightning passes."""
        return read_checkpoint(path)
