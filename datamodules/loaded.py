"""Refuses what a data set of the user's own loads, if it isn't what `load` promises."""

from typing import Any

import torch
from torch import Tensor

from minmax.errors import UserError


def check_loaded(loaded: Any, kind: str, classes: int, pictures: bool) -> tuple[Tensor, Tensor]:
    """Images and labels, as they were loaded.

    Args:
        loaded: what `load` has returned.
        kind: name of the data's class.
        classes: number of them before any are selected.
        pictures: whether the data are images, and not points.

    Raises:
        UserError: they are no images `[N, 1 or 3, H, W]` of bytes, or no label for each.
    """
    pair = isinstance(loaded, tuple | list) and len(loaded) == 2
    if not pair or not all(isinstance(part, Tensor) for part in loaded):
        raise UserError(f"{kind}.load must return two tensors, images and labels")
    images, labels = loaded
    if pictures and images.dtype != torch.uint8:
        raise UserError(
            f"{kind}.load returned images of {images.dtype}: return bytes (torch.uint8) from 0 to "
            "255; they are normalised later"
        )
    if pictures and (images.ndim != 4 or images.shape[1] not in (1, 3)):
        raise UserError(
            f"{kind}.load returned images of shape {[*images.shape]}: return [N, 1, H, W] or "
            "[N, 3, H, W]"
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise UserError(
            f"{kind}.load returned labels of {labels.dtype}, shape {[*labels.shape]}: return "
            f"torch.int64, one for each of the {len(images)} images"
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise UserError(
            f"{kind}.load returned the label {int(wrong[0])}: labels are positions in "
            f"`available_classes`, from 0 to {classes - 1}"
        )
    return images, labels
