"""A game, a penalty and an augmentation."""

import torch
from torch import Tensor

from gan_modules.parts import Augment, Game, JudgeReal, Penalty, Turn


class Hinge(Game):
    """Hinge losses (Lim and Ye 2017, https://arxiv.org/abs/1705.02894)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (1 - real).relu().mean() + (1 + fake).relu().mean()

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        return -fake.mean()


class Drift(Penalty):
    """Squares of the real logits (Karras et al. 2018); remembers their mean."""

    mean: Tensor

    def __init__(self, weight: float = 0.001) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("mean", torch.tensor(0.0))

    def forward(self, turn: Turn) -> Tensor:
        logits = turn.real_logits
        self.mean.lerp_(logits.detach().mean(), 0.1)
        self.observed = {"penalty/drift": self.mean}
        return self.weight * logits.square().mean()


class Mirrored(Augment):
    """Half of the images from right to left; remembers how many batches it saw."""

    seen: Tensor

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, images: Tensor) -> Tensor:
        turned = torch.rand(len(images), 1, 1, 1, device=images.device) < self.share
        return torch.where(turned, images.flip(3), images)

    def adapt(self, real_logits: Tensor) -> None:
        self.seen += 1
