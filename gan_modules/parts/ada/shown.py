"""Each transform of ADA alone, at a strength that one chooses: for pictures."""

from torch import Tensor

from gan_modules.parts.ada.ada import STAGES
from gan_modules.parts.ada.draws import TRANSFORMS, nothing
from gan_modules.precision import wide

NAMES = tuple(transform.name for transform in TRANSFORMS if transform.name != "turn_after")
"""The 18 transforms; the turns before and after the stretch are one."""


def shown(images: Tensor, name: str, strength: float) -> Tensor:
    """Images `[N, C, H, W]` after one transform, of equal strength for all.

    Args:
        images: images in [-1, 1].
        name: one of `NAMES`.
        strength: 0 is the identity. 1 is one standard deviation of what is normal, the end of
            what is uniform, a flip, a quarter turn, or half the side for a square at the centre.
            Flips stay at 1, and there are three quarter turns.
    """
    images = wide(images)
    (transform,) = (each for each in TRANSFORMS if each.name == name)
    if transform.name == "cutout":
        amount = [strength * transform.low[0], 0.5, 0.5]
    elif transform.whole:
        amount = [min(float(round(abs(strength))), transform.high[0] - 1)]
    else:
        amount = [strength * (transform.std or end) for end in transform.high]
    values = nothing(images)
    values[name] = images.new_tensor(amount).expand(len(images), -1)
    (do,) = (do for groups, do in STAGES if transform.group in groups)
    return do(images, values)
