"""Games against closed forms, and against torch's own where there is one."""

from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import BCEWithLogitsLoss

from gan_modules.parts import (
    CrossEntropy,
    ExponentialSchedule,
    Game,
    HardLabels,
    Hinge,
    LabelFlips,
    LeastSquares,
    LinearSchedule,
    RelativisticAverage,
    RelativisticPairing,
    TopK,
    Wasserstein,
)
from gan_modules.parts.games import bce
from minmax.errors import UserError

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


# Hinge, least squares, relativistic average, top-k


def slope(loss: Tensor, logits: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, logits)
    return gradient


def test_hinge_is_flat_beyond_its_margins() -> None:
    real = torch.tensor([-2.0, 0.0, 0.5, 1.5, 3.0], requires_grad=True)
    fake = torch.tensor([2.0, 0.0, -0.5, -1.5, -3.0], requires_grad=True)
    loss = Hinge().discriminator(real, fake)
    assert loss.item() == pytest.approx(2 * (3 + 1 + 0.5) / 5)
    torch.testing.assert_close(slope(Hinge().discriminator(real, fake), real), FLAT / -5)
    torch.testing.assert_close(slope(loss, fake), FLAT / 5)
    assert Hinge().discriminator(torch.zeros(3), torch.zeros(4)).item() == 2
    torch.testing.assert_close(slope(Hinge().generator(fake, unasked), fake), -torch.ones(5) / 5)


FLAT = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])


def test_least_squares_in_both_codings(logits: Tensor) -> None:
    real, fake = logits[:20], logits[20:]
    zero_one, pearson = LeastSquares(), LeastSquares(-1, 1, 0)
    expected = ((real - 1).square().mean() + fake.square().mean()) / 2
    torch.testing.assert_close(zero_one.discriminator(real, fake), expected)
    expected = ((real - 1).square().mean() + (fake + 1).square().mean()) / 2
    torch.testing.assert_close(pearson.discriminator(real, fake), expected)
    torch.testing.assert_close(zero_one.generator(fake, unasked), (fake - 1).square().mean() / 2)
    torch.testing.assert_close(pearson.generator(fake, unasked), fake.square().mean() / 2)
    half = torch.full((3,), 0.5)
    assert zero_one.discriminator(half, half).item() == 0.25
    assert (zero_one.has_zero, pearson.has_zero) == (False, True)
    with pytest.raises(UserError, match="`fake_target` 1 must be below `real_target` 1"):
        LeastSquares(1, 1)


def test_relativistic_average_compares_with_the_mean_of_the_other_kind(logits: Tensor) -> None:
    game, (real, fake) = RelativisticAverage(), (logits[:20].double(), logits[20:].double())
    above = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    expected = -above[0].log().mean() - (1 - above[1]).log().mean()
    torch.testing.assert_close(game.discriminator(real, fake), expected)
    torch.testing.assert_close(game.discriminator(real + 7, fake + 7), expected)
    expected = -above[1].log().mean() - (1 - above[0]).log().mean()
    torch.testing.assert_close(game.generator(fake, lambda: real), expected)
    zeros = torch.zeros(4)
    assert game.discriminator(zeros, zeros).item() == pytest.approx(2 * log(2))
    assert not game.has_zero


def test_relativistic_pairing_compares_each_image_with_its_own(logits: Tensor) -> None:
    game, (real, fake) = RelativisticPairing(), (logits[:25].double(), logits[25:].double())
    real.requires_grad_()
    above = torch.sigmoid(real - fake)
    loss = game.discriminator(real, fake)
    torch.testing.assert_close(loss, -above.log().mean())
    torch.testing.assert_close(slope(loss, real), (above - 1).detach() / 25)
    torch.testing.assert_close(game.discriminator(real + 7, fake + 7), loss)
    torch.testing.assert_close(game.generator(fake, lambda: real), -(1 - above).log().mean())
    assert game.discriminator(real, fake.flip(0)) != loss
    zeros = torch.zeros(4)
    assert game.discriminator(zeros, zeros).item() == pytest.approx(log(2))
    assert not game.has_zero
    with pytest.raises(UserError, match=r"logits of 13 and 25: choose RelativisticAverage"):
        game.generator(fake[:13], lambda: real)
    with pytest.raises(UserError, match=r"`game` of TopK is RelativisticPairing, .* leaves some"):
        TopK(game)


def test_top_k_teaches_by_the_best_images_alone() -> None:
    fake = torch.tensor([3.0, -1.0, 0.0, 2.0, -5.0], requires_grad=True)
    game = TopK(Wasserstein(), 0.5)
    gradient = slope(game.generator(fake, unasked), fake)
    torch.testing.assert_close(gradient, torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0]) / -3)
    assert game.discriminator(fake, fake * 2).item() == pytest.approx(fake.mean().item())
    assert (TopK(Hinge()).has_zero, game.has_zero) == (True, False)
    shrinking = TopK(Wasserstein(), ExponentialSchedule(1.0, 0.5, 10, 0.25))
    for images, best in ((0, 5), (10, 3), (20, 2), (99, 2)):
        shrinking.begin(images)
        taught = slope(shrinking.generator(fake, unasked), fake) != 0
        assert taught.sum() == best
    for share in (0.0, LinearSchedule(1.0, 0.0, 10)):
        with pytest.raises(UserError, match="`share` of TopK must stay above 0"):
            TopK(Wasserstein(), share)


def test_the_real_images_are_judged_only_if_the_game_asks(logits: Tensor) -> None:
    def judged() -> Tensor:
        return logits[:20]

    game = TopK(RelativisticAverage(), 0.1)
    best = logits[20:].topk(3).values
    loss = RelativisticAverage().generator(best, judged)
    torch.testing.assert_close(game.generator(logits[20:], judged), loss)


@pytest.mark.parametrize("game", [Hinge(), LeastSquares(), RelativisticAverage(), TopK(Hinge())])
def test_losses_are_wide(game: Game, logits: Tensor) -> None:
    real, fake = logits[:20].bfloat16(), logits[20:].bfloat16()
    assert game.discriminator(real, fake).dtype == torch.float32
    assert game.generator(fake, lambda: real).dtype == torch.float32
    assert game.discriminator(real.double(), fake.double()).dtype == torch.float64
