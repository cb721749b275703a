"""In which number types the variants compute."""

import torch
from torch import Tensor

from minmax.errors import UserError

PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")
"""Those of the trainer that a GAN learns in."""


def refuse_precision(precision: str) -> None:
    """Refuse weights in half precision, with which a training runs and hardly learns.

    Between 0.5 and 1 neighbours in bfloat16 are 2^-8 apart: Adam's second moment, which is
    multiplied by 0.999, never falls, and weights of that size ignore steps of 0.001. In float16 the
    moments of small gradients are 0. Mixed precision keeps weights and moments in float32.

    Raises:
        UserError: it is such a one.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"`Trainer.precision` {precision} is not for GANs here: weights in half precision lose "
            f"the small steps of Adam and of the average. Choose from {', '.join(PRECISIONS)}"
        )


def widened(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of this type are summed and compared: float32, or float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def wide(values: Tensor) -> Tensor:
    """The same values in float32, or float64 if they are in it."""
    return values.to(widened(values.dtype))
