"""What is logged, when, at which place of the x axis, and whether it is true."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from gan_modules import ACGAN, GAN, WGANGP, FastGAN, GANModule, InfoGAN, StyleGAN2
from gan_modules.networks import Discriminator
from gan_modules.parts import R1, LazyPenalty
from minmax.callbacks import finite
from minmax.errors import UserError
from minmax.metrics.table import SCORES
from tests.gan_modules.helpers import (
    STEADY,
    VARIANTS,
    AfterBatch,
    Batches,
    OptimizerSteps,
    RecordingLogger,
    TinyStyledGenerator,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:.*logging interval.*"
)

OF_EVERY_VARIANT = {
    "gradient_norm/discriminator",
    "gradient_norm/generator",
    "learning_rate/discriminator",
    "learning_rate/generator",
    "logits/fake",
    "logits/real",
    "loss/discriminator",
    "loss/generator",
    "time/images_per_second",
}
OF_CALLBACKS = {
    "leak/borders",
    "leak/brightness",
    "leak/squares",
    "leak/turns",
    "logits/held_out",
    "logits/train",
    "overfitting/held_out",
    "samples/pairwise_distance",
    "spectral/discriminator",
    "spectral/generator",
}
OF_PARTS = {
    "augment/p",
    "augment/sign",
    "logits/fake_average",
    "logits/real_average",
    "penalty/consistency_fake",
    "penalty/consistency_real",
    "penalty/latent_consistency",
    "penalty/latent_difference",
    "penalty/lecam",
    "penalty/orthogonal",
    "penalty/r1",
    "penalty/r2",
}
NAMES: dict[type[GANModule], set[str]] = {
    GAN: {"accuracy/fake", "accuracy/real"},
    ACGAN: {
        "accuracy/class_fake",
        "accuracy/class_generator",
        "accuracy/class_real",
        "accuracy/fake",
        "accuracy/real",
        "loss_class/fake",
        "loss_class/generator",
        "loss_class/real",
    },
    FastGAN: {"loss/reconstruction"},
    InfoGAN: {"loss_code/category", "loss_code/continuous"},
    StyleGAN2: {"path_length/mean", "path_length/value"},
    WGANGP: {"accuracy/pairs", "penalty/norm", "penalty/value"},
}


def record(
    variant: type[GANModule],
    batches: Batches,
    callbacks: Any = (),
    prepare: Any = None,
    every: int = 1,
    epochs: int = 1,
    **options: Any,
) -> list[tuple[int | None, dict[str, float]]]:
    logger = RecordingLogger()
    steps = {"discriminator_steps": 1} if variant is WGANGP else {}
    model = make_model(variant, **(steps | options))
    if prepare is not None:
        prepare(model)
    fit(model, batches, callbacks, logger, log_every_n_steps=every, max_epochs=epochs)
    return logger.records


@pytest.mark.parametrize("variant", VARIANTS)
def test_names(variant: type[GANModule]) -> None:
    records = record(variant, make_batches(3))
    assert len(records) == 3
    for _, values in records:
        assert values.keys() == OF_EVERY_VARIANT | NAMES[variant]


def test_each_name_is_explained() -> None:
    """In the table of the documentation: all of them, and no others."""
    page = Path(__file__).parents[2] / "docs" / "logged_values.md"
    explained: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE):
        group = ""
        for name in re.findall(r"`(.+?)`", row):
            group = name.partition("/")[0] or group  # `/fake` stands for its group's
            explained.add(f"{group}/{name.partition('/')[2]}")
    scores = {f"metric/{one.full_name('FEATURES')}" for one in SCORES.values()}
    logged = OF_EVERY_VARIANT.union(*NAMES.values()) | scores | OF_CALLBACKS | OF_PARTS
    rates = {name for name in logged if name.startswith("learning_rate/")}
    assert explained == logged - rates | {"learning_rate/…"}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("every", "epochs", "logged"),
    [(1, 1, [1, 2, 3, 4]), (2, 1, [2, 4]), (3, 3, [3, 6, 9, 12]), (5, 1, []), (0, 1, [])],
)
def test_logged_at_the_interval_over_images_seen(
    variant: type[GANModule], every: int, epochs: int, logged: list[int]
) -> None:
    records = record(variant, make_batches(4), every=every, epochs=epochs)
    assert [step for step, _ in records] == [8 * batch for batch in logged]


@pytest.mark.parametrize(
    ("every", "steps", "logged"), [(6, 3, [6, 12]), (3, 3, [3, 6, 9, 12]), (12, 2, [12])]
)
def test_logged_with_several_discriminator_updates(
    every: int, steps: int, logged: list[int]
) -> None:
    written: list[int] = []

    def note(model: GANModule) -> None:
        written.append(len(model.logger.records))

    callback = AfterBatch(note)
    options = {"every": every, "epochs": 2, "discriminator_steps": steps}
    records = record(WGANGP, make_batches(6), [callback], **options)
    assert [step for step, _ in records] == [8 * batch for batch in logged]
    assert written == [sum(at <= batch for at in logged) for batch in range(1, 13)], "when due"
    assert all("loss/generator" in values for _, values in records)


def test_logged_values_are_given_out_as_numbers_of_the_host() -> None:
    """A batch that isn't logged then need not wait for those of the progress bar."""
    given: list[Any] = []

    def note(model: GANModule) -> None:
        trainer = model.trainer
        given.append((dict(trainer.progress_bar_metrics), dict(trainer.callback_metrics)))

    records = record(GAN, make_batches(2), [AfterBatch(note)])
    shown, known = given[-1]
    assert shown.keys() == {"loss/discriminator", "loss/generator", "time/images_per_second"}
    for name, value in records[-1][1].items():
        assert type(value) is float
        assert known[name].item() == pytest.approx(value)
    for name, value in shown.items():
        assert value == records[-1][1][name]


