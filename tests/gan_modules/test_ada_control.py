"""How ADA finds p: the arithmetic, over ranks, after a resume, and in a training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_modules import ACGAN, GAN, GANModule
from gan_modules.parts import ADA, CrossEntropy, InOrder, InstanceNoise, SignControl, Wasserstein
from tests.gan_modules.helpers import (
    AfterBatch,
    RecordingLogger,
    TinyImages,
    copied,
    fit,
    make_batches,
    make_model,
)

MOSTLY = torch.tensor([1.0, 2.0, 0.5, 3.0, 4.0, -1.0, 2.0, 9.0])
"""Logits with a mean sign of 0.75."""
HALF = torch.tensor([1.0, -2.0, 0.5, -3.0, 4.0, -1.0, 2.0, -9.0])


def adapted(ada: ADA, *batches: Tensor) -> list[float]:
    """p after each of these batches."""
    values = []
    for logits in batches:
        ada.adapt(logits)
        values.append(ada.p_now.item())
    return values


def test_p_moves_every_four_batches_by_the_images_since() -> None:
    ada = ADA(control=SignControl(full_images=320))
    step = 4 * 8 / 320
    expected = [0, 0, 0, step, step, step, step, 2 * step, 2 * step, 2 * step, 2 * step, step]
    assert adapted(ada, *[MOSTLY] * 8, *[HALF] * 4) == pytest.approx(expected)


def test_the_sign_is_the_mean_since_the_last_adjustment() -> None:
    """Three sure batches and one that is not are 0.5625, below the target; an even one 0.75."""
    ada = ADA(p=None, control=SignControl(full_images=320))
    ada.p_now.fill_(0.5)
    signs = []
    for logits in (MOSTLY, MOSTLY, HALF, MOSTLY, MOSTLY):
        ada.adapt(logits)
        signs.append(ada.control.observed["augment/sign"].item())
    assert signs == pytest.approx([0.75, 0.75, 0.5, 0.5625, 0.75])
    assert ada.observed["augment/p"].item() == pytest.approx(0.5 - 32 / 320)


def test_p_has_its_limits_and_rests_at_the_target() -> None:
    ada = ADA(control=SignControl(full_images=20, every_batches=1))
    assert adapted(ada, HALF, HALF) == [0, 0]
    assert adapted(ada, *[MOSTLY] * 3) == pytest.approx([0.4, 0.8, 0.8])
    resting = ADA(control=SignControl(target=0.75, full_images=20, every_batches=1, max_p=1.0))
    resting.p_now.fill_(0.7)
    assert adapted(resting, MOSTLY) == pytest.approx([0.7])
    assert adapted(resting, torch.ones(8)) == [1]
    assert adapted(ADA(), *[torch.ones(125)] * 4)[-1] == pytest.approx(0.001), "the paper's speed"


def test_packed_images_count_each() -> None:
    """p takes the images' speed, whatever the number of logits."""
    ada = ADA(control=SignControl(full_images=320, every_batches=1))
    ada.real(torch.zeros(16, 1, 4, 4))
    ada.adapt(MOSTLY)
    assert ada.p_now.item() == pytest.approx(16 / 320)


def test_ranks_learn_from_the_signs_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks' p is that of one process with the joint batch."""
    control = {"full_images": 320, "target": 0.3}
    joint = adapted(ADA(control=SignControl(**control)), *[torch.cat([MOSTLY, HALF])] * 8)
    other = torch.tensor([HALF.sign().sum(), 8.0])
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda news: news.add_(other))
    apart = adapted(ADA(control=SignControl(**control)), *[MOSTLY] * 8)
    assert apart == joint
    assert joint[-1] == pytest.approx(2 * 64 / 320)


def test_what_it_remembers_goes_on() -> None:
    whole, half, resumed = (ADA(control=SignControl(full_images=320)) for _ in range(3))
    batches = [MOSTLY, HALF, MOSTLY, MOSTLY, MOSTLY, HALF, MOSTLY, MOSTLY, MOSTLY, MOSTLY]
    expected = adapted(whole, *batches)
    first = adapted(half, *batches[:6])
    resumed.load_state_dict(half.state_dict())
    assert first + adapted(resumed, *batches[6:]) == expected
    names = {"p_now", "control.signs", "control.logits", "control.batches"}
    assert set(half.state_dict()) == names
    assert all(value != 0 for name, value in half.state_dict().items() if name != "p_now")


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_a_training_moves_p_and_resumes_to_the_bit(
    variant: type[GANModule], tmp_path: Path
) -> None:
    def train(resume: Path | None, seed: int) -> dict[str, Tensor]:
        control = SignControl(target=-0.9, full_images=60, every_batches=2)
        model = make_model(variant, seed, augment=ADA(control=control))

        def keep(model: GANModule) -> None:
            if resume is None and model.images_seen == 24:
                model.trainer.save_checkpoint(tmp_path / "a.ckpt")

        fit(model, TinyImages(), [AfterBatch(keep)], checkpoint=resume, max_epochs=-1, max_steps=6)
        return copied(model)

    whole = train(None, 0)
    resumed = train(tmp_path / "a.ckpt", 7)
    assert whole["augment.p_now"] == pytest.approx(3 * 16 / 60)
    assert [n for n in whole if not torch.equal(whole[n], resumed[n])] == []


def test_both_values_are_logged() -> None:
    logger = RecordingLogger()
    fit(make_model(augment=ADA()), make_batches(2), logger=logger, log_every_n_steps=1)
    logged = [values for _, values in logger.records if "augment/p" in values]
    assert len(logged) == 2
    assert all(-1 <= values["augment/sign"] <= 1 for values in logged)


@pytest.mark.parametrize("augment", [ADA(), InOrder([InstanceNoise(0.1), ADA()])])
@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_a_game_without_a_zero_is_refused(variant: type[GANModule], augment: ADA) -> None:
    with pytest.raises(ValueError, match="those of `game` Wasserstein have no zero: give `p`"):
        make_model(variant, game=Wasserstein(), augment=augment)
    make_model(variant, game=CrossEntropy(), augment=augment)
    make_model(variant, game=Wasserstein(), augment=ADA(p=0.3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "`target` is a mean sign .* got 1.0"),
        ({"full_images": 0}, "must be at least 1, got 0 and 4"),
        ({"every_batches": 0}, "must be at least 1, got 500000 and 0"),
        ({"max_p": 1.5}, "`max_p` must lie above 0 and be at most 1, got 1.5"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SignControl(**options)


def test_p_is_found_or_given() -> None:
    with pytest.raises(ValueError, match="both `p` and `control`"):
        ADA(p=0.3, control=SignControl())
