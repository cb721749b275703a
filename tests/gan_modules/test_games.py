"""Losses against closed forms, and against torch's own where there is one."""

from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import BCEWithLogitsLoss

from gan_modules.losses import (
    bce,
    bce_mean,
    bce_sum,
    non_saturating,
    wasserstein_critic,
    wasserstein_generator,
)


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(50, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def targets() -> Tensor:
    return torch.rand(50, generator=torch.Generator().manual_seed(1))


def test_values_at_chance() -> None:
    zeros, ones = torch.zeros(7), torch.ones(7)
    assert bce_mean(zeros, zeros, ones, zeros).item() == pytest.approx(log(2), rel=1e-6)
    assert bce_sum(zeros, zeros, ones, zeros).item() == pytest.approx(2 * log(2), rel=1e-6)
    assert non_saturating(zeros).item() == pytest.approx(log(2), rel=1e-6)


def test_hard_targets_give_minus_the_log_of_the_right_probability(logits: Tensor) -> None:
    probability = torch.sigmoid(logits.double())
    ones = torch.ones(50)
    assert bce(logits, ones).item() == pytest.approx(-probability.log().mean().item(), rel=1e-6)
    fake = -(1 - probability).log().mean().item()
    assert bce(logits, 0 * ones).item() == pytest.approx(fake, rel=1e-6)
    assert non_saturating(logits).item() == pytest.approx(bce(logits, ones).item(), rel=1e-6)


def test_cross_entropy_is_torchs_for_hard_and_soft_targets(logits: Tensor, targets: Tensor) -> None:
    for target in (targets, targets.round(), torch.full((50,), 0.9)):
        torch.testing.assert_close(bce(logits, target), BCEWithLogitsLoss()(logits, target))


def test_sum_is_twice_the_mean_of_both_kinds(logits: Tensor, targets: Tensor) -> None:
    real, fake = logits[:20], logits[20:]  # means over each kind, whatever its count
    both = bce_sum(real, fake, targets[:20], targets[20:])
    expected = BCEWithLogitsLoss()(real, targets[:20]) + BCEWithLogitsLoss()(fake, targets[20:])
    torch.testing.assert_close(both, expected)
    torch.testing.assert_close(both, 2 * bce_mean(real, fake, targets[:20], targets[20:]))


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
        (non_saturating(logits), (probability - 1) / 50),
        (wasserstein_generator(logits), torch.full((50,), -1 / 50)),
        (
            wasserstein_critic(logits[:20], logits[20:]),
            torch.tensor([-1 / 20] * 20 + [1 / 30] * 30),
        ),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_logits_are_computed_in_float32(
    logits: Tensor, targets: Tensor, autocast: bool
) -> None:
    half, ones = logits.bfloat16(), torch.ones(50)
    whole = half.float()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        pairs = [
            (bce(half, targets), bce(whole, targets)),
            (
                bce_mean(half, half, ones, targets),
                bce_mean(half.float(), half.float(), ones, targets),
            ),
            (non_saturating(half), non_saturating(whole)),
            (wasserstein_critic(half, 2 * half), whole.mean()),
            (wasserstein_generator(half), -whole.mean()),
        ]
    for value, expected in pairs:
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


def test_large_logits_stay_finite() -> None:
    large, ones = torch.tensor([1e4, -1e4]), torch.ones(2)
    assert bce(large, ones).item() == pytest.approx(1e4 / 2)
    assert bce(large, 0 * ones).item() == pytest.approx(1e4 / 2)
    assert non_saturating(large).item() == pytest.approx(1e4 / 2)
    half = large.half()
    assert non_saturating(half).item() == pytest.approx(1e4 / 2)


def test_wasserstein_signs() -> None:
    real, fake = torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 0.0, -5.0])
    assert wasserstein_critic(real, fake).item() == pytest.approx(-2 - 3)
    assert wasserstein_generator(fake).item() == pytest.approx(2)
