"""Pictures of points: the surface, what is drawn of modes, limits, and the film."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from datamodules import Moons, Points, Ring
from gan_modules import GAN
from gan_modules.networks import Discriminator, MLPDiscriminator, MLPGenerator, Packed
from gan_modules.parts import RelativisticPairing
from minmax.callbacks import Pictures
from minmax.films import pictures_in
from minmax.plane import FOUND, LOST, SIDE, TEXT, Plane, surface
from tests.gan_modules.helpers import fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")
DATA = Points(Ring(4), count=64, held_out=64, batch_size=16)


class Plain(Discriminator):
    """Linear logits: their slope is the weight."""

    of_points = True

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.layer = nn.Linear(channels, 1)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return self.layer(images.flatten(1)).squeeze(1)


def model(discriminator: object = Plain, **options: object) -> GAN:
    return GAN(
        generator=partial(MLPGenerator, width=4),
        discriminator=discriminator,
        generator_optimizer=partial(torch.optim.SGD, lr=0.1),
        discriminator_optimizer=partial(torch.optim.SGD, lr=0.1),
        **{"channels": 2, "image_size": 1, "num_classes": 4, "latent_dim": 2} | options,
    )


def pixels(picture: Tensor, colour: tuple[int, ...]) -> int:
    """Number of pixels of a colour, in a picture `[3, H, W]`."""
    wanted = torch.tensor(colour[:3]).view(3, 1, 1) / 255
    return int(((picture - wanted).abs() < 0.02).all(0).sum())


def test_the_surface_of_a_linear_discriminator() -> None:
    gan, points = model(), torch.randn(7, 2)
    logits, slopes = surface(gan, points, torch.randn(9, 2))
    layer = gan.discriminator.layer
    assert logits.allclose(layer(points).squeeze(1), atol=1e-6)
    assert slopes.allclose(layer.weight.expand(7, 2))
    assert points.requires_grad is False
    assert all(weight.grad is None for weight in gan.parameters())


def test_the_surface_of_packs() -> None:
    """A point is judged beside generated ones; the slope is that of its own place."""
    gan, points, others = (
        model(partial(Packed, discriminator=Plain)),
        torch.randn(7, 2),
        torch.ones(9, 2),
    )
    logits, slopes = surface(gan, points, others)
    layer = gan.discriminator.discriminator.layer
    wanted = layer(torch.cat([points, torch.ones(7, 2)], dim=1)).squeeze(1)
    assert logits.allclose(wanted, atol=1e-6)
    assert slopes.allclose(layer.weight[:, :2].expand(7, 2))


def test_missed_modes_are_red() -> None:
    gan, plane = model(), Plane(DATA)
    last = gan.generator.layers[-1]
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([1.0, 0.0]))  # the first mode's centre
    picture = plane.fake(gan)
    assert picture.shape == (3, SIDE + TEXT, SIDE)
    found, lost = pixels(picture, FOUND), pixels(picture, LOST)
    assert 0 < found < lost < 5 * found
    assert pixels(plane.real(gan), LOST) == 0


def test_limits_hold_the_data_and_never_change() -> None:
    plane = Plane(DATA)
    places = plane._places(DATA.split(True)[0].flatten(1)) / plane._places(plane.middle[None]) / 2
    assert places.min() > 0.1
    assert places.max() < 0.9
    assert (plane._places(plane.middle[None] + torch.tensor([0, plane.reach]))[0] >= 0).all()
    assert plane._places(plane.middle[None] + torch.tensor([0, plane.reach]))[0][
        1
    ] == pytest.approx(0, abs=1e-3)  # upwards


def test_a_game_without_a_zero_has_white_between_real_and_generated() -> None:
    """A constant more in all logits changes no pixel but the scale's numbers."""
    gan, plane = model(), Plane(DATA)
    gan.game = RelativisticPairing()
    before = plane.fake(gan)[:, :SIDE]
    with torch.no_grad():
        gan.discriminator.layer.bias += 5
    assert (plane.fake(gan)[:, :SIDE] - before).abs().max() < 0.02
    gan.game = model().game
    assert (plane.fake(gan)[:, :SIDE] - before).abs().max() > 0.1


@pytest.mark.parametrize(("mixture", "most"), [(Ring(4), 300), (Moons(), 2)])
def test_a_run_has_pictures_and_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixture: Ring | Moons, most: int
) -> None:
    monkeypatch.setattr("minmax.films.MOST", most)
    data = Points(mixture, count=64, held_out=64, batch_size=16)
    gan = model(partial(MLPDiscriminator, width=4), num_classes=mixture.labels)
    fit(gan, data, [Pictures(every_images=32)], default_root_dir=tmp_path, max_epochs=1)
    folder = tmp_path / "pictures"
    names = sorted(file.name for file in folder.glob("*.png"))
    fakes = [f"fake_{seen:09d}.png" for seen in (0, 32, 64)]
    assert names == [*fakes, "fake_last.png", "interpolation.png", "real.png"]
    film = Image.open(folder / "film.gif")
    assert film.n_frames == min(3, most)  # the last two pictures are the same
    assert film.size == (SIDE, SIDE + TEXT)
    assert np.asarray(film.convert("RGB")).std() > 1


def test_pictures_of_a_long_run(tmp_path: Path) -> None:
    """Of thousands, a film and a page show some, in the order of images, not of names."""
    seen = range(0, 2_000_000_000, 1_000_000)
    for images in seen:
        (tmp_path / f"fake_{images:09d}.png").touch()
    (tmp_path / "fake_last.png").touch()
    shown = [images for images, _ in pictures_in(tmp_path)]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1], len(shown)) == (seen[0], seen[-1], 300)
    gaps = {later - images for images, later in pairwise(shown)}
    assert gaps == {6_000_000, 7_000_000}
