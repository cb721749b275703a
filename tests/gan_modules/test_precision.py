"""Half precision with one scaler and two optimizers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from gan_modules import WGANGP, GANModule
from gan_modules.parts import (
    ADA,
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    Consistency,
    DiffAugment,
    InOrder,
    LatentConsistency,
    LazyPenalty,
    LeCam,
    Orthogonal,
    RelativisticAverage,
    SumOfPenalties,
    TopK,
)
from minmax.callbacks import LastCheckpoint
from tests.gan_modules.helpers import (
    STEADY,
    VARIANTS,
    AfterBatch,
    TinyImages,
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
def test_float64_is_float64_throughout(variant: type[GANModule], tmp_path: Path) -> None:
    """All that reaches a loss or a weight, and a resumed training bit for bit."""
    seen: set[torch.dtype] = set()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        values = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        seen.update(value.dtype for value in values if value.dtype != torch.int64)  # no classes

    def train(steps: int, folder: Path, checkpoint: Path | None = None) -> GANModule:
        model = make_model(variant, seed=0 if checkpoint is None else 7, ema_half_life_images=30)
        for network in (model.generator, model.discriminator):
            for module in network.modules():  # of two heads only the layers are called as such
                module.register_forward_hook(note)
        seen_losses = AfterBatch(lambda model: seen.update(v.dtype for v in losses_of(model)))
        callbacks = [seen_losses, LastCheckpoint(every_n_epochs=100)]
        limits = {"max_epochs": -1, "max_steps": steps, "enable_checkpointing": True}
        options = limits | {"precision": "64-true", "default_root_dir": folder}
        fit(model, TinyImages(), callbacks, checkpoint=checkpoint, **options)
        return model

    whole = train(6, tmp_path / "whole")
    assert seen == {torch.float64}
    train(2, tmp_path)
    resumed = train(6, tmp_path, tmp_path / "checkpoints" / "last.ckpt")
    assert equal(copied(whole), copied(resumed))
    drawn = whole.sample(whole.seeded_latents(5), torch.zeros(5, dtype=torch.int64))
    whole.float()
    again = whole.sample(whole.seeded_latents(5), torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(drawn, again)


def losses_of(model: GANModule) -> list[Tensor]:
    observed = dict(model.observed)
    for part in model.parts():
        observed |= part.observed
    return [value for name, value in observed.items() if "loss" in name or "penalty" in name]


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_weights_are_refused(precision: str) -> None:
    with pytest.raises(ValueError, match=f"`Trainer.precision` {precision} is not for GANs"):
        fit(make_model(), make_batches(2), precision=precision)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_overflow_costs_its_own_step_alone(variant: type[GANModule]) -> None:
    """No weight moves, or turns bad, until the scale fits; then both networks learn."""
    plugin, states, scales = half_precision(2.0**60), [], []
    model = make_model(variant, **({"discriminator_steps": 1} if variant is WGANGP else {}))
    start = {name: value.clone() for name, value in model.named_parameters()}

    def note(model: GANModule) -> None:
        states.append({name: value.clone() for name, value in model.named_parameters()})
        scales.append(plugin.scaler.get_scale())

    fit(model, make_batches(60), [AfterBatch(note)], plugins=[plugin])
    assert equal(states[0], start), "the first batch's gradients were infinite"
    assert scales[0] == 2.0**58, "halved after each network's step"
    assert all(value.isfinite().all() for value in states[-1].values())
    for name, value in states[-1].items():
        if name.endswith("weight"):  # the last bias has none in Wasserstein's game
            assert not torch.equal(value, start[name]), f"{name} never moved"


@pytest.mark.parametrize("mixed", ["bf16", "fp16"])
def test_parts_learn_in_mixed_precision(mixed: str) -> None:
    """All penalties, games and augmentations at once: finite, and each network moves."""
    penalties = [R1(1.0), R2(1.0), ApproximateR1(1.0), DRAGAN(1.0), LeCam(start_images=0)]
    others = [Consistency(1.0, 1.0), LatentConsistency(1.0), Orthogonal(), LazyPenalty(R1(1.0), 2)]
    options = {"precision": "bf16-mixed"} if mixed == "bf16" else {"plugins": [half_precision(4.0)]}
    terms: list[Tensor] = []
    model = make_model(
        discriminator=STEADY,
        game=TopK(RelativisticAverage(), 0.5),
        penalty=SumOfPenalties([*penalties, *others]),
        augment=InOrder([DiffAugment(), ADA(p=0.5, filter=1.0, noise=1.0, cutout=1.0)]),
    )
    start = {name: value.clone() for name, value in model.named_parameters()}
    fit(model, make_batches(3), [AfterBatch(lambda m: terms.extend(losses_of(m)))], **options)
    assert len(terms) > 30
    assert all(term.isfinite().all() and term.dtype == torch.float32 for term in terms)
    moved = {n.split(".")[0] for n, v in model.named_parameters() if not torch.equal(v, start[n])}
    assert moved == {"generator", "discriminator"}
