"""Trainings of tiny models, step by step: who is updated, by what, and with which numbers."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.networks import DCGAN32Discriminator, DCGAN32Generator, Generator
from gan_modules.parts import (
    Augment,
    CrossEntropy,
    Game,
    GradientPenalty,
    HardLabels,
    Judge,
    JudgeReal,
    LabelFlips,
    OneSidedSmoothing,
    Penalty,
    SeparateBatches,
    Turn,
)
from tests.gan_modules.helpers import (
    CLASSES,
    LATENT,
    VARIANTS,
    AfterBatch,
    Batches,
    OptimizerSteps,
    TinyDiscriminator,
    copied,
    equal,
    fast_adam,
    fit,
    gradients,
    make_batches,
    make_model,
    seed_batch,
    slow_adam,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step."
)


NONE = torch.zeros(8, dtype=torch.int64)
"""The classes that a generator without classes is asked for."""


def first_layer(model: GANModule) -> nn.Module:
    """Of the discriminator: a hook on itself would miss ACGAN's training, which calls `heads`."""
    return next(m for m in model.discriminator.modules() if isinstance(m, nn.Flatten))


def last_layer(model: GANModule) -> nn.Module:
    """Of the discriminator, before its logits."""
    discriminator = model.discriminator
    return discriminator.source_head if isinstance(model, ACGAN) else discriminator.layers[-1]


def same(one: list[Tensor | None], other: list[Tensor | None]) -> bool:
    return all(
        a is b if a is None or b is None else torch.equal(a, b)
        for a, b in zip(one, other, strict=True)
    )


# Which network is updated, and by which gradients


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_batch_changes_both_networks(variant: type[GANModule]) -> None:
    model = make_model(variant, discriminator_steps=1)
    generator, discriminator = copied(model.generator), copied(model.discriminator)
    fit(model, make_batches(1))
    for before, network in ((generator, model.generator), (discriminator, model.discriminator)):
        for name, parameter in network.named_parameters():
            # A shift of all scores is nothing to the Wasserstein distance.
            shift = variant is WGANGP and network is model.discriminator and name == "layers.4.bias"
            assert torch.equal(before[name], parameter) == shift, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_update_touches_one_network_only(variant: type[GANModule]) -> None:
    """The other network's weights and gradients are those of its own last update."""
    model = make_model(variant, discriminator_steps=1)
    networks = {"generator": model.generator, "discriminator": model.discriminator}
    weights: dict[str, list[Tensor | None]] = {}
    used: dict[str, list[Tensor | None]] = {}
    order = []

    def parameters(network: nn.Module) -> list[Tensor | None]:
        return [p.detach().clone() for p in network.parameters()]

    for name, network in networks.items():
        weights[name], used[name] = parameters(network), gradients(network)

    def before(model: GANModule, name: str) -> None:
        order.append(name)
        (other,) = networks.keys() - {name}
        for network in networks:
            assert same(parameters(networks[network]), weights[network])
        assert same(gradients(networks[other]), used[other])
        used[name] = gradients(networks[name])
        assert all(g is not None for g in used[name])
        assert any(g.abs().max() > 0 for g in used[name])

    def after(model: GANModule, name: str) -> None:
        weights[name] = parameters(networks[name])

    fit(model, make_batches(3), [OptimizerSteps(before, after)])
    assert order == ["discriminator", "generator"] * 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_fakes_are_detached_in_the_discriminators_update(variant: type[GANModule]) -> None:
    model = make_model(variant, discriminator_steps=1)
    shown: list[str | bool] = []
    frozen: list[bool] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shown.append(inputs[0].grad_fn is not None)
        frozen.append(not next(model.discriminator.parameters()).requires_grad)

    first_layer(model).register_forward_pre_hook(note)
    fit(model, make_batches(1), [OptimizerSteps(lambda _, name: shown.append(name))])
    # Real and generated images, the penalty's mixes (leaves that require a gradient), an update;
    # then images that carry the generator's graph, and its update.
    calls = 3 if variant is WGANGP else 2
    assert shown == [False] * calls + ["discriminator", True, "generator"]
    assert frozen == [False] * calls + [True]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fails", [False, True])
