"""Changes of images before the discriminator sees them, in both updates."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan_modules.parts.games import Game
from gan_modules.parts.part import Part
from gan_modules.parts.schedules import LinearSchedule
from minmax.errors import UserError


class Augment(Part):
    """A differentiable change of images `[N, C, H, W]`, which keeps their shape.

    A subclass has `forward`, or `real` and `fake` if it treats the two kinds differently.

    Attributes:
        of_points: whether it has a meaning for points in the plane, images of one pixel.
    """

    of_points: ClassVar[bool] = False

    def real(self, images: Tensor) -> Tensor:
        """What the discriminator sees of real images."""
        return self(images)

    def fake(self, images: Tensor) -> Tensor:
        """What the discriminator sees of generated images."""
        return self(images)

    @property
    def adapts(self) -> bool:
        """Whether it learns from logits, so that it does nothing before `adapt` is called."""
        return False

    def adapt(self, real_logits: Tensor) -> None:
        """Learn from the logits `[N]` of real images in the discriminator's update."""

    def check(self, game: Game) -> None:
        """Refuse a game from whose logits it can't learn.

        Raises:
            UserError: it can't.
        """


class Unchanged(Augment):
    """No change."""

    of_points = True

    def forward(self, images: Tensor) -> Tensor:
        """The same images."""
        return images


class InOrder(Augment):
    """One change after another.

    Args:
        changes: the changes, in the order in which they are made.
    """

    of_points = True  # each change speaks for itself

    def __init__(self, changes: list[Augment]) -> None:
        super().__init__()
        self.changes: Any = nn.ModuleList(changes)

    def real(self, images: Tensor) -> Tensor:
        """What the discriminator sees of real images."""
        for change in self.changes:
            images = change.real(images)
        return images

    def fake(self, images: Tensor) -> Tensor:
        """What the discriminator sees of generated images."""
        for change in self.changes:
            images = change.fake(images)
        return images

    @property
    def adapts(self) -> bool:
        """Whether a change does."""
        return any(change.adapts for change in self.changes)

    def adapt(self, real_logits: Tensor) -> None:
        """Let each change learn."""
        for change in self.changes:
            change.adapt(real_logits)

    def check(self, game: Game) -> None:
        """Let each change refuse the game."""
        for change in self.changes:
            change.check(game)


class InstanceNoise(Augment):
    """Add Gaussian noise to what the discriminator sees (Sønderby et al. 2017, section 3.2).

    https://arxiv.org/abs/1610.04490

    Args:
        std: standard deviation at the start; pixels lie in [-1, 1]. 0 is off.
        anneal_images: number of images over which the noise falls to 0 linearly; 0 means
            that it stays constant.
        on_real: whether real images get the noise too. The source: no; the paper: yes.
    """

    of_points = True
    level: Tensor

    def __init__(self, std: float = 0.0, anneal_images: int = 0, on_real: bool = False) -> None:
        super().__init__()
        if std < 0 or anneal_images < 0:
            raise UserError(
                f"`std` and `anneal_images` must not be negative, got {std} and {anneal_images}"
            )
        self.std = std
        self.anneal_images = anneal_images
        self.on_real = on_real
        self.changing("level", LinearSchedule(std, 0.0, anneal_images) if anneal_images else std)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]` with their noise; not clipped."""
        return images + self.level * torch.randn_like(images) if self.std else images

    def real(self, images: Tensor) -> Tensor:
        """Real images, with noise if `on_real`."""
        return self.fake(images) if self.on_real else images


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each image's own rows and columns, in this order: `[N, C, height, width]`.

    Args:
        images: `[N, C, H, W]`.
        rows: int64 `[N, height]`.
        columns: int64 `[N, width]`.
    """
    count, channels, _, broad = images.shape
    places = (rows[:, :, None] * broad + columns[:, None, :]).view(count, 1, -1)
    # One index a pixel, for all channels; three indices a value take six times as long.
    chosen = images.flatten(2).gather(2, places.expand(-1, channels, -1))
    return chosen.view(count, channels, rows.shape[1], columns.shape[1])
