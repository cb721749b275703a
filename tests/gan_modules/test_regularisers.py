"""LeCam, consistency, clipping, orthogonality, sums and lazy penalties against closed forms."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_modules import GAN, R3GAN, WGANGP, GANModule, StyleGAN2
from gan_modules.networks.noise import ScalarNoise
from gan_modules.parts import (
    ADA,
    R1,
    R2,
    Augment,
    Consistency,
    FlipAndShift,
    InOrder,
    InstanceNoise,
    LatentConsistency,
    LazyPenalty,
    LeCam,
    NoPenalty,
    Orthogonal,
    Penalty,
    SumOfPenalties,
    Turn,
    WeightClipping,
)
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    AfterBatch,
    TinyStyledGenerator,
    fit,
    make_batches,
    make_model,
)

CLASSES = torch.zeros(4, dtype=torch.int64)


def total(images: Tensor, classes: Tensor) -> Tensor:
    """The sum of the pixels."""
    return images.sum(dim=(1, 2, 3))


class Doubling(nn.Module):
    """Images whose pixels are twice the latent's numbers."""

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return 2 * latent.view(-1, 1, 2, 3)


def turn_of(real: Tensor, fake: Tensor) -> Turn:
    """An update in which these images were shown to `total`."""
    latent = fake.flatten(1) / 2
    turn = Turn(total, Doubling(), real, CLASSES, latent, fake, CLASSES)
    turn.judge()
    return turn


def images(value: float) -> Tensor:
    """Four images whose pixels sum to a value."""
    return torch.full((4, 1, 2, 3), value / 6)


def test_lecams_averages_of_constant_logits() -> None:
    penalty = LeCam(weight=2.0, decay=0.9, start_images=10)
    first = turn_of(images(5.0), images(-5.0))
    penalty.begin(8)
    assert penalty(first).item() == 0, "not begun"
    assert penalty.real_average.item() == pytest.approx(5.0), "the last batch's means"
    later = turn_of(images(1.0), images(2.0))
    for step in range(1, 4):
        penalty.begin(10 + step)
        term = penalty(later)
        real, fake = 1 + 4 * 0.9**step, 2 - 7 * 0.9**step
        assert penalty.real_average.item() == pytest.approx(real, rel=1e-5)
        assert penalty.fake_average.item() == pytest.approx(fake, rel=1e-5)
        expected = max(0, 1 - fake) ** 2 + max(0, real - 2) ** 2
        assert term.item() == pytest.approx(2.0 * expected, rel=1e-5)
    assert set(penalty.state_dict()) == {"real_average", "fake_average"}


def test_lecam_has_gradients_of_the_logits_alone() -> None:
    penalty = LeCam(weight=1.0, decay=1.0, start_images=0)
    penalty.begin(1)
    turn = turn_of(images(3.0), images(-2.0))
    turn.real_logits.requires_grad_(True)
    penalty(turn).backward()
    torch.testing.assert_close(turn.real_logits.grad, torch.full((4,), 2 * 3.0 / 4))


class Tripled(Augment):
    """Three times the brightness."""

    def forward(self, images: Tensor) -> Tensor:
        return 3 * images


@pytest.mark.parametrize("fake_weight", [0.0, 5.0])
def test_consistency_compares_logits_with_those_of_changed_images(fake_weight: float) -> None:
    shown: list[Tensor] = []

    def recorder(images: Tensor, classes: Tensor) -> Tensor:
        shown.append(images)
        return total(images, classes)

    turn = Turn(recorder, Doubling(), images(2.0), CLASSES, CLASSES, images(3.0), CLASSES)
    turn.judge()
    term = Consistency(10.0, fake_weight, Tripled())(turn)
    assert term.item() == pytest.approx(10.0 * (6 - 2) ** 2 + fake_weight * (9 - 3) ** 2)
    assert len(shown) == (4 if fake_weight else 3), "no pass more than the mathematics needs"


def test_consistency_changes_real_images_also_by_noise_on_generated_ones_alone() -> None:
    turn = Turn(total, Doubling(), images(2.0), CLASSES, CLASSES, images(3.0), CLASSES)
    turn.judge()
    assert Consistency(1.0, augment=InstanceNoise(0.5))(turn).item() > 0