def test_updating_freezes_the_others_and_thaws_them(variant: type[GANModule], fails: bool) -> None:
    model = make_model(variant, ema_half_life_images=10)
    discriminator = model.discriminator
    pinned = next(model.generator.parameters()).requires_grad_(False)  # frozen by someone else

    def flags(network: nn.Module) -> set[bool]:
        return {p.requires_grad for p in network.parameters() if p is not pinned}

    for network, other in ((discriminator, model.generator), (model.generator, discriminator)):
        try:
            with model.updating(network):
                assert flags(network) == {True}
                assert flags(other) == {False}
                if fails:
                    raise KeyError("in the body")
        except KeyError:
            assert fails
        assert flags(network) == flags(other) == {True}
    assert flags(model.generator_ema) == {False}
    assert not pinned.requires_grad


# Whole steps, against loops written by hand


class Handmade:
    """The networks and optimizers of a model, for a loop without Lightning."""

    def __init__(self, variant: type[GANModule], **options: Any) -> None:
        model = make_model(variant, **options)
        self.generator, self.discriminator = model.generator, model.discriminator
        self.optimizer_g = fast_adam(self.generator.parameters())
        self.optimizer_d = slow_adam(self.discriminator.parameters())

    def step(self, loss: Tensor, network: nn.Module) -> None:
        generator = network is self.generator
        optimizer = self.optimizer_g if generator else self.optimizer_d
        gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    def compare(self, model: GANModule) -> None:
        for one, other in (
            (self.generator, model.generator),
            (self.discriminator, model.discriminator),
        ):
            expected = one.state_dict()
            for name, value in other.state_dict().items():
                torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7)


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@pytest.mark.parametrize("smooth", [1.0, 0.9])
def test_gan_is_its_algorithm(smooth: float) -> None:
    hand = Handmade(GAN)
    images_seen, expected_losses, losses = 0, [], []
    for real, _ in make_batches(3):
        images_seen += len(real)
        seed_batch(3, images_seen)
        fake = hand.generator(torch.randn(len(real), LATENT), NONE)
        loss_d = cross_entropy(hand.discriminator(real, NONE), smooth)
        loss_d = (loss_d + cross_entropy(hand.discriminator(fake.detach(), NONE), 0.0)) / 2
        hand.step(loss_d, hand.discriminator)
        loss_g = cross_entropy(hand.discriminator(fake, NONE), 1.0)
        hand.step(loss_g, hand.generator)
        expected_losses.append((loss_d.item(), loss_g.item()))

    labels = OneSidedSmoothing(smooth) if smooth < 1 else None
    model = make_model(GAN, game=CrossEntropy(labels))

    def note(model: GANModule) -> None:
        names = ("loss/discriminator", "loss/generator")
        losses.append(tuple(model.observed[name].item() for name in names))

    fit(model, make_batches(3), [AfterBatch(note)])
    hand.compare(model)
    assert losses == [pytest.approx(pair, rel=1e-6) for pair in expected_losses]


