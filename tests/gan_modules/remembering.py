"""A part of each kind whose result depends on what it saw in earlier steps."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_modules.parts import Augment, CrossEntropy, HardLabels, Part, Penalty, Turn

MEMORY, COUNT = "remembered_mean", "remembered_count"


def remember(part: Part, shared: bool) -> None:
    """Give a part a moving average and a count of its updates; maybe the same on all ranks."""
    part.register_buffer(MEMORY, torch.zeros(()))
    part.register_buffer(COUNT, torch.tensor(0))
    part.shared = shared


@torch.no_grad()
def note(part: Part, values: Tensor) -> Tensor:
    """Move the average to these values; what it was before."""
    mean = values.detach().mean().to(getattr(part, MEMORY).dtype)
    if part.shared and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    before = getattr(part, MEMORY).clone()
    getattr(part, MEMORY).lerp_(mean, 0.3)
    getattr(part, COUNT).add_(1)
    return before


def memory_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What parts remember of a model's or a checkpoint's state, by name."""
    return {n: value for n, value in state.items() if n.endswith((MEMORY, COUNT))}


class RememberingGame(CrossEntropy):
    """Pulls real logits towards those of earlier steps."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        remember(self, shared)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        anchor = note(self, real)
        return super().discriminator(real, fake) + (real - anchor).square().mean()


class RememberingLabels(HardLabels):
    """Smooths more the higher real logits were."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        remember(self, shared)

    def real(self, logits: Tensor) -> Tensor:
        target = 0.5 + 0.5 * torch.sigmoid(note(self, logits))
        return target.expand_as(logits)


class RememberingAugment(Augment):
    """Darkens images by what real logits came to."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        remember(self, shared)

    def forward(self, images: Tensor) -> Tensor:
        return images * (1 + getattr(self, MEMORY))

    def adapt(self, real_logits: Tensor) -> None:
        note(self, real_logits)


class RememberingPenalty(Penalty):
    """Wants real logits near those of earlier steps."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        remember(self, shared)

    def forward(self, turn: Turn) -> Tensor:
        logits = turn.discriminator(turn.real, turn.classes)
        return (logits - note(self, logits) - 1).square().mean()