def test_consistency_refuses_an_augmentation_that_learns() -> None:
    for augment in (ADA(), InOrder([FlipAndShift(), ADA()])):
        with pytest.raises(UserError, match=r"`augment` of Consistency .* give ADA a `p`"):
            Consistency(augment=augment)
    Consistency(augment=ADA(p=0.5))


def test_both_logits_of_consistency_have_gradients() -> None:
    weight = torch.ones((), requires_grad=True)

    def weighted(images: Tensor, classes: Tensor) -> Tensor:
        return weight * total(images, classes)

    turn = Turn(weighted, Doubling(), images(2.0), CLASSES, CLASSES, images(3.0), CLASSES)
    turn.judge()
    Consistency(1.0, 0.0, Tripled())(turn).backward()  # (6 w - 2 w)^2
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * 16)


def test_flip_and_shift_moves_whole_pixels_and_reflects() -> None:
    torch.manual_seed(0)
    size = 16
    ramp = torch.arange(size, dtype=torch.float32)
    pictures = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)])
    changed = FlipAndShift()(pictures.expand(300, 2, size, size))
    across, down = changed[:, 0, 0], changed[:, 1, :, 0]  # each image's columns and rows
    assert torch.equal(changed[:, 0], across[:, None].expand(-1, size, -1))
    seen = set()
    for columns, rows in zip(across.tolist(), down.tolist(), strict=True):
        flipped = columns[8] < columns[7]
        columns = columns[::-1] if flipped else columns
        shifts = 8 - columns[8], 8 - rows[8]
        for shift, places in zip(shifts, (columns, rows), strict=True):
            asked = [abs(place - shift) for place in range(size)]
            assert places == [15 - abs(15 - place) for place in asked]
        seen.add((flipped, *shifts))
    assert {shift for _, shift, _ in seen} == {-2, -1, 0, 1, 2} == {down for _, _, down in seen}
    assert {flipped for flipped, _, _ in seen} == {True, False}
    assert len(seen) == 50


def test_latent_consistency_in_closed_form() -> None:
    torch.manual_seed(0)
    penalty = LatentConsistency(weight=3.0, generator_weight=0.7, std=0.1)
    latent = torch.randn(4, 6).repeat(2500, 1)
    classes = CLASSES.repeat(2500)
    fake = Doubling()(latent, classes)
    turn = Turn(total, Doubling(), fake, classes, latent, fake, classes)
    turn.judge()
    # The logit is 2 sum(z), the step in it 2 sum(d): variance 4 * 6 * 0.01.
    assert penalty(turn).item() == pytest.approx(3.0 * 4 * 6 * 0.01, rel=0.05)
    (term,) = penalty.of_generator(Doubling(), latent, classes, fake)
    assert term.item() == pytest.approx(-0.7 * 4 * 0.01, rel=0.05)


def test_latent_consistency_teaches_each_network_its_own_term() -> None:
    generator, critic = nn.Linear(6, 6), nn.Linear(6, 1)
    latent = torch.randn(4, 6)

    def draw(latent: Tensor, classes: Tensor) -> Tensor:
        drawn: Tensor = generator(latent).view(4, 1, 2, 3)
        return drawn

    def judge(images: Tensor, classes: Tensor) -> Tensor:
        logits: Tensor = critic(images.flatten(1)).squeeze(1)
        return logits

    fake: Any = draw(latent, CLASSES)
    network: Any = draw
    turn = Turn(judge, network, fake.detach(), CLASSES, latent, fake.detach(), CLASSES)
    turn.judge()
    penalty = LatentConsistency()
    penalty(turn).backward()
    assert critic.weight.grad is not None
    assert generator.weight.grad is None
    critic.weight.grad = None
    (term,) = penalty.of_generator(network, latent, CLASSES, fake)
    term.backward()
    assert generator.weight.grad is not None
    assert critic.weight.grad is None
    penalty(turn)  # StyleGAN2's generator comes first
    assert penalty.observed.keys() == {"penalty/latent_consistency", "penalty/latent_difference"}


