"""Differentiable augmentation (Zhao et al. 2020, https://arxiv.org/abs/2006.10738).

Real and generated images are changed alike, always, in both updates. Each image has draws of its
own. What comes in from outside, and what is cut out, is 0: gray, as pixels lie in [-1, 1].

With few images it can leak: gray squares of the cutout then appear in the samples.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.augment import Augment, InOrder, picked
from gan_modules.precision import wide, widened


class Drawn(Augment, ABC):
    """A change whose random numbers are drawn apart from their use."""

    @abstractmethod
    def draw(self, images: Tensor) -> tuple[Tensor, ...]:
        """Random numbers for images `[N, C, H, W]`, a tensor `[N]` for each of `changed`."""

    @abstractmethod
    def changed(self, images: Tensor, *draws: Tensor) -> Tensor:
        """Images `[N, C, H, W]` changed by these numbers."""

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]`, changed at random."""
        return self.changed(images, *self.draw(images))


class Colour(Drawn):
    """Change brightness, then saturation, then contrast. Gray images have no saturation."""

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Brightness in [-0.5, 0.5), saturation in [0, 2), contrast in [0.5, 1.5)."""
        kind = widened(images.dtype)
        first, second, third = torch.rand(3, len(images), dtype=kind, device=images.device)
        return first - 0.5, second * 2, third + 0.5

    def changed(self, images: Tensor, *draws: Tensor) -> Tensor:
        """Add brightness; scale by saturation about a pixel's gray, by contrast about the mean.

        Neither scaling moves the image's mean, so all three are one weighted sum of the pixel, its
        gray, the mean and brightness. Results are float32 at least.
        """
        brightness, saturation, contrast = (draw.view(-1, 1, 1, 1) for draw in draws)
        images = wide(images).contiguous()  # three times as fast as channels_last
        gray = images.mean(1, keepdim=True)
        mean = gray.mean((2, 3), keepdim=True)
        shift = torch.addcmul(brightness, mean, 1 - contrast)
        shift = torch.addcmul(shift, gray, contrast * (1 - saturation))
        return torch.addcmul(shift, images, contrast * saturation)


class Translation(Drawn):
    """Move images by whole pixels, by up to an eighth of their size along each axis."""

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels down and to the right, each of -reach to reach equally likely."""
        count, device = (len(images),), images.device
        down, right = (rounded(size / 8) for size in images.shape[2:])
        return (
            torch.randint(-down, down + 1, count, device=device),
            torch.randint(-right, right + 1, count, device=device),
        )

    def changed(self, images: Tensor, *draws: Tensor) -> Tensor:
        """Images moved down and to the right; zeros come in."""
        down, right = (draw.view(-1, 1) for draw in draws)
        height, width = images.shape[2:]
        above, beside = rounded(height / 8), rounded(width / 8)
        padded = F.pad(images, [beside, beside, above, above])
        rows = torch.arange(above, above + height, device=images.device) - down
        columns = torch.arange(beside, beside + width, device=images.device) - right
        return picked(padded, rows, columns)


class Cutout(Drawn):
    """Cut a square of half the size out of each image.

    A square of odd side has its centre on a pixel, one of even side between two pixels.
    """

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the square's centre, uniform over the image; may lie on its border."""
        count, device = (len(images),), images.device
        tall, broad = (size + 1 - rounded(size / 2) % 2 for size in images.shape[2:])
        return (
            torch.randint(tall, count, device=device),
            torch.randint(broad, count, device=device),
        )

    def changed(self, images: Tensor, *draws: Tensor) -> Tensor:
        """Images with zeros in their squares, as far as these lie inside."""
        rows, columns = (
            self._inside(size, centre).to(images.dtype)
            for size, centre in zip(images.shape[2:], draws, strict=True)
        )
        whole = torch.ones((), dtype=images.dtype, device=images.device)
        kept = torch.addcmul(whole, rows.unsqueeze(2), columns.unsqueeze(1), value=-1)
        return images * kept.unsqueeze(1)

    @staticmethod
    def _inside(size: int, centre: Tensor) -> Tensor:
        """Which of an axis's `size` pixels lie in the square, bool `[N, size]`."""
        side = rounded(size / 2)
        offset = torch.arange(size, device=centre.device) - (centre - side // 2).unsqueeze(1)
        return (offset >= 0) & (offset < side)


class DiffAugment(InOrder):
    """The groups of changes that are chosen, in the paper's order.

    Policies of the paper: BigGAN on CIFAR translation and cutout; StyleGAN2 on all of CIFAR colour
    and cutout; 100 images, or 10 and 20 % of CIFAR, all three.

    Args:
        colour: change brightness, saturation and contrast.
        translation: move by up to an eighth of the size.
        cutout: cut out a square of half the size.
    """

    of_points = False

    def __init__(self, colour: bool = True, translation: bool = True, cutout: bool = True) -> None:
        groups = ((colour, Colour), (translation, Translation), (cutout, Cutout))
        super().__init__([group() for chosen, group in groups if chosen])
        self.colour = colour
        self.translation = translation
        self.cutout = cutout

    def both(self, images: Tensor, small: Tensor) -> tuple[Tensor, Tensor]:
        """Images at the full and at half the size, changed by the same draws.

        Small ones are changed at the full size, each pixel four times, and halved by means of 2x2
        pixels.

        Args:
            images: `[N, C, H, W]`.
            small: `[N, C, H/2, W/2]`.
        """
        seen = torch.cat([images, F.interpolate(small, scale_factor=2)])
        for change in self.changes:
            draws = change.draw(images)
            seen = change.changed(seen, *(draw.repeat(2) for draw in draws))
        images, small = seen.chunk(2)
        return images, F.avg_pool2d(small, 2)


def rounded(length: float) -> int:
    """The nearest whole number of pixels; halves go up."""
    return int(length + 0.5)
