"""What every feature network of a score is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from minmax.metrics.cache import fingerprint


class FeatureNetwork(nn.Module, ABC):
    """Turns images into the features that a score compares, always in eval mode and float32.

    Attributes:
        name: ends the name of every score that is made with it: `metric/fid_NAME`.
        version: raised when the same weights would give other features.
        image_size: side in pixels that real images are brought to from their own size, so that
            models of several sizes are scored against the same images; None is the model's.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    image_size: ClassVar[int | None] = None

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images uint8 `[N, C, H, W]` to features `[N, D]`, class logits `[N, K]` if any."""

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode: a trainer that sets all its modules to training means others."""
        return super().train(False)

    def identity(self) -> str:
        """Name, version and a hash of the weights: what two equal scores must share."""
        return f"{self.name}-{self.version}-{fingerprint(*self.state_dict().values())[:16]}"
