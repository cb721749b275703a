"""Targets of the discriminator: the identity when off, and what they promise when on."""

import pytest
import torch

from gan_modules.parts import HardLabels, LabelFlips, OneSidedSmoothing, SoftLabels
from tests.gan_modules.helpers import draws_nothing

COUNT = 20_000


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


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