class Drawing(TinyStyledGenerator):
    """Draws noise, or drops some of its inputs."""

    def __init__(self, *sizes: int, layer: Callable[[], nn.Module]) -> None:
        super().__init__(*sizes)
        self.drawn = layer()


@pytest.mark.parametrize("variant", [GAN, WGANGP, R3GAN, StyleGAN2])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (partial(ScalarNoise, 4), "has noise, which LatentConsistency.*latents: choose another"),
        (partial(nn.Dropout, 0.1), "has dropout, which .*: set its `dropout` to 0, or choose"),
        (partial(nn.Dropout, 0.0), None),
    ],
)
def test_latent_consistency_refuses_what_a_generator_draws_besides(
    variant: type[GANModule], layer: Any, message: str | None
) -> None:
    penalty = SumOfPenalties([R1(), LazyPenalty(LatentConsistency())])
    generator = partial(Drawing, layer=layer)
    refused = pytest.raises(UserError, match=message) if message else nullcontext()
    with refused:
        make_model(variant, generator=generator, penalty=penalty)


def test_clipping_bounds_parameters_and_leaves_buffers() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    network[1].running_var.fill_(7.0)
    WeightClipping(0.3).after(network)
    values = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert values.abs().max() <= 0.3
    assert (values.abs() < 0.3).any(), "those within the limit are left alone"
    assert network[1].running_var.unique().item() == 7.0
    assert WeightClipping()(turn_of(images(1.0), images(2.0))).item() == 0


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop"])
def test_clipping_holds_after_each_update(optimizer: str) -> None:
    greatest: list[float] = []

    def note(module: Any) -> None:
        weights = module.discriminator.parameters()
        greatest.append(max(weight.abs().max().item() for weight in weights))

    make = partial(getattr(torch.optim, optimizer), lr=0.1)
    model = make_model(penalty=WeightClipping(0.02), discriminator_optimizer=make)
    fit(model, make_batches(2), callbacks=[AfterBatch(note)])
    assert greatest == pytest.approx([0.02, 0.02])


def test_orthogonality_in_closed_form() -> None:
    layers = [nn.Linear(3, 2), nn.Conv2d(2, 2, 1), nn.ConvTranspose2d(2, 2, 1), nn.Embedding(5, 3)]
    network = nn.Sequential(*layers)
    values = [[1.0, 2.0, 0.0], [3.0, 1.0, 1.0]], [[1.0, 2.0], [1.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]]
    for layer, rows in zip(layers, values, strict=False):
        layer.weight.data = torch.tensor(rows).view_as(layer.weight)
    # Rows' inner products: 5; 3; of the transposed convolution columns': 2 + 12. Each twice.
    penalty = Orthogonal(0.5)
    (term,) = penalty.of_generator(network, CLASSES, CLASSES, images(1.0))
    assert term.item() == pytest.approx(0.5 * 2 * (5**2 + 3**2 + 14**2))
    (gradient,) = torch.autograd.grad(term, layers[0].weight)
    other = torch.tensor(values[0]).flip(0)
    torch.testing.assert_close(gradient, 0.5 * 4 * 5 * other)


def test_a_generator_without_matrices_has_no_orthogonality() -> None:
    with pytest.raises(UserError, match="no matrix in `generator` Embedding"):
        Orthogonal().of_generator(nn.Embedding(5, 3), CLASSES, CLASSES, images(1.0))


