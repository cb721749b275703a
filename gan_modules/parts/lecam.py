"""LeCam regularisation: logits stay near the average of the other kind's."""

import torch
from torch import Tensor

from gan_modules.parallel import mean_over_ranks
from gan_modules.parts.penalty import Penalty
from gan_modules.parts.schedules import Schedule
from gan_modules.parts.turn import Turn
from gan_modules.precision import wide


class LeCam(Penalty):
    """weight * E[max(0, D(x) - a_F)^2 + max(0, a_R - D(G(z)))^2] (Tseng et al. 2021).

    https://arxiv.org/abs/2104.03310. a_R and a_F are moving averages of the mean logits of real and
    of generated images, over all ranks. The squares are one-sided as in the authors' code; in the
    paper they aren't. Logs both averages, and the term without its weight.

    Args:
        weight: weight of the term. Paper: 0.3 for CIFAR-10 with the hinge game.
        decay: share of the averages that is kept at each update. Paper: 0.99; its code: 0.9.
        start_images: images after which the term begins; before, the averages are the last batch's
            means. The authors' code: 1,000 updates of the generator, here of four batches of 50.
    """

    weight_now: Tensor
    share: Tensor
    on: Tensor
    real_average: Tensor
    fake_average: Tensor

    def __init__(
        self, weight: float | Schedule = 0.3, decay: float = 0.99, start_images: int = 200_000
    ) -> None:
        super().__init__()
        self.check_range(0, float("inf"), weight=weight, start_images=start_images)
        self.check_range(0, 1, decay=decay)
        self.weight = weight
        self.decay = decay
        self.start_images = start_images
        self.changing("weight_now", weight)
        self.constant("share", 1.0)
        self.constant("on", 0.0)
        self.register_buffer("real_average", torch.tensor(0.0))
        self.register_buffer("fake_average", torch.tensor(0.0))

    def begin(self, images_seen: int) -> None:
        """Turn the term on when its time has come."""
        super().begin(images_seen)
        begun = images_seen > self.start_images
        self.share.fill_(1 - self.decay if begun else 1.0)
        self.on.fill_(float(begun))

    def forward(self, turn: Turn) -> Tensor:
        """The term; moves the averages first."""
        real, fake = wide(turn.real_logits), wide(turn.fake_logits)
        with torch.no_grad():
            means = mean_over_ranks(torch.stack([real.mean(), fake.mean()]))
            averages = torch.stack([self.real_average, self.fake_average])
            averages = averages.lerp(means.to(averages.dtype), self.share)
            self.real_average.copy_(averages[0])
            self.fake_average.copy_(averages[1])
        above = (real - averages[1]).relu().square().mean()
        below = (averages[0] - fake).relu().square().mean()
        self.observed = {
            "penalty/lecam": (above + below).detach(),
            "logits/real_average": averages[0],
            "logits/fake_average": averages[1],
        }
        return self.weight_now * self.on * (above + below)