def test_wgan_gp_is_its_algorithm() -> None:
    hand = Handmade(WGANGP)
    images_seen, after_each = 0, []
    for index, (real, _) in enumerate(make_batches(5)):
        images_seen += len(real)
        seed_batch(3, images_seen)
        count = len(real)
        fake = hand.generator(torch.randn(count, LATENT), NONE)
        scores_real = hand.discriminator(real, NONE)
        scores_fake = hand.discriminator(fake.detach(), NONE)
        epsilon = torch.rand(count, 1, 1, 1)
        mix = (epsilon * real + (1 - epsilon) * fake.detach()).requires_grad_(True)
        scores = hand.discriminator(mix, NONE)
        gradient = torch.autograd.grad(scores.sum(), mix, create_graph=True)[0]
        norm = gradient.pow(2).sum(dim=(1, 2, 3)).sqrt()
        loss = scores_fake.mean() - scores_real.mean() + 7 * ((norm - 1) ** 2).mean()
        hand.step(loss, hand.discriminator)
        if index % 2 == 1:  # every second batch, on the images of the discriminator's update
            hand.step(-hand.discriminator(fake, NONE).mean(), hand.generator)
        after_each.append({n: p.detach().clone() for n, p in hand.generator.named_parameters()})

    model = make_model(WGANGP, penalty=GradientPenalty(7.0), discriminator_steps=2)
    weights = [{n: p.detach().clone() for n, p in model.generator.named_parameters()}]

    def note(model: GANModule) -> None:
        weights.append({n: p.detach().clone() for n, p in model.generator.named_parameters()})
        for name, value in after_each[len(weights) - 2].items():
            torch.testing.assert_close(weights[-1][name], value, rtol=1e-6, atol=1e-7)

    fit(model, make_batches(5), [AfterBatch(note)])
    hand.compare(model)
    unchanged = [equal(one, two) for one, two in pairwise(weights)]
    assert unchanged == [True, False, True, False, True]


@pytest.mark.parametrize("class_weight", [1.0, 0.25])
def test_acgan_is_its_algorithm(class_weight: float) -> None:
    hand = Handmade(ACGAN)
    images_seen = 0

    def mean(adversarial: Tensor, classes: Tensor) -> Tensor:
        return (adversarial + class_weight * classes) / (1 + class_weight)

    for real, real_classes in make_batches(3):
        images_seen += len(real)
        seed_batch(3, images_seen)
        classes = torch.randint(CLASSES, (len(real),))
        one_hot = torch.eye(CLASSES)[classes]
        inputs = torch.cat([torch.randn(len(real), LATENT), one_hot], dim=1)
        fake = hand.generator.layers(inputs).view_as(real)
        logits_real, classes_real = hand.discriminator.heads(real)
        logits_fake, classes_fake = hand.discriminator.heads(fake.detach())
        adversarial = (cross_entropy(logits_real, 1.0) + cross_entropy(logits_fake, 0.0)) / 2
        class_loss = -F.log_softmax(classes_real, 1)[range(len(real)), real_classes].mean() / 2
        class_loss -= F.log_softmax(classes_fake, 1)[range(len(real)), classes].mean() / 2
        hand.step(mean(adversarial, class_loss), hand.discriminator)
        logits, class_logits = hand.discriminator.heads(fake)
        class_loss = -F.log_softmax(class_logits, 1)[range(len(real)), classes].mean()
        hand.step(mean(cross_entropy(logits, 1.0), class_loss), hand.generator)

    model = make_model(ACGAN, class_weight=class_weight)
    fit(model, make_batches(3))
    hand.compare(model)


def test_acgan_losses_are_the_mean_of_two() -> None:
    """With the defaults: (adversarial + class) / 2, and neither is ever negative."""
    model = make_model(ACGAN)
    calls: list[Tensor] = []
    last_layer(model).register_forward_hook(lambda m, i, output: calls.append(output.squeeze(1)))
    fit(model, make_batches(1))
    real, fake, again = calls
    observed = {name: value.item() for name, value in model.observed.items()}
    adversarial = (cross_entropy(real, 1.0) + cross_entropy(fake, 0.0)).item() / 2
    class_loss = (observed["loss_class/real"] + observed["loss_class/fake"]) / 2
    assert class_loss > 0.1
    assert observed["loss/discriminator"] == pytest.approx((adversarial + class_loss) / 2)
    both = cross_entropy(again, 1.0).item() + observed["loss_class/generator"]
    assert observed["loss/generator"] == pytest.approx(both / 2)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_weight_of_generated_images_in_the_class_loss(weight: float) -> None:
    model = make_model(ACGAN, fake_class_weight=weight)
    calls: list[Tensor] = []
    last_layer(model).register_forward_hook(lambda m, i, output: calls.append(output.squeeze(1)))
    fit(model, make_batches(1))
    real, fake, _ = calls
    observed = {name: value.item() for name, value in model.observed.items()}
    adversarial = (cross_entropy(real, 1.0) + cross_entropy(fake, 0.0)).item() / 2
    class_loss = observed["loss_class/real"] + weight * observed["loss_class/fake"]
    wanted = (adversarial + class_loss / (1 + weight)) / 2
    assert observed["loss/discriminator"] == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["class_weight", "fake_class_weight"])
