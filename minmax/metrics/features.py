"""The base class of feature networks."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from minmax.metrics.cache import fingerprint


class FeatureNetwork(nn.Module, ABC):
    """Turns images into the features that a score compares, always in eval mode and float32.

    Attributes:
        name: suffix of the scores' names: `metric/fid_NAME`.
        version: increased when the same weights give other features.
        image_size: side in pixels to which real images are resized from their original size, so
            that models of all sizes are scored against the same images; None: the model's size.
        shares: probability of each mode of the data, `[K]`, if the network knows these.
        modes: which samples are of a mode, in words; empty without modes.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    image_size: ClassVar[int | None] = None
    shares: Tensor | None
    modes: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shares", None)

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images uint8 `[N, C, H, W]` to features `[N, D]`, class logits `[N, K]` if any."""

    def modes_of(self, images: Tensor) -> Tensor | None:
        """Numbers int64 `[N]` of the modes that images are of, -1 for none; None if unknown."""
        return None

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode, even when the trainer sets all modules to training mode."""
        return super().train(False)

    def identity(self) -> str:
        """Name, version and a hash of the weights; comparable scores share it."""
        return f"{self.name}-{self.version}-{fingerprint(*self.state_dict().values())[:16]}"
