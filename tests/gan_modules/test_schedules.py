"""Schedules against their formulas, in parts and in optimizers, and over a resume."""

from functools import partial
from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_modules import GAN
from gan_modules.parts import (
    R1,
    CosineSchedule,
    ExponentialSchedule,
    LazyPenalty,
    LeCam,
    LinearSchedule,
    OptimizerSchedule,
    Schedule,
    SumOfPenalties,
    WarmUp,
)
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    AfterBatch,
    TinyImages,
    copied,
    fit,
    make_batches,
    make_model,
)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (LinearSchedule(1.0, 0.0, 100), {0: 1.0, 25: 0.75, 100: 0.0, 500: 0.0}),
        (LinearSchedule(2.0, 4.0, 10), {0: 2.0, 5: 3.0, 11: 4.0}),
        (CosineSchedule(1.0, 0.2, 90), {0: 1.0, 30: 0.2 + 0.4 * (1 + cos(pi / 3)), 90: 0.2}),
        (ExponentialSchedule(1.0, 0.5, 10, 0.2), {0: 1.0, 9: 1.0, 10: 0.5, 29: 0.25, 30: 0.2}),
        (ExponentialSchedule(1.0, 2.0, 10, 9.0), {0: 1.0, 31: 8.0, 40: 9.0, 10**9: 9.0}),
        (WarmUp(3.0, 10), {0: 0.0, 5: 1.5, 10: 3.0, 99: 3.0}),
        (WarmUp(LinearSchedule(1.0, 0.0, 100), 10), {5: 0.475, 50: 0.5, 100: 0.0}),
    ],
)
def test_values(schedule: Schedule, values: dict[int, float]) -> None:
    for images, value in values.items():
        assert schedule.at(images) == pytest.approx(value), images
        assert min(schedule.ends) <= schedule.at(images) <= max(schedule.ends)


def test_a_part_takes_the_value_of_the_images_seen() -> None:
    penalty = R1(CosineSchedule(1.0, 0.1, 100))
    for images, value in ((0, 1.0), (50, 0.55), (100, 0.1)):
        penalty.begin(images)
        assert penalty.gamma_now.item() == pytest.approx(value)
    assert penalty.state_dict() == {}, "a function of the images seen needs no memory"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: R1(-1.0), "`gamma` of R1 must be 0 or more, got -1"),
        (lambda: R1(LinearSchedule(1, -1, 5)), r"`gamma` of R1 must be 0 or more, got \(1, -1\)"),
        (lambda: R1(float("nan")), "`gamma` of R1 must be 0 or more, got nan"),
        (lambda: LinearSchedule(1, 0, 0), "`images` of a schedule must be at least 1, got 0"),
        (lambda: ExponentialSchedule(1, 0.5, 10, 2), "never comes to `end` 2"),
        (lambda: ExponentialSchedule(0, 0.5, 10, 2), "all must be above 0"),
        (lambda: ExponentialSchedule(1, 1, 10, 2), "never comes to `end` 2"),
        (lambda: OptimizerSchedule(lr=-1), "`lr` of an optimizer's schedule must be 0 or more"),
        (lambda: OptimizerSchedule(beta2=1.0), r"`beta2` .* must be in \[0, 1\)"),
    ],
)
def test_wrong_values_are_refused(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


SGD = partial(torch.optim.SGD, lr=0.1)
ADAM = partial(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9))


def rates(module: GAN) -> list[tuple[float, ...]]:
    """Learning rate and betas of each optimizer."""
    groups = [optimizer.param_groups[0] for optimizer in module.trainer.optimizers]
    return [(group["lr"], *group.get("betas", ())) for group in groups]


def test_optimizers_follow_the_images_seen() -> None:
    seen: list[Any] = []
    model = make_model(
        generator_optimizer=ADAM,
        discriminator_optimizer=ADAM,
        generator_schedule=OptimizerSchedule(LinearSchedule(1.0, 0.0, 40), beta2=0.99),
        discriminator_schedule=OptimizerSchedule(0.5, beta1=LinearSchedule(0.0, 0.8, 40)),
        penalty=LazyPenalty(R1(1.0), every=3),
    )
    after = AfterBatch(lambda module: seen.append((module.images_seen, rates(module))))
    fit(model, make_batches(3), callbacks=[after])
    share = 3 / 4
    assert len(seen) == 3
    for images, (of_generator, of_discriminator) in seen:
        assert of_generator == pytest.approx((1 - images / 40, 0.5, 0.99))
        expected = (0.5 * share, (0.8 * images / 40) ** share, 0.9**share)
        assert of_discriminator == pytest.approx(expected)


def test_betas_of_an_optimizer_without_are_refused() -> None:
    model = make_model(generator_optimizer=SGD, generator_schedule=OptimizerSchedule(beta2=0.9))
    with pytest.raises(UserError, match="SGD has no betas"):
        fit(model, make_batches(1))


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (torch.optim.LBFGS, "`discriminator_optimizer` LBFGS can't train these networks"),
        (torch.optim.SparseAdam, "`discriminator_optimizer` SparseAdam can't train these networks"),
        (partial(SGD, differentiable=True), "SGD with differentiable: true can't step"),
    ],
)
def test_optimizers_that_can_not_step_are_refused(optimizer: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_model(discriminator_optimizer=optimizer).configure_optimizers()


def train(path: Path, resume: bool) -> dict[str, Any]:
    """Six batches with all that changes, saved after the third, from the start or from there."""
    model = make_model(
        seed=int(resume),
        generator_optimizer=ADAM,
        discriminator_optimizer=ADAM,
        generator_schedule=OptimizerSchedule(CosineSchedule(0.1, 0.001, 40), beta2=0.99),
        discriminator_schedule=OptimizerSchedule(WarmUp(0.05, 30)),
        penalty=SumOfPenalties(
            [LazyPenalty(R1(LinearSchedule(1.0, 0.1, 48)), 2), LeCam(1.0, start_images=8)]
        ),
    )

    def keep(model: GAN) -> None:
        if not resume and model.images_seen == 24:
            model.trainer.save_checkpoint(path)

    options = {"max_epochs": -1, "max_steps": 6}
    fit(model, TinyImages(), [AfterBatch(keep)], checkpoint=path if resume else None, **options)
    return copied(model) | {"rates": torch.tensor([r for both in rates(model) for r in both])}


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = (train(tmp_path / "a.ckpt", resume) for resume in (False, True))
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert whole["penalty.penalties.1.real_average"] != 0