def test_several_ranks_log_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    def reduce(values: Tensor, reduce_op: str) -> Tensor:
        return (values + torch.tensor([3.0, 5.0])) / {"mean": 2}[reduce_op]

    trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(reduce=reduce))
    model = make_model()
    monkeypatch.setattr(type(model), "trainer", trainer)
    scalars = {"a": torch.tensor(1.0), "rate": 0.5, "b": torch.tensor([2.0])}
    assert model.on_host(scalars) == {"a": 2.0, "rate": 0.5, "b": 3.5}
    assert model.on_host({"rate": 0.5}) == {"rate": 0.5}


def test_losses_of_many_batches_without_a_log_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "MOST_UNREAD", 3)

    def spoil(model: GANModule) -> None:
        if model.trainer.global_step == 2:
            model.observed["loss/generator"] = torch.tensor(torch.inf)

    seen: list[int] = []
    callbacks = [
        AfterBatch(spoil),
        finite.Finite(),
        AfterBatch(lambda m: seen.append(m.images_seen)),
    ]
    with pytest.raises(UserError, match="loss/generator is no longer finite since batch 2"):
        record(GAN, make_batches(8), callbacks, every=1000)
    assert seen == [8, 16]


def test_what_a_callback_logs_lies_at_the_images_seen() -> None:
    own = AfterBatch(lambda model: model.log("own/value", float(model.images_seen)))
    records = record(GAN, make_batches(3), [own], every=2)
    assert [(step, values["own/value"]) for step, values in records] == [(16, 16.0)]


def test_steps_of_billions_of_images_are_exact() -> None:
    def count(model: GANModule) -> None:
        model.images_seen = 2**40 + 8

    records = record(GAN, make_batches(2), [AfterBatch(count)])
    assert [step for step, _ in records] == [8, 2**40 + 16]


def test_a_generator_that_leads_the_turn_has_its_gradient_logged() -> None:
    """It is updated in the turn's first batch, and the last one is logged."""
    options = {"generator": TinyStyledGenerator, "discriminator_steps": 3}
    records = record(StyleGAN2, make_batches(6), every=3, **options)
    norms = [values["gradient_norm/generator"] for _, values in records]
    assert len(norms) == 2
    assert norms[0] != norms[1]


def test_a_lazy_term_is_logged_when_it_was_measured_and_no_norm_is_its_own() -> None:
    """The discriminator's other gradients are not: of a slope of another network, say."""
    norms: list[float] = []

    def measure(model: GANModule, name: str) -> None:
        if name == "discriminator":
            parameters = model.discriminator.parameters()
            norms.append(sum(p.grad.square().sum().item() for p in parameters) ** 0.5)

    lazy = {"discriminator": STEADY, "penalty": LazyPenalty(R1(1.0), every=3)}
    records = record(GAN, make_batches(4), [OptimizerSteps(measure)], **lazy)
    of_lazy = [norms.pop(1), norms.pop(4)]
    logged = [values["gradient_norm/discriminator"] for _, values in records]
    assert logged == pytest.approx(norms)
    assert logged[0] != pytest.approx(of_lazy[0], rel=0.1)
    assert ["penalty/r1" in values for _, values in records] == [True, False, False, True]
    between = record(GAN, make_batches(6), every=3, **lazy)
    assert all("penalty/r1" in values for _, values in between)


