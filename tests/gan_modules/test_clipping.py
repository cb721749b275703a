"""Gradients are shortened to the norm that each network was given, whatever the precision."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from gan_modules import WGANGP, GANModule
from tests.gan_modules.helpers import (
    VARIANTS,
    OptimizerSteps,
    RecordingLogger,
    fit,
    gradients,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*",
    "ignore:You defined a .validation_step.",
    "ignore:Found .* in eval mode",
    "ignore:.*does not provide.*",
)
LIMIT = 1e-3


def used_and_logged(
    variant: type[GANModule], clipped: dict[str, float], fused: bool = False, **options: Any
) -> tuple[dict[str, float], dict[str, float]]:
    """Norms of the gradients of the first batch's steps, and those that were logged of it."""
    adam = partial(torch.optim.Adam, lr=0.01, fused=fused)
    optimizers = {"generator_optimizer": adam, "discriminator_optimizer": adam}
    once = {"discriminator_steps": 1} if variant is WGANGP else {}
    model = make_model(variant, **optimizers, **once, **clipped)
    used: dict[str, float] = {}

    def note(model: GANModule, name: str) -> None:
        network = model.generator if name == "generator" else model.discriminator
        held = [gradient for gradient in gradients(network) if gradient is not None]
        used[name] = float(nn.utils.get_total_norm(held))

    logger = RecordingLogger()
    steps = OptimizerSteps(after=note)  # Lightning clips within the step
    fit(model, make_batches(1), [steps], logger, log_every_n_steps=1, **options)
    values = {name: value for _, record in logger.records for name, value in record.items()}
    return used, {name: values[f"gradient_norm/{name}"] for name in used}


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_network_has_a_limit_of_its_own(variant: type[GANModule]) -> None:
    free, logged = used_and_logged(variant, {})
    assert all(math.isclose(free[name], logged[name], rel_tol=1e-5) for name in free)
    assert min(free.values()) > 10 * LIMIT
    for clipped in free:
        used, logged = used_and_logged(variant, {f"{clipped}_clip_norm": LIMIT})
        assert used[clipped] == pytest.approx(LIMIT, rel=0.01)
        assert logged[clipped] > 10 * LIMIT, "the norm before clipping is what a curve can show"
        (other,) = free.keys() - {clipped}
        assert used[other] > 10 * LIMIT


@pytest.mark.parametrize("fused", [False, True])
def test_in_half_precision_without_the_scale(fused: bool) -> None:
    """Fused optimizers undo the scale in their step, after the clipping."""
    limits = {"generator_clip_norm": LIMIT, "discriminator_clip_norm": LIMIT}
    logged = []
    for scale in (1.0, 1024.0):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
        plugins = [MixedPrecision("16-mixed", "cpu", scaler)]
        used, before = used_and_logged(VARIANTS[0], limits, fused, plugins=plugins)
        assert used == pytest.approx({"generator": LIMIT, "discriminator": LIMIT}, rel=0.01)
        logged.append(before)
    assert logged[0] == pytest.approx(logged[1], rel=0.01)


@pytest.mark.parametrize("norm", [-1.0, math.nan, math.inf])
def test_other_limits_are_refused(norm: float) -> None:
    with pytest.raises(ValueError, match=r"`discriminator_clip_norm` must be 0 \(off\) or more"):
        make_model(WGANGP, discriminator_clip_norm=norm)
