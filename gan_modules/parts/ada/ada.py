"""Adaptive discriminator augmentation (Karras et al. 2020, https://arxiv.org/abs/2006.06676).

Section 2 and appendix B: 18 transforms in a fixed order, each image spared each of them with
1 - p times a multiplier.

Deviations from the paper's code: the mirrors at an image's border stand in the image of twice the
size, and not before that is made; on CIFAR-10 this moves transformed pixels by 1.6 % of the
contrast (root mean square, p = 0.5), and takes a third off the time. They go on without end, where
the code has zeros beyond the first mirror image. p has a limit (`SignControl`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_modules.parts.ada.colour import recoloured
from gan_modules.parts.ada.control import SignControl
from gan_modules.parts.ada.corruption import cut, noisy
from gan_modules.parts.ada.draws import Draws, Values
from gan_modules.parts.ada.filters import filtered
from gan_modules.parts.ada.geometric import moved
from gan_modules.parts.augment import Augment
from gan_modules.parts.games import Game
from gan_modules.parts.schedules import Schedule
from gan_modules.precision import wide
from minmax.errors import UserError

STAGES: tuple[tuple[tuple[str, ...], Callable[[Tensor, Values], Tensor]], ...] = (
    (("blit", "geometry"), moved),
    (("colour",), recoloured),
    (("filter",), filtered),
    (("noise",), noisy),
    (("cutout",), cut),
)
"""In order: the groups, and what is done to images for them."""


class ADA(Augment):
    """Random transforms of what the discriminator sees, as many as it needs not to overfit.

    Each multiplier in [0, 1] is that of a group; 0 leaves it out. The paper's sets: `bg` is blit
    and geometry, `bgc` with colour (the default), `bgcf` with filter, `bgcfn` with noise, `bgcfnc`
    with cutout, each at 1. R3GAN: `bgc` with colour at 0.5, and cutout at 1; `p` on a schedule.

    Images are transformed in float32, or in float64 if they are.

    Logs p, `augment/p`.

    Args:
        p: probability of each transform, in [0, 1]; none means that `control` finds it. 0 is off.
        control: how p is found, from 0 on; none means by signs of logits as in the paper.
        blit: flips, quarter turns, shifts by whole pixels.
        geometry: scales, turns, stretches, shifts by parts of pixels.
        colour: brightness, contrast, luma flips, hue, saturation; gray images have no last two.
        filter: strength of four frequency bands.
        noise: normal noise.
        cutout: gray squares of half the image's side.
    """

    p_now: Tensor

    def __init__(
        self,
        p: float | Schedule | None = None,
        control: SignControl | None = None,
        blit: float = 1.0,
        geometry: float = 1.0,
        colour: float = 1.0,
        filter: float = 0.0,
        noise: float = 0.0,
        cutout: float = 0.0,
    ) -> None:
        super().__init__()
        multipliers = {
            **{"blit": blit, "geometry": geometry, "colour": colour},
            **{"filter": filter, "noise": noise, "cutout": cutout},
        }
        self.check_range(0, 1, **multipliers, p=0 if p is None else p)
        if p is not None and control is not None:
            raise UserError("ADA has both `p` and `control`, which finds p: leave one of them out")
        if not any(multipliers.values()):
            raise UserError(
                "all multipliers of ADA are 0, so that it does nothing: leave out `augment`"
            )
        self.p = p
        self.control = (control or SignControl()) if p is None else None
        self.blit, self.geometry, self.colour = blit, geometry, colour
        self.filter, self.noise, self.cutout = filter, noise, cutout
        self.draws = Draws(multipliers)
        self._real_images = 0
        self._stages = [do for groups, do in STAGES if any(multipliers[name] for name in groups)]
        if p is None:
            self.register_buffer("p_now", torch.tensor(0.0))
        else:
            self.changing("p_now", p)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]`, in [-1, 1] before and maybe beyond after."""
        if self.p == 0:
            return images
        with torch.autocast(images.device.type, enabled=False):
            images = wide(images)
            values = self.draws(images, self.p_now)
            for do in self._stages:
                images = do(images, values)
            return images

    @property
    def adapts(self) -> bool:
        """Whether p is found by logits."""
        return self.control is not None

    def real(self, images: Tensor) -> Tensor:
        """What the discriminator sees of real images, of which it has fewer logits if packed."""
        self._real_images = len(images)
        return super().real(images)

    def adapt(self, real_logits: Tensor) -> None:
        """Let p follow the logits of real images, unless it is given."""
        if self.control is not None:
            images = self._real_images or len(real_logits)
            self.p_now.copy_(self.control(self.p_now, real_logits, images))
        self.observed = {"augment/p": self.p_now.clone()}

    def check(self, game: Game) -> None:
        """Refuse to learn from signs that mean nothing."""
        if self.control is not None and not game.has_zero:
            raise UserError(
                f"ADA finds p by the signs of logits, and those of `game` {type(game).__name__} "
                "have no zero: give `p`, a number or a schedule, or choose CrossEntropy, say"
            )
