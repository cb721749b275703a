"""The perceptual distance of images: LPIPS (Zhang et al. 2018, https://arxiv.org/abs/1801.03924)."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.part import Part
from gan_modules.precision import wide
from minmax.errors import MissingError, UserError, files_named

ENDS = (4, 9, 16, 23, 30)
"""Where VGG-16's features are read: behind the last ReLU before each pool."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the training images of VGG-16, in [0, 1]."""
VGG = "torchvision's vgg16-397923af.pth (https://download.pytorch.org/models/vgg16-397923af.pth)"
LINEAR = "vgg.pth of the lpips package (lpips/weights/v0.1)"


class PerceptualDistance(Part):
    """Distance of two images by VGG-16's features: equation 1.

    At each of five depths features are divided by their length over channels; squared differences
    are weighed by channel, averaged over positions and images, and summed over depths. In float32
    at least. The network is frozen, and not part of checkpoints.

    Args:
        weights: path of the network's weights, a file of torchvision's VGG-16.
        linear: path of the channels' weights of LPIPS 0.1; none means 1 for each channel (the
            paper's baseline, "VGG").

    Raises:
        MissingError: a file isn't there.
        UserError: a file holds something else.
    """

    def __init__(self, weights: str, linear: str | None = None) -> None:
        super().__init__()
        from torchvision.models import vgg16  # late: half a second

        self.weights, self.linear = weights, linear
        state = _read("weights", weights, VGG)
        with torch.device("meta"):
            network = vgg16(init_weights=False).features[: ENDS[-1]]
        names = {name: f"features.{name}" for name in network.state_dict()}
        chosen = _chosen("weights", weights, VGG, state, names)
        network.load_state_dict(chosen, assign=True)
        # In a list: it has no gradients, is in no checkpoint and in no optimizer.
        self._frozen = [network.eval().requires_grad_(False)]
        self._channels: list[Tensor] | None = None
        if linear is not None:
            names = {str(depth): f"lin{depth}.model.1.weight" for depth in range(len(ENDS))}
            given = _read("linear", linear, LINEAR)
            self._channels = [*_chosen("linear", linear, LINEAR, given, names).values()]
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Mean distance, a scalar, of images `[N, 1 or 3, H, W]` in [-1, 1], of 16 pixels or more.

        Gradients reach both.
        """
        with torch.autocast(one.device.type, enabled=False):
            distance = one.new_zeros((), dtype=wide(one).dtype)
            pairs = zip(self.features(one), self.features(other), strict=True)
            for depth, (first, second) in enumerate(pairs):
                squares = (first - second).square()
                if self._channels is not None:
                    self._channels[depth] = self._channels[depth].to(squares)
                    squares = squares * self._channels[depth]
                distance = distance + squares.sum(1).mean()
            return distance

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Maps `[N, channels, h, w]` of each depth, of length 1 at each position."""
        frozen = self._frozen[0].to(images.device, wide(images).dtype)
        shown = (wide(images).expand(-1, 3, -1, -1) + 1) / 2
        maps = (shown - cast(Tensor, self.mean)) / cast(Tensor, self.std)
        found, start = [], 0
        for end in ENDS:
            maps = frozen[start:end](maps)
            found.append(F.normalize(maps, dim=1, eps=1e-10))
            start = end
        return found


def _read(option: str, path: str, what: str) -> dict[str, Tensor]:
    file = Path(path).expanduser()
    with files_named():
        there = file.is_file()
    if not there:
        raise MissingError(
            f"`{option}` of PerceptualDistance {path}: there is no such file; give the path of "
            f"{what}, or leave `distance` out for the mean absolute difference"
        )
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a wrong file can make torch raise anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"`{option}` of PerceptualDistance {path} can't be read ({reason}): give {what}"
        ) from error
    return state if isinstance(state, dict) else {}


def _chosen(
    option: str, path: str, what: str, state: dict[str, Tensor], names: dict[str, str]
) -> dict[str, Tensor]:
    """The tensors of these names."""
    missing = [name for name in names.values() if name not in state]
    if missing:
        raise UserError(
            f"`{option}` of PerceptualDistance {path} has no {missing[0]}, so that it is another "
            f"network's: give {what}"
        )
    return {own: state[name] for own, name in names.items()}
