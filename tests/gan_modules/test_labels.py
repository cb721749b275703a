"""Tricks: the identity when off, and what they promise when on."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gan_modules.tricks import (
    HardLabels,
    InstanceNoise,
    LabelFlips,
    MixedBatch,
    OneSidedSmoothing,
    SeparateBatches,
    SoftLabels,
)

COUNT = 20_000


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def draws_nothing(action: Callable[[], object]) -> bool:
    before = torch.get_rng_state()
    action()
    return torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("labels", "real", "fake"),
    [
        (HardLabels(), 1.0, 0.0),
        (OneSidedSmoothing(), 0.9, 0.0),
        (OneSidedSmoothing(0.7), 0.7, 0.0),
    ],
)
def test_constant_labels(labels: HardLabels, real: float, fake: float, dtype: torch.dtype) -> None:
    logits = torch.randn(5, dtype=dtype)
    # Not rounded to the logits' own precision: 0.9 is none of bfloat16's numbers.
    assert torch.equal(labels.real(logits), torch.full((5,), real, dtype=torch.float32))
    assert torch.equal(labels.fake(logits), torch.full((5,), fake, dtype=torch.float32))
    assert draws_nothing(lambda: (labels.real(logits), labels.fake(logits)))


def test_soft_labels_fill_their_ranges_evenly() -> None:
    labels, logits = SoftLabels((0.7, 1.2), (0.0, 0.3)), torch.zeros(COUNT, dtype=torch.bfloat16)
    for targets, low, high in ((labels.real(logits), 0.7, 1.2), (labels.fake(logits), 0.0, 0.3)):
        assert targets.dtype == torch.float32
        assert targets.shape == (COUNT,)
        assert targets.min() >= low
        assert targets.max() <= high
        share = (targets - low) / (high - low)
        counts = torch.histc(share, 10, 0, 1)
        assert (counts - COUNT / 10).abs().max() < 5 * (COUNT / 10) ** 0.5


def test_the_default_soft_labels_are_around_one_and_above_zero() -> None:
    labels, logits = SoftLabels(), torch.zeros(COUNT)
    real, fake = labels.real(logits), labels.fake(logits)
    assert real.min() < 1 < real.max()
    assert fake.min() >= 0
    assert fake.max() < real.min()


@pytest.mark.parametrize("ranges", [((1.1, 0.8), (0.0, 0.2)), ((0.8, 1.1), (0.2, 0.0))])
def test_soft_labels_refuse_turned_ranges(ranges: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="swap"):
        SoftLabels(*ranges)


def test_flips_that_are_off_hand_the_targets_through() -> None:
    real, fake = torch.ones(4), torch.zeros(4)
    flips = LabelFlips()
    assert flips(real, fake)[0] is real
    assert flips(real, fake)[1] is fake
    assert draws_nothing(lambda: flips(real, fake))


@pytest.mark.parametrize("probability", [0.05, 0.5])
def test_flipped_targets_are_the_other_sides(probability: float) -> None:
    real = torch.empty(COUNT).uniform_(0.8, 1.1)
    fake = torch.empty(COUNT).uniform_(0.0, 0.2)
    new_real, new_fake = LabelFlips(probability)(real, fake)
    flipped_real, flipped_fake = new_real != real, new_fake != fake
    assert torch.equal(new_real, torch.where(flipped_real, fake, real))
    assert torch.equal(new_fake, torch.where(flipped_fake, real, fake))
    deviation = (probability * (1 - probability) / COUNT) ** 0.5
    for flipped in (flipped_real, flipped_fake):
        assert flipped.float().mean().item() == pytest.approx(probability, abs=4 * deviation)
    both = (flipped_real & flipped_fake).float().mean().item()
    assert both == pytest.approx(probability**2, abs=4 * deviation), "each on its own"


def test_every_target_flips_at_probability_one() -> None:
    real, fake = torch.ones(50), torch.zeros(50)
    new_real, new_fake = LabelFlips(1.0)(real, fake)
    assert torch.equal(new_real, fake)
    assert torch.equal(new_fake, real)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_flips_refuse_what_is_no_probability(probability: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        LabelFlips(probability)


@pytest.mark.parametrize(
    ("noise", "images_seen"),
    [
        (InstanceNoise(), 0),
        (InstanceNoise(on_real=True), 5),
        (InstanceNoise(0.5, anneal_images=100, on_real=True), 100),
        (InstanceNoise(0.5, anneal_images=100, on_real=True), 101),
    ],
)
def test_noise_that_is_off_hands_the_images_through(noise: InstanceNoise, images_seen: int) -> None:
    images = torch.randn(2, 1, 3, 3)
    assert noise.fake(images, images_seen) is images
    assert noise.real(images, images_seen) is images
    assert draws_nothing(lambda: (noise.fake(images, 0), noise.real(images, 0))) == (noise.std == 0)


def test_noise_falls_linearly_to_zero() -> None:
    noise = InstanceNoise(0.4, anneal_images=1000)
    for seen, level in ((0, 0.4), (250, 0.3), (500, 0.2), (999, 0.0004), (1000, 0), (5000, 0)):
        assert noise.level(seen) == pytest.approx(level, abs=1e-12)
    constant = InstanceNoise(0.4)
    assert [constant.level(seen) for seen in (0, 10**9)] == [0.4, 0.4]


@pytest.mark.parametrize("on_real", [False, True])
def test_noise_has_its_level_and_reaches_whom_it_should(on_real: bool) -> None:
    noise = InstanceNoise(0.4, anneal_images=1000, on_real=on_real)
    images = torch.ones(COUNT // 16, 1, 4, 4)
    added = noise.fake(images, 500) - images
    assert added.std().item() == pytest.approx(0.2, rel=4 / (2 * COUNT) ** 0.5)
    assert added.mean().item() == pytest.approx(0, abs=4 * 0.2 / COUNT**0.5)
    assert added.max() > 0.4, "not clipped"
    assert len(added.unique()) > 0.9 * COUNT, "each pixel has its own"
    real = noise.real(images, 500)
    assert (real is images) is not on_real
    if on_real:
        assert (real - images).std().item() == pytest.approx(0.2, rel=4 / (2 * COUNT) ** 0.5)


def test_noise_lets_the_gradient_through() -> None:
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    InstanceNoise(0.4).fake(images, 0).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


@pytest.mark.parametrize("arguments", [(-0.1, 0), (0.1, -1)])
def test_noise_refuses_negative_arguments(arguments: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="not be negative"):
        InstanceNoise(*arguments)


def both_ways(discriminator: nn.Module) -> list[tuple[Tensor, Tensor]]:
    real, fake = torch.randn(5, 2, 3, 3), 3 + torch.randn(4, 2, 3, 3)
    return [batches(discriminator, real, fake) for batches in (SeparateBatches(), MixedBatch())]


def test_a_mixed_batch_is_two_separate_ones_without_batch_norm() -> None:
    head = nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(4, 1))
    network = nn.Sequential(head, nn.Flatten(0))
    separate, mixed = both_ways(network)
    assert [logits.shape for logits in mixed] == [(5,), (4,)]
    for one, other in zip(separate, mixed, strict=True):
        torch.testing.assert_close(one, other)


def test_a_mixed_batch_shares_its_batch_norm() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(18, 1), nn.Flatten(0))
    separate, mixed = both_ways(network)
    for one, other in zip(separate, mixed, strict=True):
        assert (one - other).abs().max() > 0.1


def test_mixing_calls_the_discriminator_once() -> None:
    calls = []

    def discriminator(images: Tensor) -> Tensor:
        calls.append(len(images))
        return images.sum(dim=(1, 2, 3))

    both_ways(discriminator)
    assert calls == [5, 4, 9]
