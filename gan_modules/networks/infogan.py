"""InfoGAN's networks (Chen et al. 2016, https://arxiv.org/abs/1606.03657), as in the authors' code.

For 28x28 images, the paper's, and for 32x32: the smallest maps then have 8 instead of 7 pixels a
side, and the linear layers beside them a third more weights.

Deviations from the authors' code: no biases before batch norm, and tanh behind the last layer.
"""

import math

import torch
from torch import Tensor, nn

from gan_modules.networks.layers import ConvTranspose2d
from gan_modules.networks.network import Discriminator, Generator, initialize_dcgan, one_hot
from minmax.errors import UserError

SIZES = (28, 32)
SLOPE = 0.01
"""Of the discriminator's leaky ReLUs."""


def check_codes(network: str, categories: int, continuous: int) -> None:
    """Refuse numbers of codes.

    Raises:
        UserError: there is less than 2 categories, or a negative number of continuous codes.
    """
    if categories < 2 or continuous < 0:
        raise UserError(
            f"`categories` of {network} must be at least 2 and `continuous` at least 0, got "
            f"{categories} and {continuous}"
        )


class InfoGANGenerator(Generator):
    """Two linear layers and two transposed convolutions, from noise and codes.

    The codes are made of the last numbers of the latent. All its numbers come from N(0, 1), as
    everywhere, so that interpolated, truncated and moved latents have codes that were trained. The
    greatest of `categories` numbers says which category is meant (a one-hot vector means its own);
    a continuous code is erf(z / sqrt 2), which is uniform between -1 and 1.

    Args:
        latent_dim: length of the latents: noise, categories, continuous. Paper: 62 + 10 + 2.
        categories: values of the categorical code.
        continuous: number of continuous codes.
        width: channels before the last layer; all other widths are multiples. Paper: 64.
    """

    image_sizes = SIZES

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        categories: int = 10,
        continuous: int = 2,
        width: int = 64,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        check_codes(type(self).__name__, categories, continuous)
        if latent_dim <= categories + continuous:
            raise UserError(
                f"`latent_dim` {latent_dim}: the last {categories + continuous} numbers of a latent"
                f" are codes, so it must be at least {categories + continuous + 1} (paper: 62 more)"
            )
        self.categories = categories
        self.continuous = continuous
        self.parts = [latent_dim - categories - continuous, categories, continuous]
        side, hidden, maps = image_size // 4, 16 * width, 2 * width
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, maps * side**2, bias=False),
            nn.BatchNorm1d(maps * side**2),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (maps, side, side)),
            ConvTranspose2d(maps, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        initialize_dcgan(self)

    def codes(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents `[N, latent_dim]` to categories int64 `[N]`, continuous codes `[N, C]`."""
        _, of_category, of_continuous = torch.split(latent, self.parts, dim=1)
        return of_category.argmax(dim=1), torch.erf(of_continuous / math.sqrt(2))

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` to images `[N, C, H, W]`."""
        category, continuous = self.codes(latent)
        chosen = one_hot(category, self.categories, latent)
        inputs = torch.cat([latent[:, : self.parts[0]], chosen, continuous], dim=1)
        return self.layers(inputs)


class InfoGANDiscriminator(Discriminator):
    """Two convolutions and a linear layer, then a logit, and beside it Q, which reads the codes.

    Args:
        categories: values of the categorical code, as the generator's.
        continuous: number of continuous codes, likewise.
        learned_std: whether Q says how sure it is of a continuous code; else its standard
            deviation is 1.
        width: channels after the first layer; all other widths are multiples. Paper: 64.
    """

    image_sizes = SIZES

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        categories: int = 10,
        continuous: int = 2,
        learned_std: bool = False,
        width: int = 64,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(width=width)
        check_codes(type(self).__name__, categories, continuous)
        self.categories = categories
        self.continuous = continuous
        hidden, maps = 16 * width, 2 * width
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(width, maps, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(maps),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Flatten(),
            nn.Linear(maps * (image_size // 4) ** 2, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.source_head = nn.Linear(hidden, 1)
        self.code_head = nn.Sequential(
            nn.Linear(hidden, maps, bias=False),
            nn.BatchNorm1d(maps),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Linear(maps, categories + continuous * (1 + learned_std)),
        )
        initialize_dcgan(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` to real-or-fake logits `[N]`."""
        return self.source_head(self.body(images)).squeeze(1)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images to logits `[N]`, and what Q says of their codes.

        Q gives the category's logits `[N, K]`, and means and logarithms of the standard deviations
        of the continuous codes, both `[N, C]`.
        """
        features = self.body(images)
        said = self.code_head(features)
        category, mean = said[:, : self.categories], said[:, self.categories :]
        mean, log_std = mean[:, : self.continuous], mean[:, self.continuous :]
        if not log_std.shape[1]:
            log_std = torch.zeros_like(mean)
        return self.source_head(features).squeeze(1), category, mean, log_std
