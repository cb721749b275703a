"""DiffAugment: each change at known draws, the draws' ranges, and its gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_modules.parts import Colour, Cutout, DiffAugment, Drawn, Translation
from tests.gan_modules.helpers import draws_nothing

GROUPS: list[Callable[[], Drawn]] = [Colour, Translation, Cutout]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def each(*values: float) -> Tensor:
    return torch.tensor(values)


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# Colour


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_one_after_another(channels: int) -> None:
    images = torch.rand(2, channels, 4, 5) * 2 - 1
    draws = (each(0.3, -0.2), each(1.7, 0.4), each(0.6, 1.4))
    for image, changed, shift, saturation, contrast in zip(
        images, Colour().changed(images, *draws), *draws, strict=True
    ):
        image = image + shift
        gray = image.mean(0)
        image = (image - gray) * saturation + gray
        same(changed, (image - image.mean()) * contrast + image.mean())


def test_each_colour_draw_alone() -> None:
    """Brightness adds; saturation 0 is gray, 2 doubles the colours; contrast is about the mean."""
    images = each(0.1, 0.2, 0.6).view(1, 3, 1, 1) + each(-0.2, 0.2).view(1, 1, 1, 2)
    for draws, expected in (
        ((0.25, 1.0, 1.0), images + 0.25),
        ((0.0, 0.0, 1.0), each(0.1, 0.5).view(1, 1, 1, 2).expand(1, 3, 1, 2)),
        ((0.0, 2.0, 1.0), each(-0.3, 0.1, -0.1, 0.3, 0.7, 1.1).view(1, 3, 1, 2)),
        ((0.0, 1.0, 0.5), images / 2 + 0.15),
    ):
        same(Colour().changed(images, *(each(draw) for draw in draws)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_can_stay_as_they_are(channels: int) -> None:
    images = torch.randn(2, channels, 4, 4)
    same_draws = torch.zeros(2), torch.ones(2), torch.ones(2)
    assert torch.equal(Colour().changed(images, *same_draws), images)


# Translation


@pytest.mark.parametrize("channels", [1, 3])
def test_images_move_by_whole_pixels_and_zeros_come_in(channels: int) -> None:
    images = torch.randn(3, channels, 8, 24)  # reaches of 1 and 3
    moved = Translation().changed(images, torch.tensor([1, -1, 0]), torch.tensor([-3, 2, 0]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:, :-3] = images[0, :, :-1, 3:]
    expected[1, :, :-1, 2:] = images[1, :, 1:, :-2]
    expected[2] = images[2]
    assert torch.equal(moved, expected)


# Cutout


@pytest.mark.parametrize(
    ("size", "centre", "cut"),
    [
        (8, (4, 4), (slice(2, 6), slice(2, 6))),  # a side of 4
        (8, (0, 7), (slice(0, 2), slice(5, 8))),
        (8, (8, 1), (slice(6, 8), slice(0, 3))),
        (5, (2, 2), (slice(1, 4), slice(1, 4))),  # a side of 3: 2.5 is rounded up
        (5, (0, 4), (slice(0, 2), slice(3, 5))),
    ],
)
def test_squares_are_cut_at_the_border(
    size: int, centre: tuple[int, int], cut: tuple[slice, slice]
) -> None:
    images = torch.rand(1, 2, size, size) + 1
    expected = images.clone()
    expected[:, :, cut[0], cut[1]] = 0
    draws = (torch.tensor([place]) for place in centre)
    assert torch.equal(Cutout().changed(images, *draws), expected)


# Draws


@pytest.mark.parametrize(
    ("group", "size", "lows", "highs"),
    [
        (Colour, 32, [-0.5, 0, 0.5], [0.5, 2, 1.5]),
        (Translation, 32, [-4, -4], [4, 4]),
        (Translation, 20, [-3, -3], [3, 3]),  # 20 / 8 = 2.5 is rounded up
        (Translation, 3, [0, 0], [0, 0]),
        (Cutout, 32, [0, 0], [32, 32]),
        (Cutout, 5, [0, 0], [4, 4]),
    ],
)
def test_draws_fill_their_ranges(
    group: Callable[[], Drawn], size: int, lows: list[float], highs: list[float]
) -> None:
    """Uniformly, each image and each axis for itself."""
    count = 8000
    draws = group().draw(torch.zeros(()).expand(count, 3, size, size))
    assert len(draws) == len(lows)
    for draw, low, high in zip(draws, lows, highs, strict=True):
        assert draw.shape == (count,)
        assert low <= draw.min() <= low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) <= draw.max() <= high
        if draw.is_floating_point():
            assert draw.max() < high
            std = (high - low) / 12**0.5
        else:
            std = (((high - low + 1) ** 2 - 1) / 12) ** 0.5
        values = draw.double()
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=5 * std / count**0.5)
        assert values.std().item() == pytest.approx(std, rel=0.03)
    together = torch.stack([draw.double() for draw in draws])
    if (together.std(1) > 0).all():
        apart = torch.corrcoef(together) - torch.eye(len(draws))
        assert apart.abs().max() < 5 / count**0.5


def test_the_groups_chosen_follow_in_the_papers_order() -> None:
    """At the same random numbers it is what its groups make, one after another."""
    images = torch.randn(4, 3, 8, 8)
    for chosen in ((1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        augment = DiffAugment(*map(bool, chosen))
        torch.manual_seed(1)
        changed = augment.fake(images)
        torch.manual_seed(1)
        expected = images
        for group, is_chosen in zip(GROUPS, chosen, strict=True):
            expected = group()(expected) if is_chosen else expected
        assert torch.equal(changed, expected)
        assert not torch.equal(augment.real(images), changed), "draws of its own"


def test_without_groups_nothing_happens() -> None:
    images = torch.randn(2, 1, 4, 4)
    off = DiffAugment(colour=False, translation=False, cutout=False)
    assert off.fake(images) is images
    assert draws_nothing(lambda: off.real(images))


# Gradients


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("group", GROUPS)
def test_gradients_and_their_gradients(group: Callable[[], Drawn], channels: int) -> None:
    """Of the square of what comes out: all changes are linear."""
    images = torch.randn(2, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    draws = group().draw(images)

    def energy(given: Tensor) -> Tensor:
        return group().changed(given, *draws).square().flatten(1).sum(1)

    assert torch.autograd.gradcheck(energy, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, images, fast_mode=True)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_of_numbers(kind: torch.dtype) -> None:
    """Colours of half precision become float32; pixels that move or vanish stay what they were."""
    images = torch.randn(2, 3, 8, 8).to(kind)
    with torch.autocast("cpu", torch.bfloat16, enabled=kind != torch.float64):
        wide = torch.float64 if kind == torch.float64 else torch.float32
        assert Colour().fake(images).dtype == wide
        assert Translation().fake(images).dtype == Cutout().fake(images).dtype == kind
        assert all(draw.dtype == wide for draw in Colour().draw(images))


@pytest.mark.parametrize("group", GROUPS)
def test_the_order_of_memory_makes_no_difference(group: Callable[[], Drawn]) -> None:
    images = torch.randn(3, 3, 8, 8)
    draws = group().draw(images)
    turned = images.to(memory_format=torch.channels_last)
    same(group().changed(turned, *draws), group().changed(images, *draws))
