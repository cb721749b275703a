"""Penalties on logits that change with an augmentation or a small step of the latent."""

import torch
from torch import Tensor, nn

from gan_modules.networks.noise import ScalarNoise
from gan_modules.parts.augment import Augment, picked
from gan_modules.parts.penalty import Penalty, drops
from gan_modules.parts.schedules import Schedule
from gan_modules.parts.turn import Turn
from gan_modules.precision import wide
from minmax.errors import UserError


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape, in float32 at least."""
    return (wide(first) - wide(second)).square().mean()


class FlipAndShift(Augment):
    """Mirror half of the images, and shift each by up to an eighth of its size on each axis.

    Whole pixels; what comes in is the image reflected at its border.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]`, each with its own draw."""
        count, _, height, width = images.shape
        flips = torch.rand(count, 1, device=images.device) < 0.5
        rows = self._positions(count, height, images.device)
        columns = self._positions(count, width, images.device)
        columns = torch.where(flips, width - 1 - columns, columns)
        return picked(images, rows, columns)

    @staticmethod
    def _positions(count: int, size: int, device: torch.device) -> Tensor:
        """Where each of an axis's `[N, size]` pixels comes from."""
        most = size // 8
        shifts = torch.randint(-most, most + 1, (count, 1), device=device)
        places = (torch.arange(size, device=device) - shifts).abs()
        return size - 1 - (size - 1 - places).abs()


class Consistency(Penalty):
    """weight * E[(D(x) - D(T x))^2], T an augmentation (Zhang et al. 2020, section 2.2).

    https://arxiv.org/abs/1910.12027. With `fake_weight` the same on generated images: balanced
    consistency regularisation (Zhao et al. 2021, https://arxiv.org/abs/2002.04724). x is what the
    discriminator was shown, behind the variant's own augmentation if it has one.

    Args:
        weight: weight of real images. Papers: 10.
        fake_weight: weight of generated images. Papers: 0 (CR) and 10 (bCR).
        augment: T; none means `FlipAndShift`, the papers' T.
    """

    weight_now: Tensor
    fake_weight_now: Tensor

    def __init__(
        self,
        weight: float | Schedule = 10.0,
        fake_weight: float | Schedule = 0.0,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.check_range(0, float("inf"), weight=weight, fake_weight=fake_weight)
        if augment is not None and augment.adapts:
            raise UserError(
                "`augment` of Consistency changes nothing until it has learned from logits, which "
                "it isn't shown: give ADA a `p`, or leave `augment` out"
            )
        self.weight = weight
        self.fake_weight = fake_weight
        self.augment = augment or FlipAndShift()
        self.changing("weight_now", weight)
        self.changing("fake_weight_now", fake_weight)

    def forward(self, turn: Turn) -> Tensor:
        """The term."""
        changed = self.augment.fake(turn.seen_real.detach())
        of_real = distance(turn.real_logits, turn.discriminator(changed, turn.classes))
        self.observed = {"penalty/consistency_real": of_real.detach()}
        if self.fake_weight == 0:
            return self.weight_now * of_real
        changed = self.augment.fake(turn.seen_fake.detach())
        of_fake = distance(turn.fake_logits, turn.discriminator(changed, turn.asked))
        self.observed["penalty/consistency_fake"] = of_fake.detach()
        return self.weight_now * of_real + self.fake_weight_now * of_fake


class LatentConsistency(Penalty):
    """Consistency of the latents (zCR, Zhao et al. 2021, https://arxiv.org/abs/2002.04724).

    The discriminator's term is weight * E[(D(G(z)) - D(G(z + d)))^2], the generator's
    -generator_weight * E[(G(z) - G(z + d))^2], a mean over pixels as in the authors' code; d comes
    from N(0, std^2). The former wants logits that don't change, the latter images that do.

    Args:
        weight: of the discriminator's term.
        generator_weight: of the generator's term.
        std: of the step in each number of the latent. The defaults are StudioGAN's for CIFAR-10.
    """

    weight_now: Tensor
    generator_weight_now: Tensor

    def __init__(
        self,
        weight: float | Schedule = 20.0,
        generator_weight: float | Schedule = 0.5,
        std: float = 0.05,
    ) -> None:
        super().__init__()
        infinite = float("inf")
        self.check_range(0, infinite, weight=weight, generator_weight=generator_weight, std=std)
        self.weight = weight
        self.generator_weight = generator_weight
        self.std = std
        self.changing("weight_now", weight)
        self.changing("generator_weight_now", generator_weight)

    def check_generator(self, generator: nn.Module) -> None:
        """Refuse noise and dropout, by which the two images would differ besides."""
        for layer in generator.modules():
            if drops(layer) or isinstance(layer, ScalarNoise):
                dropout = ("dropout", "set its `dropout` to 0, or ")
                drawn, way = dropout if drops(layer) else ("noise", "")
                raise UserError(
                    f"`generator` {type(generator).__name__} has {drawn}, which LatentConsistency "
                    f"would take for a difference of latents: {way}choose another `penalty`"
                )

    def near(self, latent: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` a small step away."""
        return latent + self.std * torch.randn_like(latent)

    def forward(self, turn: Turn) -> Tensor:
        """The discriminator's term."""
        with torch.no_grad():
            moved = turn.augment.fake(turn.generator(self.near(turn.latent), turn.asked))
        term = distance(turn.fake_logits, turn.discriminator(moved, turn.asked))
        self.observed["penalty/latent_consistency"] = term.detach()
        return self.weight_now * term

    def of_generator(
        self, generator: nn.Module, latent: Tensor, asked: Tensor, fake: Tensor
    ) -> list[Tensor]:
        """The generator's term."""
        difference = distance(fake, generator(self.near(latent), asked))
        self.observed["penalty/latent_difference"] = difference.detach()
        return [-self.generator_weight_now * difference]
