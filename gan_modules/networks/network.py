"""What every generator and discriminator promises to the variants that train it."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from minmax.errors import UserError
from minmax.image_sizes import Size, shown

RECTANGLES = "StackedGenerator and FCGenerator, with their discriminators,"


class Network(nn.Module, ABC):
    """Base of all networks; knows no loss, no optimizer and no logging.

    Attributes:
        image_sizes: the side lengths in pixels that the network can be built for;
            empty means any.
        rectangles: whether it can be built for images that are no squares.
        of_points: whether the network is one of points in the plane, images of one pixel; None: it
            is as the network within it.
        conditional: whether the network uses the classes; all networks are given them.
    """

    image_sizes: ClassVar[tuple[int, ...]] = ()
    rectangles: ClassVar[bool] = False
    of_points: ClassVar[bool | None] = False
    conditional = False

    def __init__(self, image_size: Size) -> None:
        super().__init__()
        if self.of_points not in (None, image_size == 1):
            points = "points in the plane" if image_size == 1 else "images"
            raise UserError(
                f"{type(self).__name__} is no network of {points}: choose another `generator` and "
                f"`discriminator`{', MLPGenerator and MLPDiscriminator say' * (image_size == 1)}"
            )
        square = isinstance(image_size, int)
        if not (square or self.rectangles) or (
            self.image_sizes and image_size not in self.image_sizes
        ):
            sizes = ", ".join(str(size) for size in self.image_sizes) or "squares"
            raise UserError(
                f"{type(self).__name__} cannot be built for images of {shown(image_size)} "
                f"pixels; sizes it can: {sizes}. Change `image_size`, or choose another "
                f"`generator` and `discriminator`{'' if square else f' ({RECTANGLES} can)'}"
            )

    def check_positive(self, **options: int) -> None:
        """Refuse options that are below 1.

        Raises:
            UserError: there is one.
        """
        for name, value in options.items():
            if value < 1:
                raise UserError(
                    f"`{name}` of {type(self).__name__} must be at least 1, got {value}"
                )

    def check_shares(self, **options: float) -> None:
        """Refuse options that don't lie between 0 and 1.

        Raises:
            UserError: there is one.
        """
        for name, value in options.items():
            if not 0 <= value <= 1:
                raise UserError(
                    f"`{name}` of {type(self).__name__} must lie between 0 and 1, got {value}"
                )


class Generator(Network):
    """Draws images; a subclass takes these arguments first.

    Args:
        latent_dim: length of the latents.
        channels: of the images.
        image_size: of the images in pixels, one of `image_sizes`.
        num_classes: of the data, for networks that use the classes.
    """

    @abstractmethod
    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes int64 `[N]` to images `[N, C, H, W]`.

        Black is -1 and white 1. A network without tanh may go beyond; pictures and scores cut it.
        """


class Discriminator(Network):
    """Judges images; a subclass takes `channels, image_size, num_classes` first, as `Generator`."""

    @abstractmethod
    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` in [-1, 1], classes int64 `[N]` to logits `[N]`, no sigmoid."""


class ClassifyingDiscriminator(Discriminator):
    """A discriminator that predicts the class; it ignores the classes it is given."""

    @abstractmethod
    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images to real-or-fake logits `[N]` and class logits `[N, num_classes]`."""

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Real-or-fake logits `[N]`."""
        return self.heads(images)[0]


def initialize_dcgan(network: nn.Module) -> None:
    """Draw initial weights as DCGAN does, and keep convolutions in channels_last memory.

    Weights come from N(0, 0.02), batch norm scales from N(1, 0.02), and biases are zero
    (Radford et al. 2016, section 4, https://arxiv.org/abs/1511.06434).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    network.to(memory_format=torch.channels_last)


def one_hot(classes: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """Classes `[N]` to one-hot vectors `[N, num_classes]` of another tensor's type.

    torch's own searches the least and the greatest class, for which it waits for the device.
    """
    return like.new_zeros(classes.shape[0], num_classes).scatter_(1, classes[:, None], 1.0)
