"""Levers, which make a step fast: each is switched in a step that is driven without a trainer.

A lever is turned off in a step that uses it, and on in a step that doesn't. It changes the speed,
but no result.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from gan_modules.networks.layers import ConvTranspose2d, Dropout, LeakyReLU
from minmax.benchmarks.driven import Driven

Lever = Callable[[Driven], None]
"""Switches a lever of a step; raises a RuntimeError if this step can't."""


def freeze(driven: Driven) -> None:
    """Compute gradients of the network that is not updated, too."""
    module: Any = driven.module
    module.updating = lambda network: nullcontext()


def channels_last(driven: Driven) -> None:
    """Switch networks and images from channels_last to contiguous format, or back."""
    module = driven.module
    last = torch.channels_last
    kernels = [weight for weight in module.parameters() if weight.dim() == 4]
    used = all(kernel.is_contiguous(memory_format=last) for kernel in kernels)
    driven.use_format(torch.contiguous_format if used else last)


def layers(driven: Driven) -> None:
    """Replace the project's faster layers by torch's own."""
    if not use_torchs_layers(driven.module.generator, driven.module.discriminator):
        raise RuntimeError("the networks have none of the project's layers")


def use_torchs_layers(*networks: nn.Module) -> int:
    """Replace the project's faster layers by torch's own; return how many there were."""
    changed = 0
    for layer in nn.ModuleList(networks).modules():
        for own in (ConvTranspose2d, Dropout, LeakyReLU):
            if isinstance(layer, own):
                layer.__class__ = own.__base__  # type: ignore[assignment]
                changed += 1
    return changed


def fused(driven: Driven) -> None:
    """Switch the optimizers' fused implementation on or off."""
    for optimizer in driven.module.trainer.optimizers:
        for group in optimizer.param_groups:
            if "fused" not in group:
                raise RuntimeError(f"{type(optimizer).__name__} has no fused form")
            group["fused"], group["foreach"] = not group["fused"] or None, None


def compiled_generator(driven: Driven) -> None:
    """Compile the generator."""
    driven.module.generator.compile()


def compiled_discriminator(driven: Driven) -> None:
    """Compile the discriminator's forward pass."""
    driven.module.discriminator.compile()


LEVERS: dict[str, Lever] = {
    "freeze": freeze,
    "channels_last": channels_last,
    "layers": layers,
    "fused": fused,
    "compiled generator": compiled_generator,
    "compiled discriminator": compiled_discriminator,
}
