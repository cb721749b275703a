"""What the discriminator says of images, and that asking it changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from datamodules import ImageDataModule
from gan_modules import ACGAN, GAN
from gan_modules.networks import Discriminator
from minmax.probes.judging import judge, observed_only, some_images
from tests.gan_modules.helpers import (
    CHANNELS,
    SIZE,
    TinyGenerator,
    TinyImages,
    copied,
    draws_nothing,
    equal,
    make_model,
)


class Means(Discriminator):
    """The image's mean; classes are added a thousandfold."""

    conditional = True

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return images.mean((1, 2, 3)) + 1000 * classes


class Dark(TinyGenerator):
    """Images of -1."""

    conditional = True

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return -torch.ones(len(latent), *self.shape)


class Plain(ImageDataModule):
    """Training images of 1, and held-out ones of another value; all of class 0."""

    def __init__(self, held_out: int = 102) -> None:
        super().__init__(["one", "two"], SIZE, CHANNELS == 1, batch_size=8)
        self.held_out = held_out

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        pixels = torch.full((20, CHANNELS, SIZE, SIZE), 255 if train else self.held_out)
        return pixels.byte(), torch.zeros(20, dtype=torch.long)


def test_how_far_held_out_images_lie_on_the_way() -> None:
    """From 1 to -1: the byte 102 is -0.2, 60 % of the way."""
    values = judge(make_model(generator=Dark, discriminator=Means, num_classes=2), Plain())
    expected = {"logits/train": 1.0, "logits/held_out": -0.2, "overfitting/held_out": 0.6}
    assert values == pytest.approx(expected, abs=1e-6)


def test_weights_in_float64() -> None:
    assert judge(make_model().double(), TinyImages()).keys() >= {"logits/train", "logits/held_out"}


def test_a_discriminator_at_chance_knows_nothing_by_heart() -> None:
    """A ratio of two differences by chance says nothing."""
    values = [judge(make_model(seed=seed), TinyImages()) for seed in range(5)]
    assert max(abs(value["overfitting/held_out"]) for value in values) < 0.4
    constant = make_model()
    for parameter in constant.discriminator.parameters():
        parameter.data.zero_()
    assert judge(constant, TinyImages())["overfitting/held_out"] == 0


def test_images_are_those_stored_and_the_same_each_time() -> None:
    data = TinyImages()
    images, classes = some_images(data, False, 30)
    pixels, labels = data.split(train=False)
    stored = {(image.numpy().tobytes(), int(c)) for image, c in zip(pixels, labels, strict=True)}
    again = {
        (image.numpy().tobytes(), int(c))
        for image, c in zip(((images + 1) * 127.5).round().byte(), classes, strict=True)
    }
    assert len(images) == 30
    assert again == stored, "12 images, of which 30 are asked"
    assert torch.equal(images, some_images(data, False, 30)[0])


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_nothing_changes(variant: type[GAN]) -> None:
    model = make_model(variant)
    model.discriminator.dropped = nn.Dropout().eval()
    before, modes = copied(model), [module.training for module in model.modules()]
    assert draws_nothing(lambda: judge(model, TinyImages()))
    assert equal(before, copied(model))
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ZeroDivisionError), observed_only(model):
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == modes


def test_batch_norm_takes_the_batch_and_dropout_is_off() -> None:
    images = torch.randn(64, 2, 3, 3) * 5 + 7
    norm, network = nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.9))
    with observed_only(network):
        assert torch.equal(network(images), norm(images))
    network(images)
    assert network[0].num_batches_tracked == 1, "it remembers again"
