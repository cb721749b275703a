"""The precision of a training whose user names none."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision

from gan_modules.precision import multiplies_bfloat16_fast
from minmax.training.changes import settings_before
from minmax.trust import imported


class Unsaid(str):
    """A precision that nobody asked for; an option that is given is a plain string, or None."""

    __slots__ = ()


def default_precision(accelerator: Any = "auto") -> Unsaid:
    """Mixed precision with bfloat16 where the hardware multiplies it fast, else float32.

    Never float16, whose range is too small for some gradients of a GAN.

    Args:
        accelerator: of the trainer; an object of Lightning's is taken for unknown hardware.
    """
    kind = "cuda" if accelerator in ("auto", "gpu") and torch.cuda.is_available() else accelerator
    if kind == "auto":
        kind = "mps" if torch.backends.mps.is_available() else "cpu"
    return Unsaid("bf16-mixed" if multiplies_bfloat16_fast(str(kind)) else "32-true")


def precision_of(checkpoint: dict[str, Any]) -> str:
    """The precision of a checkpoint's training; those of earlier versions don't always say it."""
    precision: str = settings_before(checkpoint)["facts"].get("precision", "32-true")
    return precision


def decides_precision(plugin: Any) -> bool:
    """Whether a plugin of a trainer, or a configuration of one, is for the precision."""
    path = getattr(plugin, "class_path", None)
    kind = type(plugin) if path is None else imported(path, "plugins")
    return isinstance(kind, type) and issubclass(kind, Precision)


def precision_to_use(given: Any, accelerator: Any, plugins: Any, checkpoints: Sequence[str]) -> Any:
    """What the user asks for, as a plain value.

    Args:
        given: the trainer's option; null is Lightning's default, float32, as `config.yaml` has it
            in runs of earlier versions.
        accelerator: of the trainer.
        plugins: of the trainer, or their configuration; one for the precision decides it.
        checkpoints: precisions of those that are resumed or scored; the last one is kept if the
            user names none.
    """
    if not isinstance(given, Unsaid):
        return given
    if any(map(decides_precision, plugins if isinstance(plugins, list) else [plugins])):
        return None
    return checkpoints[-1] if checkpoints else str(default_precision(accelerator))
