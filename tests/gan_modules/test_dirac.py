"""The Dirac-GAN, whose dynamics are known (Mescheder et al. 2018, sections 2 and 3).

https://arxiv.org/abs/1801.04406: D(x) = psi x, the data at 0, the generator at theta.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad

from gan_modules.parts import R1, CrossEntropy, Game, Hinge, NoPenalty, Penalty, Turn


def eigenvalues(game: Game, penalty: Penalty) -> list[complex]:
    """Of the field of both gradients at the equilibrium, psi = theta = 0."""
    start = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    psi, theta = start
    classes = torch.zeros(1, dtype=torch.int64)

    def discriminator(images: Tensor, classes: Tensor) -> Tensor:
        return psi * images.flatten()

    real = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    fake = theta.view(1, 1, 1, 1)
    turn = Turn(discriminator, nn.Identity(), real, classes, real.flatten(1), fake, classes)
    turn = penalty.watch(turn)
    loss_d = game.discriminator(*turn.judge()) + penalty(turn)
    (of_psi,) = grad(loss_d, psi, create_graph=True)
    loss_g = game.generator(discriminator(fake, classes), turn.judge_real)
    (of_theta,) = grad(loss_g, theta, create_graph=True)
    rows = [-grad(value, start, retain_graph=True)[0] for value in (of_psi, of_theta)]
    found: list[complex] = torch.linalg.eigvals(torch.stack(rows)).tolist()
    return sorted(found, key=lambda value: (value.real, value.imag))


LOGISTIC = CrossEntropy(discriminator_weight=1)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 4.0])
def test_r1_damps_the_circles_of_the_logistic_game(gamma: float) -> None:
    root = complex(gamma**2 / 4 - 1 / 4) ** 0.5
    expected = sorted((-gamma / 2 + s * root for s in (1, -1)), key=lambda v: (v.real, v.imag))
    assert eigenvalues(LOGISTIC, R1(gamma)) == pytest.approx(expected, abs=1e-6)


def test_without_a_penalty_games_go_round_in_circles() -> None:
    assert eigenvalues(LOGISTIC, NoPenalty()) == pytest.approx([-0.5j, 0.5j])
    assert eigenvalues(Hinge(), NoPenalty()) == pytest.approx([-1j, 1j])
