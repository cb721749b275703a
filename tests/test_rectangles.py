"""Images that are no squares, from the file to the score."""

from functools import partial
from inspect import isabstract, signature
from pathlib import Path

import numpy
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor

import gan_modules.networks
from datamodules import ImageFolder, images
from datamodules.decode import Decoding, UnreadableError
from gan_modules import GAN
from gan_modules.networks import (
    FCDiscriminator,
    FCGenerator,
    Packed,
    StackedDiscriminator,
    StackedGenerator,
)
from gan_modules.networks.network import Generator, Network
from gan_modules.parts import ADA, DiffAugment
from minmax.callbacks import Quality
from minmax.errors import UserError
from minmax.image_sizes import Size
from minmax.probes.leaks import borders, leaks, squares
from tests.gan_modules.helpers import make_model, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")

WIDE = numpy.zeros((4, 12), numpy.uint8)
WIDE[:, 4:8] = 200  # a square of light in the middle


def test_decoding_to_height_and_width() -> None:
    assert (Decoding((4, 4), 1, "white")(WIDE) == 200).all()
    assert (Decoding((4, 6), 1, "white")(WIDE)[0, :, 0] == [0, 200, 200, 200, 200, 0]).all()
    assert (Decoding((6, 4), 1, "white")(WIDE.T)[:, 0, 0] == [0, 200, 200, 200, 200, 0]).all()
    padded = Decoding((6, 12), 1, "white", "pad")(WIDE)[..., 0]
    assert (padded[[0, 5]] == 255).all()
    assert (padded[1:5] == WIDE).all()
    with pytest.raises(UnreadableError, match=r"has 4x12 pixels \(height x width\), not 12x4"):
        Decoding((12, 4), 1, "white", "none")(WIDE)
    assert Decoding((4, 12), 3, "white", "none")(WIDE).shape == (4, 12, 3)


@pytest.mark.parametrize("size", [(4, 6), (6, 4), (8, 8), (2, 6), 6])
def test_resizing_stored_images_is_what_decoding_is(size: Size) -> None:
    smooth = numpy.add.outer(numpy.arange(24) * 3, numpy.arange(36) * 2).astype(numpy.uint8)
    stored = images.conform(torch.from_numpy(smooth)[None, None], 1, size, "")[0, 0]
    decoded = Decoding(size, 1, "white")(smooth)[..., 0].astype(int)
    assert numpy.abs(stored.numpy() - decoded).max() <= 5, "half a pixel, of an odd margin"


def test_option() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageFolder)
    given = parser.parse_args(["--root=x", "--image_size=[24, 32]"])
    assert tuple(given.image_size) == (24, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 24 images each of 8x12 pixels: light above, or below."""
    random = numpy.random.default_rng(0)
    for label in range(2):
        (tmp_path / f"class{label}").mkdir()
        for index in range(24):
            pixels = random.integers(0, 60, (8, 12), numpy.uint8)
            pixels[label * 4 : label * 4 + 4] += 150
            Image.fromarray(pixels).save(tmp_path / f"class{label}" / f"{index}.png")
    return tmp_path


def test_data(folder: Path) -> None:
    data = ImageFolder(str(folder), (8, 12), True, prepared=str(folder.parent / "sets"))
    assert data.split(True)[0].shape[1:] == (1, 8, 12)
    assert data.split(True, 32)[0].shape[1:] == (1, 8, 12), "not squeezed, nor cropped"
    assert ImageFolder(str(folder), (8, 8)).image_size == 8
    with pytest.raises(UserError, match="`image_size` is 0"):
        ImageFolder(str(folder), (8, 0))


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [(StackedGenerator, StackedDiscriminator), (FCGenerator, FCDiscriminator)],
)
def test_networks(generator: type[Generator], discriminator: type) -> None:
    classes = torch.zeros(4, dtype=torch.int64)
    drawn = generator(5, 3, (8, 16), 2)(torch.randn(4, 5), classes)
    assert drawn.shape == (4, 3, 8, 16)
    assert discriminator(3, (8, 16), 2)(drawn, classes).shape == (4,)
    assert Packed(3, (8, 16), 2, discriminator)(drawn, classes).shape == (2,)


def test_other_networks_refuse_them() -> None:
    able = {StackedGenerator, StackedDiscriminator, FCGenerator, FCDiscriminator, Packed}
    others = 0
    for name in gan_modules.networks.__all__:
        network = getattr(gan_modules.networks, name)
        if not isinstance(network, type) or not issubclass(network, Network):
            continue
        if isabstract(network) or network in able or network.of_points:
            continue
        given = {"latent_dim": 8, "channels": 3, "image_size": (32, 64), "num_classes": 2}
        taken = [given[option] for option in given if option in signature(network).parameters]
        with pytest.raises(
            UserError, match=f"{name} cannot be built for images of 32x64 .*Stacked"
        ):
            network(*taken)
        others += 1
    assert others > 20
    with pytest.raises(UserError, match="the sides of 8x12 pixels must stay whole"):
        StackedGenerator(5, 3, (8, 12), 2, depth=3)


@pytest.mark.parametrize("augment", [DiffAugment(), ADA(p=0.7, filter=1, noise=1, cutout=1)])
def test_training_and_scores(folder: Path, augment: DiffAugment | ADA) -> None:
    data = ImageFolder(str(folder), (8, 12), True, 8, prepared=str(folder.parent / "sets"))
    model = make_model(
        GAN,
        generator=partial(StackedGenerator, depth=2, width=4),
        discriminator=partial(StackedDiscriminator, width=4),
        image_size=data.image_size,
        num_classes=2,
        augment=augment,
    )
    trainer = make_trainer(callbacks=[Quality("domain", count=10)], limit_val_batches=1.0)
    trainer.fit(model, data)
    assert model.images_seen == 40
    assert trainer.callback_metrics["metric/fid_domain"] >= 0


def halves(images: Tensor) -> Tensor:
    return torch.cat([images, images.flip(2)])


def test_leaks() -> None:
    random = torch.rand(20, 3, 16, 32, generator=torch.Generator().manual_seed(0)) / 2 + 0.3
    cut = random.clone()
    cut[..., :4, :8] = 0  # what a corner keeps of a cutout
    assert squares(cut).all()
    assert not squares(random).any()
    edge = random.clone()
    edge[:, :, -1:] = 0
    assert borders(edge).all()
    assert not borders(random).any()
    upright = random * torch.linspace(0.5, 1, 16)[:, None]
    assert leaks(upright, upright)["leak/turns"] == pytest.approx(0, abs=1e-5)
    assert leaks(halves(upright), halves(upright).flip(0)).get("leak/turns") is None