def test_negative_weights_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` must be 0 \(off\) or more, got -1"):
        make_model(ACGAN, **{name: -1.0})


def test_class_weight_zero_ignores_the_classes() -> None:
    batches = make_batches(3)
    relabelled = Batches([(images, (labels + 1) % CLASSES) for images, labels in batches])
    results = {}
    for weight in (0.0, 1.0):
        models = [make_model(ACGAN, class_weight=weight) for _ in range(2)]
        head = copied(models[0].discriminator.class_head)
        for model, loader in zip(models, (batches, relabelled), strict=True):
            fit(model, loader)
        results[weight] = equal(*(copied(model) for model in models))
        untrained = equal(head, copied(models[0].discriminator.class_head))
        assert untrained == (weight == 0)
    assert results == {0.0: True, 1.0: False}


def test_acgan_needs_two_classes() -> None:
    with pytest.raises(
        ValueError, match="ACGAN needs data of at least 2 classes, and this data has 1"
    ):
        make_model(ACGAN, num_classes=1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_and_their_latents_have_the_asked_shapes(variant: type[GANModule]) -> None:
    model = make_model(variant)
    torch.manual_seed(0)
    latent, labels = model.sample_latent(2000), model.sample_labels(2000)
    assert latent.shape == (2000, LATENT)
    assert latent.mean().abs() < 0.05
    assert latent.std().item() == pytest.approx(1, abs=0.05)
    assert labels.dtype == torch.int64
    even = pytest.approx([2000 / CLASSES] * CLASSES, rel=0.2)
    assert labels.bincount().tolist() == (even if model.conditional else [2000])
    labels = torch.arange(2000) % CLASSES
    images = model.sample(latent[:4], labels[:4])
    assert images.shape == (4, 1, 4, 4)
    others = model.sample(latent[:4], (labels[:4] + 1) % CLASSES)
    assert torch.equal(images, others) == (not model.conditional)


def test_mixed_precision_leaves_the_penaltys_gradient_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Exact(Generator):
        """Has no operation that autocast would touch, so that all runs see the same images."""

        def __init__(self, latent_dim: int, channels: int, size: int, num_classes: int) -> None:
            super().__init__(size)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
            return self.scale * latent[:, None, :4, None].expand(-1, 1, 4, 4).tanh()

    monkeypatch.setattr("gan_modules.parts.Wasserstein.discriminator", lambda self, real, fake: 0)
    results: dict[str, list[Tensor]] = {}
    for precision in ("32-true", "bf16-mixed"):

        def note(model: GANModule, name: str, precision: str = precision) -> None:
            results[precision] = [g for g in gradients(model.discriminator) if g is not None]

        networks = {"generator": Exact, "discriminator": partial(TinyDiscriminator, dropout=0.0)}
        model = make_model(WGANGP, **networks, discriminator_steps=2)
        fit(model, make_batches(1), [OptimizerSteps(note)], precision=precision)
    assert len(results["32-true"]) == 3
    for whole, mixed in zip(results["32-true"], results["bf16-mixed"], strict=True):
        torch.testing.assert_close(mixed, whole, rtol=1e-4, atol=1e-6)


# How often each network is updated, and what is counted


@pytest.mark.parametrize(
    ("discriminator_steps", "generator_steps"), [(1, 1), (3, 1), (1, 3), (2, 2)]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_ratios_of_updates(
    variant: type[GANModule], discriminator_steps: int, generator_steps: int
) -> None:
    options = {"discriminator_steps": discriminator_steps, "generator_steps": generator_steps}
    model = make_model(variant, **options)
    latents: list[Tensor] = []
    model.generator.register_forward_pre_hook(lambda m, inputs: latents.append(inputs[0]))
    steps: list[list[str]] = [[]]
    counts: list[tuple[int, int]] = []

    def close(model: GANModule) -> None:
        steps.append([])
        counts.append((model.trainer.global_step, model.images_seen))

    note = OptimizerSteps(lambda model, name: steps[-1].append(name))
    trainer = fit(model, make_batches(7), [note, AfterBatch(close)])
    for index in range(7):
        turn = generator_steps if (index + 1) % discriminator_steps == 0 else 0
        assert steps[index] == ["discriminator"] + ["generator"] * turn
    assert counts == [(index + 1, 8 * (index + 1)) for index in range(7)]
    assert trainer.global_step == 7
    drawn = torch.stack([latent[0, :LATENT] for latent in latents])
    assert len(drawn.unique(dim=0)) == len(drawn), "every generator pass has its own latents"


@pytest.mark.parametrize("variant", VARIANTS)
def test_ratios_hold_across_epochs(variant: type[GANModule]) -> None:
    model = make_model(variant, discriminator_steps=3)
    steps: list[str] = []
    note = OptimizerSteps(lambda model, name: steps.append(name))
    trainer = fit(model, make_batches(4), [note], max_epochs=3)
    assert steps == (["discriminator"] * 3 + ["generator"]) * 4
    assert trainer.global_step == 12
    assert model.images_seen == 96


@pytest.mark.parametrize("variant", VARIANTS)
def test_max_steps_counts_batches(variant: type[GANModule]) -> None:
    model = make_model(variant, discriminator_steps=2)
    fit(model, make_batches(9), max_steps=5)
    assert model.images_seen == 40


@pytest.mark.parametrize("name", ["latent_dim", "discriminator_steps", "generator_steps"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_below_one_are_refused(variant: type[GANModule], name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        make_model(variant, **{name: 0})


# Parts in the step


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_parts_reach_the_updates_they_should(variant: type[GANModule]) -> None:
    calls: list[tuple[str, int]] = []

    class Painted(Augment):
        def begin(self, images_seen: int) -> None:
            calls.append(("begin", images_seen))

        def fake(self, images: Tensor) -> Tensor:
            calls.append(("fake", len(images)))
            return 0 * images + 2

        def real(self, images: Tensor) -> Tensor:
            calls.append(("real", len(images)))
            return 0 * images + 3

        def adapt(self, real_logits: Tensor) -> None:
            assert torch.equal(real_logits, outputs[0])
            calls.append(("adapt", len(real_logits)))

    class Labels(HardLabels):
        def real(self, logits: Tensor) -> Tensor:
            return torch.full_like(logits, 0.75)

        def fake(self, logits: Tensor) -> Tensor:
            return torch.full_like(logits, 0.125)

    class Flips(LabelFlips):
        def forward(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
            calls.append(("flip", int(1000 * real[0].item() + fake[0].item() * 1_000_000)))
            return fake, real

    model = make_model(variant, augment=Painted(), game=CrossEntropy(Labels(), Flips()))
    shown: list[float] = []
    outputs: list[Tensor] = []
    first_layer(model).register_forward_pre_hook(
        lambda m, inputs: shown.append(inputs[0].mean().item())
    )
    last_layer(model).register_forward_hook(lambda m, i, output: outputs.append(output.squeeze(1)))
    fit(model, make_batches(1))
    assert shown == [3, 2, 2], "real, generated; generated again in the generator's update"
    update = [("real", 8), ("fake", 8), ("flip", 125_750), ("adapt", 8), ("fake", 8)]
    assert calls == [("begin", 8), *update]
    adversarial = (cross_entropy(outputs[0], 0.125) + cross_entropy(outputs[1], 0.75)).item() / 2
    if variant is GAN:
        assert model.observed["loss/discriminator"].item() == pytest.approx(adversarial)
    else:
        names = ("loss_class/real", "loss_class/fake")
        classes = sum(model.observed[name].item() for name in names) / 2
        loss = model.observed["loss/discriminator"].item()
        assert loss == pytest.approx((adversarial + classes) / 2)


class Constant(Game):
    """Losses 5 and 6; notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        self.seen.append((len(real), len(fake)))
        return real.sum() * 0 + 5

    def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
        self.seen.append((len(fake),))
        return fake.sum() * 0 + 6


def test_gan_uses_the_game_and_the_batches_it_is_given() -> None:
    class Halved(SeparateBatches):
        def forward(
            self, discriminator: Judge, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
        ) -> tuple[Tensor, Tensor]:
            return discriminator(real, classes), discriminator(fake[:3], asked[:3])

    model = make_model(GAN, game=Constant(), batches=Halved())
    fit(model, make_batches(1))
    assert model.game.seen == [(8, 3), (8,)]
    assert model.observed["loss/discriminator"].item() == 5
    assert model.observed["loss/generator"].item() == 6


def test_hard_targets_are_one_and_zero_in_the_step() -> None:
    targets: list[tuple[float, ...]] = []

    class Noted(LabelFlips):
        def forward(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
            targets.append((len(real), len(fake), real.sum().item(), fake.sum().item()))
            return real, fake

    fit(make_model(GAN, game=CrossEntropy(label_flips=Noted())), make_batches(1))
    assert targets == [(8, 8, 8, 0)]


@pytest.mark.parametrize("variant", [GAN, WGANGP])
def test_the_penalty_is_a_term_of_the_discriminators_loss(variant: type[GANModule]) -> None:
    """On the images before augmentation, with both kinds' classes."""
    batch = make_batches(1).batches[0]

    class Fixed(Penalty):
        def forward(self, turn: Turn) -> Tensor:
            assert torch.equal(turn.real, batch[0])
            assert torch.equal(turn.classes, batch[1])
            assert turn.fake.shape == turn.real.shape
            assert not turn.fake.requires_grad
            assert turn.latent.shape == (8, model.latent_dim)
            assert torch.equal(turn.asked, torch.zeros(8, dtype=torch.int64))
            assert turn.real_logits.shape == turn.fake_logits.shape == (8,)
            bias = last_layer(model).bias
            return 40 + 3 * bias.sum() - 3 * bias.sum().detach()

    model = make_model(variant, penalty=Fixed(), discriminator_steps=1)
    model.game = Constant()
    biases: list[float] = []

    def note(model: GANModule, name: str) -> None:
        if name == "discriminator":
            biases.append(last_layer(model).bias.grad.item())

    fit(model, make_batches(1), [OptimizerSteps(note)])
    assert model.observed["loss/discriminator"].item() == pytest.approx(45)
    assert biases == [3.0]


@pytest.mark.parametrize("variant", [GAN, WGANGP])
def test_a_penalty_refuses_batch_norm(variant: type[GANModule]) -> None:
    networks = {"generator": DCGAN32Generator, "discriminator": DCGAN32Discriminator}
    with pytest.raises(ValueError, match="batch norm, which mixes images"):
        make_model(variant, **networks, image_size=32, penalty=GradientPenalty())
    if variant is WGANGP:
        with pytest.raises(ValueError, match="batch norm, which mixes images"):
            make_model(variant, **networks, image_size=32)
