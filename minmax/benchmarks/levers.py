"""What makes a step fast, changed one by one in a step that is driven without a trainer.

Each lever is taken from a step that has it, or given to one that doesn't. It changes the speed, and
nothing that is computed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from gan_modules.networks.layers import ConvTranspose2d, Dropout, LeakyReLU
from minmax.benchmarks.driven import Driven

Lever = Callable[[Driven], None]
"""Changes a step; a RuntimeError says that it can't be done to this one."""


def freeze(driven: Driven) -> None:
    """Let a backward pass make gradients of the network that is not updated, too."""
    module: Any = driven.module
    module.updating = lambda network: nullcontext()


def channels_last(driven: Driven) -> None:
    """Keep the channels first in networks and images; last where weights have them first."""
    module = driven.module
    last = torch.channels_last
    kernels = [weight for weight in module.parameters() if weight.dim() == 4]
    used = all(kernel.is_contiguous(memory_format=last) for kernel in kernels)
    driven.use_format(torch.contiguous_format if used else last)


def layers(driven: Driven) -> None:
    """Put torch's own layers in the place of the project's faster ones."""
    if not use_torchs_layers(driven.module.generator, driven.module.discriminator):
        raise RuntimeError("the networks have none of the project's layers")


def use_torchs_layers(*networks: nn.Module) -> int:
    """Put torch's own layers in the place of the project's faster ones; how many there were."""
    changed = 0
    for layer in nn.ModuleList(networks).modules():
        for own in (ConvTranspose2d, Dropout, LeakyReLU):
            if isinstance(layer, own):
                layer.__class__ = own.__base__  # type: ignore[assignment]
                changed += 1
    return changed


def fused(driven: Driven) -> None:
    """Take the optimizers' fused form, or another if the configuration has chosen it."""
    for optimizer in driven.module.trainer.optimizers:
        for group in optimizer.param_groups:
            if "fused" not in group:
                raise RuntimeError(f"{type(optimizer).__name__} has no fused form")
            group["fused"], group["foreach"] = not group["fused"] or None, None


def compiled_generator(driven: Driven) -> None:
    """Compile the generator."""
    driven.module.generator.compile()


def compiled_discriminator(driven: Driven) -> None:
    """Compile the discriminator: its forward pass, if it has other methods."""
    driven.module.discriminator.compile()


LEVERS: dict[str, Lever] = {
    "freeze": freeze,
    "channels_last": channels_last,
    "layers": layers,
    "fused": fused,
    "compiled generator": compiled_generator,
    "compiled discriminator": compiled_discriminator,
}