class Step(Penalty):
    """A term of both networks, and a note of each call."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value, self.calls = value, 0

    def forward(self, turn: Turn) -> Tensor:
        self.calls += 1
        return self.value * turn.real_logits.mean()

    def of_generator(self, *arguments: Any) -> list[Tensor]:
        return [torch.tensor(self.value)]


def test_a_sum_adds_all_that_its_penalties_say() -> None:
    both = SumOfPenalties([Step(2.0), NoPenalty(), Step(3.0), LazyPenalty(Step(1.0), 4)])
    turn = turn_of(images(1.0), images(2.0))
    assert both(turn).item() == pytest.approx(5.0)
    assert sum(both.of_generator(nn.Identity(), CLASSES, CLASSES, images(1.0))).item() == 6.0
    assert [loss.item() for loss in both.lazy(turn)] == pytest.approx([4.0])
    assert both.step_share == pytest.approx(4 / 5)
    lazies = [LazyPenalty(Step(1.0), 4), LazyPenalty(Step(1.0), 2)]
    assert SumOfPenalties(lazies).step_share == pytest.approx(1 / (1 + 1 / 4 + 1 / 2))
    with pytest.raises(UserError, match="`penalties` must name at least one"):
        SumOfPenalties([])


@pytest.mark.parametrize(
    "penalty",
    [NoPenalty(), WeightClipping(), Orthogonal(), SumOfPenalties([WeightClipping(), Orthogonal()])],
)
def test_what_has_no_term_of_the_discriminator_is_not_lazy(penalty: Penalty) -> None:
    with pytest.raises(UserError, match="has no term of the discriminator that could be lazy"):
        LazyPenalty(penalty)
    LazyPenalty(SumOfPenalties([penalty, R1()]))


def test_a_lazy_penalty_is_due_at_every_kth_update() -> None:
    lazy = LazyPenalty(Step(1.0), 3)
    turn = turn_of(images(2.0), images(2.0))
    due = []
    for turn.update in range(7):
        assert lazy(turn).item() == 0
        due.append([loss.item() for loss in lazy.lazy(turn)])
    assert due == [[pytest.approx(6.0)], [], [], [pytest.approx(6.0)], [], [], [pytest.approx(6.0)]]
    with pytest.raises(UserError, match="`every` of LazyPenalty must be at least 1, got 0"):
        LazyPenalty(R1(), 0)
    with pytest.raises(UserError, match="`penalty` of LazyPenalty is lazy itself"):
        LazyPenalty(SumOfPenalties([R1(), LazyPenalty(R2())]))


@pytest.mark.parametrize(
    ("penalty", "shown"),
    [
        (R1(), [1.0]),
        (R2(), [2.0]),
        (SumOfPenalties([R1(), R2()]), [1.0, 2.0]),
        (LeCam(), [1.0, 2.0]),
    ],
)
def test_a_lazy_penalty_shows_no_more_than_it_penalises(
    penalty: Penalty, shown: list[float]
) -> None:
    turn = turn_of(images(1.0), images(2.0))
    seen: list[float] = []
    original = turn.discriminator

    def judge(shown: Tensor, classes: Tensor) -> Tensor:
        seen.append(shown.mean().item())
        return original(shown, classes)

    turn.discriminator = judge
    assert len([*LazyPenalty(penalty).lazy(turn)]) == 1
    assert seen == pytest.approx([value / 6 for value in shown])


def test_a_lazy_penalty_has_steps_of_its_own_that_are_not_counted() -> None:
    penalty = LazyPenalty(R1(1.0), 2)
    adam = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))
    seen: list[tuple[int, int, float]] = []

    def note(module: Any) -> None:
        optimizer = module.trainer.optimizers[1]
        state = optimizer.state[optimizer.param_groups[0]["params"][0]]
        seen.append((module.trainer.global_step, int(state["step"]), optimizer.defaults["lr"]))

    model = make_model(penalty=penalty, discriminator_optimizer=adam)
    fit(model, make_batches(3), callbacks=[AfterBatch(note)])
    assert [step[:2] for step in seen] == [(1, 2), (2, 3), (3, 5)]
    group = model.trainer.optimizers[1].param_groups[0]
    assert group["lr"] == pytest.approx(0.01 * 2 / 3)
    assert group["betas"] == pytest.approx((0.5 ** (2 / 3), 0.9 ** (2 / 3)))
    assert model.trainer.optimizers[0].param_groups[0]["lr"] == 0.01, "the generator's is its own"


def test_no_gradient_of_a_watched_image_is_computed() -> None:
    model = make_model(penalty=R1(1.0))
    watched: list[Tensor] = []
    original = model.penalty.watch

    def watch(turn: Turn) -> Turn:
        watched.append(original(turn).real)
        return turn

    model.penalty.watch = watch
    fit(model, make_batches(1))
    assert watched[0].requires_grad
    assert watched[0].grad is None
