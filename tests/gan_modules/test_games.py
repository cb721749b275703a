"""Games against closed forms, and against torch's own where there is one."""

from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import BCEWithLogitsLoss

from gan_modules.parts import CrossEntropy, HardLabels, LabelFlips, Wasserstein
from gan_modules.parts.games import bce

MEAN, SUM, WASSERSTEIN = CrossEntropy(), CrossEntropy(discriminator_weight=1), Wasserstein()


def unasked() -> Tensor:
    """What a game that needs no real logits doesn't call."""
    raise AssertionError("the game asked for the logits of real images")


class Given(HardLabels):
    """These targets."""

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        super().__init__()
        self.targets = real, fake

    def real(self, logits: Tensor) -> Tensor:
        return self.targets[0]

    def fake(self, logits: Tensor) -> Tensor:
        return self.targets[1]


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(50, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def targets() -> Tensor:
    return torch.rand(50, generator=torch.Generator().manual_seed(1))


def test_values_at_chance() -> None:
    zeros = torch.zeros(7)
    assert MEAN.discriminator(zeros, zeros).item() == pytest.approx(log(2), rel=1e-6)
    assert SUM.discriminator(zeros, zeros).item() == pytest.approx(2 * log(2), rel=1e-6)
    assert MEAN.generator(zeros, unasked).item() == pytest.approx(log(2), rel=1e-6)


def test_hard_targets_give_minus_the_log_of_the_right_probability(logits: Tensor) -> None:
    probability = torch.sigmoid(logits.double())
    ones = torch.ones(50)
    assert bce(logits, ones).item() == pytest.approx(-probability.log().mean().item(), rel=1e-6)
    fake = -(1 - probability).log().mean().item()
    assert bce(logits, 0 * ones).item() == pytest.approx(fake, rel=1e-6)
    assert MEAN.generator(logits, unasked).item() == pytest.approx(
        bce(logits, ones).item(), rel=1e-6
    )
    both = MEAN.discriminator(logits, 2 * logits).item()  # 1 for real, 0 for generated images
    wrong = -(1 - torch.sigmoid(2 * logits.double())).log().mean().item()
    assert both == pytest.approx((bce(logits, ones).item() + wrong) / 2, rel=1e-6)


def test_cross_entropy_is_torchs_for_hard_and_soft_targets(logits: Tensor, targets: Tensor) -> None:
    for target in (targets, targets.round(), torch.full((50,), 0.9)):
        torch.testing.assert_close(bce(logits, target), BCEWithLogitsLoss()(logits, target))


def test_sum_is_twice_the_mean_of_both_kinds(logits: Tensor, targets: Tensor) -> None:
    real, fake = logits[:20], logits[20:]  # means over each kind, whatever its count
    given = Given(targets[:20], targets[20:])
    both = CrossEntropy(given, discriminator_weight=1).discriminator(real, fake)
    expected = BCEWithLogitsLoss()(real, targets[:20]) + BCEWithLogitsLoss()(fake, targets[20:])
    torch.testing.assert_close(both, expected)
    torch.testing.assert_close(both, 2 * CrossEntropy(given).discriminator(real, fake))
    weighted = CrossEntropy(given, discriminator_weight=0.3).discriminator(real, fake)
    torch.testing.assert_close(both * 0.3, weighted)


def test_the_cross_entropy_flips_the_labels_it_is_given(logits: Tensor, targets: Tensor) -> None:
    given, flipped = Given(targets[:25], targets[25:]), Given(targets[25:], targets[:25])
    halves = logits[:25], logits[25:]
    loss = CrossEntropy(given, LabelFlips(1.0)).discriminator(*halves)
    torch.testing.assert_close(loss, CrossEntropy(flipped).discriminator(*halves))
    assert loss != CrossEntropy(given).discriminator(*halves)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="`discriminator_weight` must be above 0"):
        CrossEntropy(discriminator_weight=weight)


def test_targets_outside_the_unit_range_extend_linearly(logits: Tensor) -> None:
    at = {target: bce(logits, torch.full((50,), target)).item() for target in (-0.1, 0, 1, 1.1)}
    slope = at[1] - at[0]
    assert slope == pytest.approx(-logits.mean().item(), rel=1e-4)
    assert at[1.1] == pytest.approx(at[1] + 0.1 * slope, rel=1e-5)
    assert at[-0.1] == pytest.approx(at[0] - 0.1 * slope, rel=1e-5)


def test_gradients_are_their_closed_forms(logits: Tensor, targets: Tensor) -> None:
    logits.requires_grad_(True)
    probability = torch.sigmoid(logits.detach())
    targets = 1.2 * targets  # some above 1
    for loss, expected in (
        (bce(logits, targets), (probability - targets) / 50),
        (MEAN.generator(logits, unasked), (probability - 1) / 50),
        (WASSERSTEIN.generator(logits, unasked), torch.full((50,), -1 / 50)),
        (
            WASSERSTEIN.discriminator(logits[:20], logits[20:]),
            torch.tensor([-1 / 20] * 20 + [1 / 30] * 30),
        ),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_logits_are_computed_in_float32(
    logits: Tensor, targets: Tensor, autocast: bool
) -> None:
    half, given = logits.bfloat16(), CrossEntropy(Given(torch.ones(50), targets))
    whole = half.float()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        pairs = [
            (bce(half, targets), bce(whole, targets)),
            (
                given.discriminator(half, half),
                given.discriminator(half.float(), half.float()),
            ),
            (MEAN.generator(half, unasked), MEAN.generator(whole, unasked)),
            (WASSERSTEIN.discriminator(half, 2 * half), whole.mean()),
            (WASSERSTEIN.generator(half, unasked), -whole.mean()),
        ]
    for value, expected in pairs:
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


def test_large_logits_stay_finite() -> None:
    large, ones = torch.tensor([1e4, -1e4]), torch.ones(2)
    assert bce(large, ones).item() == pytest.approx(1e4 / 2)
    assert bce(large, 0 * ones).item() == pytest.approx(1e4 / 2)
    assert MEAN.generator(large, unasked).item() == pytest.approx(1e4 / 2)
    half = large.half()
    assert MEAN.generator(half, unasked).item() == pytest.approx(1e4 / 2)


def test_wasserstein_signs() -> None:
    real, fake = torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 0.0, -5.0])
    assert WASSERSTEIN.discriminator(real, fake).item() == pytest.approx(-2 - 3)
    assert WASSERSTEIN.generator(fake, unasked).item() == pytest.approx(2)


def test_float64_stays_float64() -> None:
    logits = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for game in (MEAN, WASSERSTEIN):
        assert game.discriminator(logits, logits).dtype == torch.float64
        assert game.generator(logits, unasked).dtype == torch.float64


def test_accuracies_by_the_sign_or_by_pairs() -> None:
    real, fake = torch.tensor([3.0, 1.0, -1.0, 2.0]), torch.tensor([2.0, -2.0, -3.0, 4.0])
    by_sign = MEAN.accuracies(real, fake)
    assert {name: value.item() for name, value in by_sign.items()} == {
        "accuracy/real": 0.75,
        "accuracy/fake": 0.5,
    }
    by_pairs = WASSERSTEIN.accuracies(real, fake)
    assert {name: value.item() for name, value in by_pairs.items()} == {"accuracy/pairs": 0.75}
