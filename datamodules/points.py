"""Points in the plane: what GANs lose, in seconds and in sight."""

import numpy
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.distributions import Distribution
from minmax.errors import UserError
from minmax.values import Coordinates


class Points(ImageDataModule):
    """Points of a distribution in the plane, as images `[B, 2, 1, 1]` of one pixel.

    Their values are the coordinates as they are, not in [-1, 1]. Labels are the numbers of the
    modes. Training and held-out points are drawn once, of random numbers of their own.

    Args:
        mixture: the distribution.
        count: number of training points.
        held_out: number of held-out points.
        batch_size: points per batch and per process (GPU).
        seed: of the points; the order in which a run sees them depends on the run's own seed.
        on_device: keep the points in GPU memory if there is room for them twice.
    """

    values = Coordinates()
    scored = 2500

    def __init__(
        self,
        mixture: Distribution,
        count: int = 102_400,
        held_out: int = 10_000,
        batch_size: int = 512,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        names = [str(number) for number in range(mixture.labels)]
        super().__init__(names, 1, False, batch_size, None, on_device)
        for option, value in (("count", count), ("held_out", held_out)):
            if value < 2:
                raise UserError(f"`{option}` of Points must be at least 2 points, got {value}")
        if seed < 0:
            raise UserError(f"`seed` of Points must be 0 or more, got {seed}")
        self.channels = 2
        self.mixture = mixture
        self.count = count
        self.held_out = held_out
        self.seed = seed

    @property
    def features(self) -> tuple[str, ...]:
        """Coordinates: a network of images has no use here."""
        return ("points",)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Points float32 `[N, 2, 1, 1]` and labels int64 `[N]`."""
        random = numpy.random.default_rng((self.seed, int(train)))
        points, labels = self.mixture.draw(self.count if train else self.held_out, random)
        return points[:, :, None, None], labels
