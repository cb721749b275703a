"""ADA's transforms against exact affine and colour maps, and what is promised of the whole."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_modules.parts import ADA, CosineSchedule
from gan_modules.parts.ada.ada import STAGES
from gan_modules.parts.ada.colour import colour_map, recoloured
from gan_modules.parts.ada.corruption import cut, noisy
from gan_modules.parts.ada.draws import TRANSFORMS, Draws, Values, nothing
from gan_modules.parts.ada.filters import filtered, gains
from gan_modules.parts.ada.geometric import inverse_map, moved
from gan_modules.parts.ada.resampling import resampled
from gan_modules.parts.ada.shown import NAMES, shown
from gan_modules.parts.ada.wavelets import SYM2, SYM6, frequency_bands
from tests.gan_modules.helpers import draws_nothing

GROUPS = ("blit", "geometry", "colour", "filter", "noise", "cutout")
EVERYTHING = dict.fromkeys(GROUPS, 1.0)
IMAGES = torch.randn(3, 3, 9, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
HEIGHT, WIDTH = IMAGES.shape[2:]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def drawn(images: Tensor = IMAGES, **columns: list[float] | float) -> Values:
    """Values that change nothing, but for these columns, which are alike for all images."""
    values = nothing(images)
    for name, value in columns.items():
        values[name] = images.new_tensor(value).reshape(1, -1).expand_as(values[name])
    return values


# How the transforms are drawn


def test_each_transform_has_its_law() -> None:
    """All coins at 1: range, mean and standard deviation of each column, and whole numbers."""
    count = 20_000
    draws = Draws(EVERYTHING)(torch.zeros(count, 1, 1, 1), torch.tensor(1.0))
    eighth, turn = math.sqrt(1 / 48) / 2, math.pi / math.sqrt(3)
    laws = {  # mean, standard deviation, least and greatest value
        "flip": (0.5, 0.5, 0, 1),
        "quarter_turns": (1.5, math.sqrt(1.25), 0, 3),
        "whole_shift": (0, eighth, -1 / 8, 1 / 8),
        "scale": (0, 0.2, -9, 9),
        "turn_before": (0, turn, -math.pi, math.pi),
        "stretch": (0, 0.2, -9, 9),
        "turn_after": (0, turn, -math.pi, math.pi),
        "shift": (0, 1 / 8, -9, 9),
        "brightness": (0, 0.2, -9, 9),
        "contrast": (0, 0.5, -9, 9),
        "luma_flip": (0.5, 0.5, 0, 1),
        "hue": (0, turn, -math.pi, math.pi),
        "saturation": (0, 1, -9, 9),
        **{f"band_{band}": (0, 1, -9, 9) for band in range(4)},
        "noise": (0, 0.1, -9, 9),
        "cutout": (0.5, 0, 0.5, 0.5),
    }
    assert list(laws) == [transform.name for transform in TRANSFORMS]
    assert len(NAMES) == 18
    columns = torch.cat([draws[name] for name in laws], dim=1)
    owners = [name for name in laws for _ in range(draws[name].shape[1])]
    for name, column in zip(owners, columns.T, strict=True):
        mean, std, low, high = laws[name]
        if name == "cutout" and not (column == 0.5).all():  # the centre
            mean, std, low, high = 0.5, math.sqrt(1 / 12), 0, 1
        assert column.mean().item() == pytest.approx(mean, abs=5 * std / count**0.5), name
        assert column.std().item() == pytest.approx(std, rel=0.03, abs=1e-6), name
        assert low <= column.min(), name
        assert column.max() <= high, name
        if name in ("flip", "quarter_turns", "luma_flip"):
            assert len(column.unique()) == high + 1
        elif std:
            assert len(column.unique()) > 0.9 * count
    several = columns[:, [index for index, name in enumerate(owners) if name != "cutout"]]
    others = torch.corrcoef(several.T) - torch.eye(several.shape[1])
    assert others.abs().max() < 0.04, "each is drawn for itself"


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_transform_has_its_probability(p: float) -> None:
    """p times the multiplier of its group; the two turns together have it, and one coin a shift."""
    count, shares = 20_000, dict(zip(GROUPS, (1, 0.5, 0.25, 0.8, 0, 1), strict=True))
    draws = Draws(shares)(torch.zeros(count, 1, 1, 1), torch.tensor(p))
    for transform in TRANSFORMS:
        chance = p * shares[transform.group]
        chance = 1 - math.sqrt(1 - chance) if transform.twice else chance
        touched = draws[transform.name] != 0
        assert (touched.all(dim=1) == touched.any(dim=1)).all() or transform.whole
        if transform.whole:
            chance *= 1 - 1 / transform.high[0]
        share = touched.any(dim=1).double().mean().item()
        assert share == pytest.approx(chance, abs=4 * math.sqrt(chance / count)), transform.name
    turned = (draws["turn_before"] != 0) | (draws["turn_after"] != 0)
    assert turned.double().mean().item() == pytest.approx(0.5 * p, abs=0.015)


# Geometry

DOWN, RIGHT = 2 / HEIGHT, -3 / WIDTH
MAPS: dict[str, tuple[dict[str, list[float] | float], list[list[float]]]] = {
    "nothing": ({}, [[1, 0, 0], [0, 1, 0]]),
    "flip": ({"flip": 1}, [[-1, 0, 0], [0, 1, 0]]),
    "quarter turn": ({"quarter_turns": 1}, [[0, -1, 0], [1, 0, 0]]),
    "half turn": ({"quarter_turns": 2}, [[-1, 0, 0], [0, -1, 0]]),
    "whole shift": (
        {"whole_shift": [1.01 * RIGHT, 0.99 * DOWN]},
        [[1, 0, -3], [0, 1, 2]],
    ),
    "scale": ({"scale": -1}, [[0.5, 0, 0], [0, 0.5, 0]]),
    "turn before": (
        {"turn_before": math.pi / 6},
        [[0.75**0.5, -0.5, 0], [0.5, 0.75**0.5, 0]],
    ),
    "stretch": ({"stretch": 1}, [[2, 0, 0], [0, 0.5, 0]]),
    "turn after": ({"turn_after": -math.pi / 2}, [[0, 1, 0], [-1, 0, 0]]),
    "shift": ({"shift": [0.01, -0.02]}, [[1, 0, 0.01 * WIDTH], [0, 1, -0.02 * HEIGHT]]),
}


@pytest.mark.parametrize("name", MAPS)
def test_the_map_of_each_transform(name: str) -> None:
    columns, rows = MAPS[name]
    forward = torch.tensor([*rows, [0, 0, 1]], dtype=torch.float64)
    inverse = inverse_map(drawn(**columns), HEIGHT, WIDTH)
    torch.testing.assert_close(inverse @ forward, torch.eye(3).double().expand(3, -1, -1))


def test_maps_follow_each_other() -> None:
    """In the order of the list: the first one is next to the image."""
    order = ["flip", "quarter turn", "whole shift", "scale", "turn before", "stretch"]
    order += ["turn after", "shift"]
    columns = {name: value for each in order for name, value in MAPS[each][0].items()}
    forward = np.eye(3)
    for each in order:
        forward = np.array([*MAPS[each][1], [0, 0, 1]]) @ forward
    inverse = inverse_map(drawn(**columns), HEIGHT, WIDTH)
    np.testing.assert_allclose(inverse[1].numpy(), np.linalg.inv(forward), atol=1e-12)


def smooth(size: int = 32) -> Tensor:
    """Images without details that the filters would bend."""
    down, right = torch.meshgrid(*[torch.linspace(0, 3, size).double()] * 2, indexing="ij")
    return torch.stack([torch.sin(down + 2 * right), torch.cos(2 * down) * right])[None]


def test_whole_pixel_maps_are_exact_or_nearly_so() -> None:
    """A shift is exact up to the border. A flip or a quarter turn is so up to the asymmetry of the
    filter: 2.5 % of the contrast in smooth images, 22 % in white noise."""
    images = smooth()
    columns = {"whole_shift": [3 / 32, -2 / 32]}
    shifted, exact = moved(images, drawn(images, **columns)), images.roll((-2, 3), (2, 3))
    inner = (..., slice(2, -8), slice(8, -2))  # what the filters make of the border lies outside
    torch.testing.assert_close(shifted[inner], exact[inner], atol=1e-9, rtol=0)
    noise = torch.randn(8, 2, 32, 32, dtype=torch.float64)
    for given, least in ((images, 0.025), (noise, 0.22)):
        for columns, exact in (
            ({"flip": 1}, given.flip(3)),
            ({"quarter_turns": 1}, given.rot90(-1, (2, 3))),
            ({"quarter_turns": 2}, given.rot90(2, (2, 3))),
        ):
            error = moved(given, drawn(given, **columns)) - exact
            assert error.square().mean().sqrt() < least * given.std()


def literal(images: Tensor, inverse: Tensor) -> Tensor:
    """The definition: insert zeros and filter, sample, filter and keep every other pixel.

    The images are a mirror's when they are filtered, and so are the finer images when sampled.
    """
    kernel = torch.tensor(SYM6, dtype=torch.float64)
    kernel = (kernel / kernel.sum()).flip(0)
    both = kernel[:, None] * kernel
    channels, (height, width) = images.shape[1], images.shape[2:]
    padded = F.pad(images, (width - 1, width - 1, height - 1, height - 1), "reflect")
    spread = padded.new_zeros(*padded.shape[:2], 2 * padded.shape[2], 2 * padded.shape[3])
    spread[:, :, ::2, ::2] = 4 * padded
    weights = both.expand(channels, 1, -1, -1)
    finer = F.conv2d(F.pad(spread, (6, 5, 6, 5)), weights, groups=channels)
    top, left = 2 * (height - 1), 2 * (width - 1)
    finer = finer[:, :, top : 2 * top + 1, left : 2 * left + 1]
    finer = F.pad(finer, (left, left, top, top), "reflect")
    points = [
        torch.arange(-5, 2 * size + 5).double() / 2 - (size - 1) / 2 for size in (height, width)
    ]
    down, right = torch.meshgrid(*points, indexing="ij")
    places = torch.stack([right, down, torch.ones_like(right)], dim=-1) @ inverse[:, None, :2].mT
    spots = 2 * (places + (places.new_tensor([width, height]) - 1) / 2)
    spots = spots + 2 * (places.new_tensor([width, height]) - 1)
    grid = (2 * spots + 1) / places.new_tensor([finer.shape[3], finer.shape[2]]) - 1
    sampled = F.grid_sample(finer, grid, align_corners=False)
    return F.conv2d(sampled, weights.flip(2, 3), stride=2, groups=channels)


def test_resampling_is_what_its_definition_says() -> None:
    columns = {"flip": 1.0, "turn_before": 0.7, "stretch": 0.3, "scale": 0.4, "shift": [0.1, -0.1]}
    inverse = inverse_map(drawn(**columns), HEIGHT, WIDTH)
    torch.testing.assert_close(resampled(IMAGES, inverse), literal(IMAGES, inverse))
    alone = torch.cat([resampled(one[None], inverse[:1].float()) for one in IMAGES.float()])
    torch.testing.assert_close(alone.double(), literal(IMAGES, inverse), atol=1e-4, rtol=0)


def test_far_away_the_mirrors_go_on() -> None:
    """A mirror image of a mirror image is the image; the filters alone change it at the border."""
    far = drawn(whole_shift=[-2 * (WIDTH - 1) / WIDTH, 4 * (HEIGHT - 1) / HEIGHT])
    result = moved(IMAGES, far)
    assert (result - IMAGES).abs().mean() < 0.1
    near = resampled(IMAGES, torch.eye(3, dtype=torch.float64).expand(3, -1, -1))
    torch.testing.assert_close(result, near)


# Colours

AXIS = np.full((3, 3), 1 / 3)
COLOURS: dict[str, tuple[dict[str, float], np.ndarray, float]] = {
    "brightness": ({"brightness": 0.3}, np.eye(3), 0.3),
    "contrast": ({"contrast": -1}, np.eye(3) / 2, 0.0),
    "luma flip": ({"luma_flip": 1}, np.eye(3) - 2 * AXIS, 0.0),
    "a third of a turn": ({"hue": 2 * math.pi / 3}, np.eye(3)[[2, 0, 1]], 0.0),
    "saturation": ({"saturation": 1}, AXIS + 2 * (np.eye(3) - AXIS), 0.0),
}


@pytest.mark.parametrize("name", COLOURS)
def test_the_map_of_each_colour(name: str) -> None:
    columns, matrix, offset = COLOURS[name]
    found, added = colour_map(drawn(**columns))
    np.testing.assert_allclose(found[0].numpy(), matrix, atol=1e-12)
    np.testing.assert_allclose(added[0].numpy(), offset, atol=1e-12)


def test_colours_follow_each_other() -> None:
    columns, matrix, offset = {}, np.eye(3), np.zeros(3)
    for some, factor, added in COLOURS.values():
        columns |= some
        matrix, offset = factor @ matrix, factor @ offset + added
    expected = np.einsum("ij,njhw->nihw", matrix, IMAGES.numpy()) + offset[:, None, None]
    values = drawn(**columns)
    np.testing.assert_allclose(recoloured(IMAGES, values).numpy(), expected, atol=1e-12)
    gray = IMAGES[:, :1]
    wanted = recoloured(gray.expand_as(IMAGES), values).mean(dim=1, keepdim=True)
    torch.testing.assert_close(recoloured(gray, values), wanted)


def test_gray_images_have_neither_hue_nor_saturation() -> None:
    gray = IMAGES[:, :1]
    torch.testing.assert_close(recoloured(gray, drawn(hue=1.0, saturation=2.0)), gray)
    with pytest.raises(ValueError, match=r"`colour` of ADA needs .* 1 or 3 channels, got 2"):
        ADA(p=1.0)(IMAGES[:, :2])


# Frequency bands


def test_wavelets_are_orthogonal_and_bands_sum_to_the_identity() -> None:
    for taps in (np.array(SYM2), np.array(SYM6)):
        shifted = [np.sum(taps[2 * n :] * taps[: len(taps) - 2 * n]) for n in range(len(taps) // 2)]
        np.testing.assert_allclose(shifted, [1, *[0] * (len(shifted) - 1)], atol=1e-11)
        assert taps.sum() == pytest.approx(math.sqrt(2))
    np.testing.assert_allclose(SYM2, (-0.1294095, 0.2241439, 0.8365163, 0.4829629), atol=1e-7)
    bands = frequency_bands()
    assert bands.shape == (4, 43)
    torch.testing.assert_close(bands.sum(dim=0), torch.eye(43).double()[21])
    torch.testing.assert_close(bands, bands.flip(1))
    response = torch.fft.rfft(bands, 1024).abs()
    octaves = [(0, 1 / 16), (1 / 8, 3 / 16), (1 / 4, 3 / 8), (5 / 8, 1)]  # of the highest frequency
    for band, (low, high) in enumerate(octaves):
        inside = response[:, math.ceil(512 * low) : int(512 * high) + 1]
        assert (inside.argmax(dim=0) == band).all()


def test_gains_keep_the_expected_power() -> None:
    power = np.array([10, 1, 1, 1]) / 13
    found = gains(drawn(band_2=1.0))[0].numpy()
    np.testing.assert_allclose(found, np.array([1, 1, 2, 1]) / math.sqrt(1 + 3 / 13))
    assert np.sum(power * found**2) == pytest.approx(1)
    several = gains(drawn(band_0=-1.0, band_3=2.0))[0].numpy()
    one, other = np.array([0.5, 1, 1, 1]), np.array([1, 1, 1, 4])
    scale = np.sqrt(np.sum(power * one**2) * np.sum(power * other**2))
    np.testing.assert_allclose(several, one * other / scale)


def test_images_are_filtered_along_both_axes() -> None:
    images = torch.randn(2, 3, 24, 26, dtype=torch.float64)
    values = {name: value.clone() for name, value in drawn(images).items()}
    values["band_1"][1], values["band_3"][1] = 1.5, -1.0
    taps = (gains(values)[1] @ frequency_bands()).expand(3, 1, 1, -1)
    padded = F.pad(images[1:], (21, 21, 21, 21), "reflect")
    expected = F.conv2d(F.conv2d(padded, taps, groups=3), taps.mT, groups=3)
    result = filtered(images, values)
    torch.testing.assert_close(result[1:], expected)
    assert torch.equal(result[:1], images[:1])
    assert filtered(IMAGES[..., :5, :1], drawn(band_1=1.0)).isfinite().all(), "tiny ones too"


# Corruption


def test_noise_has_its_own_strength_for_each_image() -> None:
    images = torch.ones(3, 3, 100, 100)
    values = nothing(images)
    values["noise"] = torch.tensor([[0.0], [0.1], [-0.2]])
    added = noisy(images, values) - images
    assert torch.equal(added[0], torch.zeros(3, 100, 100))
    assert added.std(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0.1, 0.2], rel=0.03, abs=0)
    assert added.mean(dim=(1, 2, 3)).abs().max() < 0.01


@pytest.mark.parametrize(
    ("centre", "rows", "columns"),
    [((0.5, 0.5), (2, 6), (3, 9)), ((0.0, 1.0), (6, 8), (0, 3)), ((0.75, 0.25), (0, 4), (6, 12))],
)
def test_a_square_is_cut_out(
    centre: tuple[float, float], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    images = torch.ones(1, 2, 8, 12)
    expected = images.clone()
    expected[..., slice(*rows), slice(*columns)] = 0
    values = drawn(images, cutout=[0.5, *centre])
    assert torch.equal(cut(images, values), expected)


# The whole


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_p_0_images_are_the_same_to_the_bit(channels: int, dtype: torch.dtype) -> None:
    images = torch.randn(5, channels, 8, 8, dtype=dtype)
    ada = ADA(**EVERYTHING)
    assert torch.equal(ada.real(images), images)
    assert not draws_nothing(lambda: ada(images)), "a step does the same work whatever p is"
    off = ADA(p=0.0)
    assert off.fake(images) is images
    assert draws_nothing(lambda: off(images))


def test_p_is_the_share_of_images_that_each_group_touches() -> None:
    images = torch.randn(4000, 3, 2, 2)
    for group, transforms in {"cutout": 1, "noise": 1, "filter": 4, "colour": 4.5}.items():
        ada = ADA(p=0.2, **(dict.fromkeys(GROUPS, 0.0) | {group: 1.0}))
        touched = (ada(images) != images).any(dim=(1, 2, 3)).float().mean().item()
        # a luma flip takes place half of the times
        spared = 0.8 ** int(transforms) * (0.9 if transforms % 1 else 1)
        assert touched == pytest.approx(1 - spared, abs=0.03)


@pytest.mark.parametrize("transform", ["quarter_turns", "flip", "luma_flip"])
def test_the_data_can_be_told_below_p_1(transform: str) -> None:
    """A transform of a finite group mixes its orders; the mixing has an inverse unless p is 1.

    Its eigenvalues are 1 and 1 - p (Karras et al. 2020, appendix C).
    """
    for p in (0.5, 0.8, 1.0):
        draws = Draws(EVERYTHING)(torch.zeros(40_000, 1, 1, 1), torch.tensor(p))
        values = draws[transform][:, 0].long()
        size = 4 if transform == "quarter_turns" else 2
        shares = values.bincount(minlength=size) / len(values)
        mixing = torch.stack([shares.roll(turned) for turned in range(size)])
        magnitudes = torch.linalg.eigvals(mixing).abs().sort().values
        assert magnitudes.tolist() == pytest.approx([1 - p] * (size - 1) + [1.0], abs=0.02)


def test_each_image_is_drawn_for_itself() -> None:
    images = torch.randn(1, 3, 8, 8).expand(16, -1, -1, -1)
    ada = ADA(p=1.0)
    first, second = ada.real(images), ada.fake(images)
    assert not torch.equal(first, second)
    assert all(not torch.allclose(first[0], other, atol=0.01) for other in first[1:])


def test_groups_at_0_are_left_out() -> None:
    assert [len(ADA(p=1.0, **options)._stages) for options in ({}, EVERYTHING)] == [2, 5]
    without = ADA(p=1.0, blit=0.0, geometry=0.0)
    images = torch.randn(4, 3, 8, 8)
    draws = without.draws(images, without.p_now)
    assert all((draws[t.name] == 0).all() for t in TRANSFORMS if t.group != "colour")
    assert [do.__name__ for _, do in STAGES] == ["moved", "recoloured", "filtered", "noisy", "cut"]


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_go_to_the_images_twice(channels: int) -> None:
    """The penalty of a slope needs the second derivative."""
    ada = ADA(p=0.9, **EVERYTHING)

    def seeded(images: Tensor) -> Tensor:
        torch.manual_seed(3)
        return ada(images)

    images = torch.randn(2, channels, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(seeded, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: seeded(x).pow(3), images, fast_mode=True)
    (gradient,) = torch.autograd.grad(seeded(images).sum(), images)
    assert (gradient != 0).any(dim=(1, 2, 3)).all()


def test_a_slope_penalty_through_the_transforms_trains_the_discriminator() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    logits = network(ADA(p=0.8)(images))
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert network[0].weight.grad.norm() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    images = torch.randn(4, 3, 8, 8).to(dtype).requires_grad_()
    ada, results = ADA(p=0.8, filter=1.0), []
    for given in (images, images.detach().float()):
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=given is images):
            results.append(ada(given))
    assert results[0].dtype == torch.float32
    assert torch.equal(results[0].detach(), results[1])
    results[0].sum().backward()
    assert images.grad.dtype == dtype


def test_p_follows_its_schedule() -> None:
    ada = ADA(p=CosineSchedule(0.0, 0.4, 1000))
    for seen, p in ((0, 0.0), (500, 0.2), (1000, 0.4), (5000, 0.4)):
        ada.begin(seen)
        assert ada.p_now.item() == pytest.approx(p)
    ada.adapt(torch.ones(4))
    assert ada.observed == {"augment/p": ada.p_now}
    assert ada.control is None
    assert ada.state_dict() == {}


@pytest.mark.parametrize("name", NAMES)
def test_each_transform_can_be_shown_alone(name: str) -> None:
    images = torch.rand(2, 3, 8, 8) - 0.5
    assert torch.equal(shown(images, name, 0.0), images)
    changes = [(shown(images, name, strength) - images).abs().mean() for strength in (0.6, 1.0)]
    assert min(changes) > 0.01
    assert shown(images[:, :1], name, 1.0).shape == (2, 1, 8, 8)


WRONG: dict[str, Callable[[], object]] = {
    r"`colour` of ADA must lie in \[0, 1\], got 1.5": lambda: ADA(colour=1.5),
    r"`p` of ADA must lie in \[0, 1\], got -0.1": lambda: ADA(p=-0.1),
    r"`p` of ADA must lie in \[0, 1\], got \(0.0, 2.0\)": lambda: ADA(
        p=CosineSchedule(0.0, 2.0, 9)
    ),
    "all multipliers of ADA are 0": lambda: ADA(blit=0, geometry=0, colour=0),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
