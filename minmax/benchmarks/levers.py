"""Levers, which make a step fast: each is switched in a step that is driven without a trainer.

A lever is turned off in a step that uses it, and on in a step that doesn't. It changes the speed,
but no result.

Parts change results: the step without one says what the part costs.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate
from torch.nn.utils.parametrizations import spectral_norm

from gan_modules.networks.convolution import Conv2d
from gan_modules.networks.layers import ConvTranspose2d, Dropout, LeakyReLU
from gan_modules.networks.resampled import ConvPool2d, UpConv2d
from gan_modules.networks.spectral import Spectral
from gan_modules.parts import NoPenalty, Unchanged
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
    if not use_torchs_layers(*networks_of(driven)):
        raise RuntimeError("the networks have none of the project's layers")


def networks_of(driven: Driven) -> list[nn.Module]:
    """Generator, discriminator and averages."""
    module = driven.module
    return [module.generator, module.discriminator, *module.averages]


def use_torchs_layers(*networks: nn.Module) -> int:
    """Replace the project's faster layers by torch's own; return how many there were."""
    changed = 0
    for layer in list(nn.ModuleList(networks).modules()):
        for own in (ConvTranspose2d, Dropout, Conv2d, LeakyReLU):
            if isinstance(layer, own):
                layer.__class__ = own.__base__  # type: ignore[assignment]
                changed += 1
        if isinstance(layer, UpConv2d | ConvPool2d):
            two_operations = up_then_conv if isinstance(layer, UpConv2d) else conv_then_pool
            layer._conv_forward = two_operations  # type: ignore[method-assign, assignment]
            changed += 1
    return changed + use_torchs_spectral_norm(*networks)


def up_then_conv(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What `UpConv2d` computes, in two operations."""
    return conv2d(interpolate(maps, scale_factor=2), weight, bias, padding=1)


def conv_then_pool(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What `ConvPool2d` computes, in two operations."""
    return avg_pool2d(conv2d(maps, weight, bias, padding=1), 2)


def use_torchs_spectral_norm(*networks: nn.Module) -> int:
    """Replace the project's spectral normalisation by torch's; return how many layers had it."""
    layers = [m for m in nn.ModuleList(networks).modules() if isinstance(m, Spectral)]
    for layer in layers:
        v = layer.v
        if isinstance(layer, nn.Conv2d):  # whose columns have the channels last here
            v = v.view(*layer.kernel_size, -1).permute(2, 0, 1).flatten()
        spectral_norm(layer, eps=layer.eps)
        torchs: Any = layer.parametrizations
        torchs.weight[0].load_state_dict({"_u": layer.u, "_v": v})
        layer.normalised = partial(getattr, layer, "weight")  # type: ignore[method-assign]
    return len(layers)


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


def penalty(driven: Driven) -> None:
    """Leave the penalty out."""
    module: Any = driven.module
    if type(getattr(module, "penalty", NoPenalty())) is NoPenalty:
        raise RuntimeError("the variant has no penalty")
    module.penalty = NoPenalty()


def augmentation(driven: Driven) -> None:
    """Leave the augmentation out."""
    if isinstance(driven.module.augment, Unchanged):
        raise RuntimeError("the variant has no augmentation")
    driven.module.augment = Unchanged()


def normalisation(driven: Driven) -> None:
    """Leave spectral normalisation out."""
    layers = [module for module in driven.module.modules() if isinstance(module, Spectral)]
    if not layers:
        raise RuntimeError("the networks have no spectral normalisation")
    for layer in layers:
        layer.normalised = partial(getattr, layer, "weight")  # type: ignore[method-assign]


def torchs_normalisation(driven: Driven) -> None:
    """Have torch's spectral normalisation instead of the project's."""
    if not use_torchs_spectral_norm(*networks_of(driven)):
        raise RuntimeError("the networks have no spectral normalisation")


PARTS: dict[str, Lever] = {
    "without penalty": penalty,
    "without augmentation": augmentation,
    "without spectral norm": normalisation,
    "with torch's spectral norm": torchs_normalisation,
}
"""The step without one of its parts, and with torch's own in its place."""

LEVERS: dict[str, Lever] = {
    "freeze": freeze,
    "channels_last": channels_last,
    "layers": layers,
    "fused": fused,
    "compiled generator": compiled_generator,
    "compiled discriminator": compiled_discriminator,
}
