"""Half precision with one scaler and two optimizers."""

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from gan_modules import WGANGP, GANModule
from tests.gan_modules.helpers import (
    VARIANTS,
    AfterBatch,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*",
    "ignore:You defined a .validation_step.",
    "ignore:Found .* in eval mode",
    "ignore:.*does not provide.*",
)


def half_precision(scale: float) -> MixedPrecision:
    """16-mixed with the scaler that CUDA has, on the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    return MixedPrecision("16-mixed", "cpu", scaler)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scaled_gradients_are_the_same_step(variant: type[GANModule]) -> None:
    """Whatever the scale: the penalty's double backward too sees none of it."""
    results = []
    for scale in (1.0, 1024.0):
        model = make_model(variant)
        fit(model, make_batches(3), plugins=[half_precision(scale)])
        results.append(copied(model))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_overflow_costs_its_own_step_alone(variant: type[GANModule]) -> None:
    """No weight moves, or turns bad, until the scale fits; then both networks learn."""
    plugin, states, scales = half_precision(2.0**60), [], []
    model = make_model(variant, **({"critic_steps": 1} if variant is WGANGP else {}))
    start = {name: value.clone() for name, value in model.named_parameters()}

    def note(model: GANModule) -> None:
        states.append({name: value.clone() for name, value in model.named_parameters()})
        scales.append(plugin.scaler.get_scale())

    fit(model, make_batches(60), [AfterBatch(note)], plugins=[plugin])
    assert equal(states[0], start), "the first batch's gradients were infinite"
    assert scales[0] == 2.0**58, "halved after each network's step"
    assert all(value.isfinite().all() for value in states[-1].values())
    for name, value in states[-1].items():
        if name.endswith("weight"):  # a critic's last bias has no gradient
            assert not torch.equal(value, start[name]), f"{name} never moved"
