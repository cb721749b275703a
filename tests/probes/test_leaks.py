"""Signs of leaks, on real images of which a share is augmented."""

import pytest
import torch
from torch import Tensor

from datamodules import Digits
from minmax.probes.judging import some_images
from minmax.probes.leaks import leaks

SIGNS = {"leak/squares": 0.0, "leak/borders": 0.0, "leak/brightness": 1.0, "leak/turns": 0.0}
"""Of images as the real ones are."""


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """Digits `[800, 1, 16, 16]`."""
    return some_images(Digits(image_size=16), True, 800)[0]


def cut(images: Tensor) -> Tensor:
    """A corner is left of the cutout's square."""
    images[:, :, :4, 12:] = 0
    return images


def moved(images: Tensor) -> Tensor:
    images[:, :, :, -1:] = 0
    return images


def brighter(images: Tensor) -> Tensor:
    return images + torch.linspace(-0.5, 0.5, len(images)).view(-1, 1, 1, 1)


def turned(images: Tensor) -> Tensor:
    return torch.cat([torch.rot90(part, n, (2, 3)) for n, part in enumerate(images.chunk(4))])


@pytest.mark.parametrize(
    ("sign", "change", "least"),
    [
        ("leak/squares", cut, 0.25),
        ("leak/borders", moved, 0.25),
        ("leak/brightness", brighter, 1.4),
        ("leak/turns", turned, 0.25),
        (None, torch.clone, 0),
    ],
)
def test_a_third_of_the_images(
    sign: str | None, change: object, least: float, digits: Tensor
) -> None:
    """Only the sign of this change is far from that of unchanged images."""
    real, fake = digits.chunk(2)
    fake = fake.clone()
    fake[::3] = change(fake[::3])
    values = leaks(fake, real)
    assert values.keys() == SIGNS.keys()
    for name, usual in SIGNS.items():
        if name == sign:
            assert values[name] > least
        else:
            assert values[name] == pytest.approx(usual, abs=0.2), name


def test_what_real_images_show_is_no_sign(digits: Tensor) -> None:
    real, fake = cut(digits.clone()).chunk(2)
    assert leaks(fake, real)["leak/squares"] == 0
    real, fake = moved(digits.clone()).chunk(2)
    assert leaks(fake, real)["leak/borders"] == 0


def test_real_images_without_a_direction(digits: Tensor) -> None:
    """A texture has no upside."""
    assert "leak/turns" not in leaks(digits, torch.rand(200, 1, 16, 16) * 2 - 1)
    even = torch.stack([torch.rot90(digits, n, (2, 3)) for n in range(4)]).flatten(0, 1)
    assert "leak/turns" not in leaks(digits, even)
