"""Distributions of points in the plane, most of which have modes that a generator can lose."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from minmax.errors import UserError

NEAR = 3.0
"""Standard deviations from a centre within which a point is one of its mode's."""


class Distribution(ABC):
    """A distribution of points in the plane; the constructor keeps its arguments and nothing else.

    Attributes:
        labels: number of labels that its points have.
    """

    @property
    @abstractmethod
    def labels(self) -> int:
        """Number of labels of its points: the modes, or the arms."""

    @abstractmethod
    def draw(self, count: int, random: numpy.random.Generator) -> tuple[Tensor, Tensor]:
        """Points float32 `[count, 2]` and their labels int64 `[count]`."""

    def _positive(self, **options: float) -> None:
        """Refuse options that aren't above 0 and finite."""
        for name, value in options.items():
            if not 0 < value < math.inf:
                raise UserError(
                    f"`{name}` of {type(self).__name__} must be above 0 and finite, got {value}"
                )

    def _modes(self, **options: int) -> None:
        """Refuse numbers of modes below 2."""
        for name, value in options.items():
            if value < 2:
                raise UserError(
                    f"`{name}` of {type(self).__name__} is {value}: give at least 2, so that there "
                    "are modes to lose"
                )


class Gaussians(Distribution):
    """Equally round Gaussians, the modes, around centres in the plane.

    Args:
        std: standard deviation of each along each axis.
        weights: how often each mode is drawn, in any unit; None: all equally often.
    """

    def __init__(self, std: float, weights: Sequence[float] | None) -> None:
        self._positive(std=std)
        self.std, self.weights = std, weights
        count = len(self.means)
        if weights is not None and (
            len(weights) != count or not all(0 < weight < math.inf for weight in weights)
        ):
            raise UserError(
                f"`weights` of {type(self).__name__} are {', '.join(map(str, weights))}: give one "
                f"number above 0 for each of its {count} modes, or leave a mode out"
            )

    @property
    @abstractmethod
    def means(self) -> Tensor:
        """Centres of the modes, float64 `[K, 2]`."""

    @property
    def shares(self) -> Tensor:
        """Probability of each mode, float64 `[K]`."""
        weights = torch.tensor(self.weights or [1.0] * self.labels, dtype=torch.float64)
        return weights / weights.sum()

    @property
    def labels(self) -> int:
        """Number of modes."""
        return len(self.means)

    def draw(self, count: int, random: numpy.random.Generator) -> tuple[Tensor, Tensor]:
        """Points float32 `[count, 2]` and the numbers of their modes."""
        labels = torch.from_numpy(random.choice(self.labels, count, p=self.shares.numpy()))
        noise = torch.from_numpy(random.standard_normal((count, 2)))
        return (self.means[labels] + self.std * noise).float(), labels

    def modes_of(self, points: Tensor) -> Tensor:
        """Number of the nearest mode of points `[N, 2]`, int64; -1 beyond 3 standard deviations.

        Those within are of high quality in the sense of VEEGAN (Srivastava et al. 2017, section 4,
        https://arxiv.org/abs/1705.07761); of the mixture's own points, 98.9 % are.
        """
        means = self.means.to(points.device)
        offsets = points.double()[:, None] - means
        distance, mode = offsets.norm(dim=2).min(dim=1)
        return torch.where(distance <= NEAR * self.std, mode, -1)


class Ring(Gaussians):
    """Modes on a circle around 0, the first on the right, the others against the clock.

    Args:
        modes: their number. VEEGAN's paper: 8.
        radius: of the circle. Paper: 1.
        std: of each mode. Paper: 0.01.
        weights: how often each mode is drawn; None: all equally often.
    """

    def __init__(
        self,
        modes: int = 8,
        radius: float = 1.0,
        std: float = 0.01,
        weights: list[float] | None = None,
    ) -> None:
        self._modes(modes=modes)
        self._positive(radius=radius)
        self.modes, self.radius = modes, radius
        super().__init__(std, weights)

    @property
    def means(self) -> Tensor:
        """Centres of the modes, float64 `[K, 2]`."""
        angle = torch.arange(self.modes, dtype=torch.float64) * (2 * math.pi / self.modes)
        return self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)