@pytest.mark.parametrize(
    ("every", "steps", "logged"),
    [
        (1, 3, [3, 6, 9, 12]),  # each is written three times
        (4, 3, [6, 12]),  # those of batch 6 are lost at the end of the epoch
    ],
)
def test_intervals_are_rounded_up_to_the_generators_turns(
    every: int, steps: int, logged: list[int]
) -> None:
    records = record(WGANGP, make_batches(6), every=every, epochs=2, discriminator_steps=steps)
    assert [step for step, _ in records] == [8 * batch for batch in logged]


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_are_those_of_the_batch(variant: type[GANModule]) -> None:
    """Logits, accuracies, losses and norms against what passed through the networks."""
    outputs: list[Tensor] = []
    classes: list[Tensor] = []
    norms: dict[str, float] = {}
    expected: list[dict[str, float]] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output.detach())

    def measure(model: GANModule, name: str) -> None:
        network = model.generator if name == "generator" else model.discriminator
        norms[name] = sum(p.grad.square().sum().item() for p in network.parameters()) ** 0.5

    def collect(model: GANModule) -> None:
        real, fake = outputs[:2]
        for parts in (real, fake):
            assert 0 < (parts > 0).sum() < len(parts), "the case must tell accuracies apart"
        values = {
            "logits/real": real.mean().item(),
            "logits/fake": fake.mean().item(),
            "learning_rate/generator": 0.01,
            "learning_rate/discriminator": 0.002,
        }
        values |= {f"gradient_norm/{name}": norm for name, norm in norms.items()}
        if variant is WGANGP:
            # A score has no zero, from which right and wrong could be told.
            values["accuracy/pairs"] = (real > fake).sum().item() / len(real)
            values["loss/generator"] = -outputs[3].mean().item()
            penalty = model.penalty.observed["penalty/value"].item()
            values["loss/discriminator"] = fake.mean().item() - real.mean().item() + 10 * penalty
        else:
            values["accuracy/real"] = (real > 0).sum().item() / len(real)
            values["accuracy/fake"] = (fake < 0).sum().item() / len(fake)
        if variant is ACGAN:
            real_labels = batches.batches[len(expected)][1]
            correct = (classes[0].argmax(1) == real_labels).sum().item()
            values["accuracy/class_real"] = correct / len(real_labels)
        expected.append(values)
        outputs.clear(), classes.clear(), norms.clear()

    def prepare(model: GANModule) -> None:
        last = list(model.discriminator.modules())[-1 if variant is not ACGAN else -2]
        with torch.no_grad():
            last.weight.mul_(20)
            last.bias.fill_(0.5)
        judge = model.discriminator
        if variant is not ACGAN:
            judge.register_forward_hook(note)
            return
        judge.source_head.register_forward_hook(lambda m, i, out: note(m, i, out.squeeze(1)))
        judge.class_head.register_forward_hook(lambda m, i, out: classes.append(out.detach()))

    batches = make_batches(2, batch_size=64)
    records = record(variant, batches, [OptimizerSteps(measure), AfterBatch(collect)], prepare)
    assert len(records) == len(expected) == 2
    for (_, values), wanted in zip(records, expected, strict=True):
        assert {name: values[name] for name in wanted} == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_the_gradients_norm_has_its_scaling_undone() -> None:
    """With a gradient scaler (65536 at first), here on the CPU, as without one."""
    records = []
    for plugins in ([], [MixedPrecision("16-mixed", "cpu")]):
        logger, model = RecordingLogger(), make_model()
        fit(model, make_batches(1), logger=logger, log_every_n_steps=1, plugins=plugins)
        records.append(logger.records[0][1])
    for name in ("gradient_norm/generator", "gradient_norm/discriminator"):
        assert records[1][name] == pytest.approx(records[0][name], rel=0.1)
        assert records[1][name] != records[0][name]


def test_the_penaltys_norm_is_that_of_the_discriminators_gradient() -> None:
    """A linear function's gradient is its weight, for every image."""

    class Linear(Discriminator):
        def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
            super().__init__(image_size)
            self.weight = nn.Parameter(torch.full((channels, image_size, image_size), 0.75))

        def forward(self, images: Tensor, classes: Tensor) -> Tensor:
            return (images * self.weight).sum(dim=(1, 2, 3))

    ((_, values),) = record(WGANGP, make_batches(1), discriminator=Linear)
    assert values["penalty/norm"] == pytest.approx(3)
    assert values["penalty/value"] == pytest.approx(4)


def test_speed_counts_the_images_since_the_last_record(monkeypatch: pytest.MonkeyPatch) -> None:
    time = [100.0]

    def clock() -> float:
        time[0] += 0.5
        return time[0]

    monkeypatch.setattr("gan_modules.bookkeeping.around_steps.perf_counter", clock)
    records = record(GAN, make_batches(4), every=2)
    assert [values["time/images_per_second"] for _, values in records] == [16 / 0.5, 16 / 0.5]


def test_nothing_is_measured_between_records(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    norm = nn.utils.get_total_norm
    monkeypatch.setattr(
        "gan_modules.bookkeeping.around_steps.nn.utils.get_total_norm",
        lambda g: calls.append(1) or norm(g),
    )
    record(GAN, make_batches(6), every=3)
    assert len(calls) == 4
