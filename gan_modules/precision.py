"""The number types in which variants compute."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from minmax.errors import UserError

PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")
"""The trainer's precisions in which a GAN learns."""


def refuse_precision(precision: str) -> None:
    """Refuse weights in half precision: with them a training runs, but hardly learns.

    In bfloat16 neighbours between 0.5 and 1 are 2^-8 apart. So Adam's second moment never falls
    when it is multiplied by 0.999, and weights of that size ignore steps of 0.001. In float16 the
    moments of small gradients are 0. Mixed precision keeps weights and moments in float32.

    Raises:
        UserError: the precision is not in `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"`Trainer.precision` {precision} is not for GANs here: weights in half precision lose "
            f"the small steps of Adam and of the average. Choose from {', '.join(PRECISIONS)}"
        )


def multiplies_bfloat16_fast(kind: str) -> bool:
    """Whether the hardware has instructions that multiply bfloat16 faster than float32.

    NVIDIA's GPUs have them since Ampere (compute capability 8), x86 processors with AVX512-BF16 or
    AMX. Of other hardware it is not known.

    Args:
        kind: of the device, `cuda` or `cpu` say.
    """
    if kind == "cuda":
        emulated_too = torch.cuda.is_bf16_supported()  # also before Ampere
        return emulated_too and torch.cuda.get_device_capability()[0] >= 8
    if kind == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def widened(dtype: torch.dtype) -> torch.dtype:
    """The type for sums and comparisons of this type: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def wide(values: Tensor) -> Tensor:
    """The same values in float32; float64 stays."""
    return values.to(widened(values.dtype))


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """A context in which operations on the device of these values keep their types."""
    kind = values.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