class Grid(Gaussians):
    """Modes on a square grid around 0, row by row from below.

    Args:
        side: modes in a row, and rows. VEEGAN's paper: 5.
        spacing: of the grid. Paper: 2.
        std: of each mode. Paper: 0.05.
        weights: how often each mode is drawn; None: all equally often.
    """

    def __init__(
        self,
        side: int = 5,
        spacing: float = 2.0,
        std: float = 0.05,
        weights: list[float] | None = None,
    ) -> None:
        self._modes(side=side)
        self._positive(spacing=spacing)
        self.side, self.spacing = side, spacing
        super().__init__(std, weights)

    @property
    def means(self) -> Tensor:
        """Centres of the modes, float64 `[K, 2]`."""
        places = (torch.arange(self.side, dtype=torch.float64) - (self.side - 1) / 2) * self.spacing
        return torch.cartesian_prod(places, places).flip(1)


class Mixture(Gaussians):
    """Modes wherever they are wanted.

    Args:
        centres: of the modes, each of 2 numbers.
        std: of each mode.
        weights: how often each mode is drawn; None: all equally often.
    """

    def __init__(
        self, centres: list[list[float]], std: float = 0.05, weights: list[float] | None = None
    ) -> None:
        for centre in centres:
            if len(centre) != 2 or not all(map(math.isfinite, centre)):
                raise UserError(
                    f"`centres` of Mixture has {list(centre)}: a point in the plane has 2 numbers"
                )
        if len(centres) < 2 or len(set(map(tuple, centres))) < len(centres):
            raise UserError(
                f"`centres` of Mixture has {len(set(map(tuple, centres)))} different points of "
                f"{len(centres)}: give at least 2, each once (`weights` says how often it is drawn)"
            )
        self.centres = centres
        super().__init__(std, weights)

    @property
    def means(self) -> Tensor:
        """Centres of the modes, float64 `[K, 2]`."""
        return torch.tensor(self.centres, dtype=torch.float64)


class Moons(Distribution):
    """Two half circles, one around 0, the other turned round and moved between its ends.

    Args:
        std: of normal noise along each axis.
    """

    def __init__(self, std: float = 0.05) -> None:
        self._positive(std=std)
        self.std = std

    @property
    def labels(self) -> int:
        """The upper and the lower moon."""
        return 2

    def draw(self, count: int, random: numpy.random.Generator) -> tuple[Tensor, Tensor]:
        """Points float32 `[count, 2]`, centred on 0, and the numbers of their moons."""
        labels, angle = random.integers(2, size=count), math.pi * random.random(count)
        turned = 1 - 2 * labels
        curve = numpy.stack([turned * numpy.cos(angle), turned * numpy.sin(angle)], axis=1)
        middle = numpy.array([0.5, 0.25]) * -turned[:, None]
        points = curve + middle + self.std * random.standard_normal((count, 2))
        return torch.from_numpy(points).float(), torch.from_numpy(labels)


class Spiral(Distribution):
    """Arms that wind around 0, out to a distance of 1; points are as dense all along an arm.

    Args:
        arms: their number.
        turns: of each arm.
        std: of normal noise along each axis.
    """

    def __init__(self, arms: int = 2, turns: float = 1.0, std: float = 0.02) -> None:
        if arms < 1:
            raise UserError(f"`arms` of Spiral must be at least 1, got {arms}")
        self._positive(turns=turns, std=std)
        self.arms, self.turns, self.std = arms, turns, std

    @property
    def labels(self) -> int:
        """The arms."""
        return self.arms

    def draw(self, count: int, random: numpy.random.Generator) -> tuple[Tensor, Tensor]:
        """Points float32 `[count, 2]` and the numbers of their arms."""
        labels, way = random.integers(self.arms, size=count), numpy.sqrt(random.random(count))
        angle = 2 * math.pi * (self.turns * way + labels / self.arms)
        curve = way[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
        points = curve + self.std * random.standard_normal((count, 2))
        return torch.from_numpy(points).float(), torch.from_numpy(labels)
