"""Penalties of slopes against functions whose gradients are known."""

import pytest
import torch
from torch import Tensor, nn

from gan_modules.networks import (
    Critic32,
    DCGAN32Discriminator,
    FCDiscriminator,
    SNGANDiscriminator,
    StyleGAN2Discriminator,
)
from gan_modules.parallel import std_over_ranks
from gan_modules.parts import (
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    ApproximateR2,
    Augment,
    GradientPenalty,
    Judge,
    LazyPenalty,
    LeCam,
    NoPenalty,
    Penalty,
    SumOfPenalties,
    Turn,
)
from minmax.errors import UserError

SHAPE = (6, 3, 4, 5)


class Linear(nn.Module):
    """The score w.x, whose gradient is w everywhere."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        weight = torch.randn(SHAPE[1:], generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(norm * weight / weight.norm())

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return (self.weight * images).sum(dim=(1, 2, 3))


class Recorder(nn.Module):
    """Keeps the images it is shown, and their classes."""

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        self.seen, self.classes = images.detach().clone(), classes
        return images.sum(dim=(1, 2, 3))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def segment(count: int = SHAPE[0]) -> tuple[Tensor, Tensor]:
    return torch.randn(count, *SHAPE[1:]), torch.randn(count, *SHAPE[1:])


def shown(discriminator: Judge, real: Tensor, fake: Tensor) -> Turn:
    """An update in which the discriminator was shown these images."""
    classes = torch.arange(len(real))
    nothing = torch.zeros(len(fake), 4)
    turn = Turn(discriminator, nn.Identity(), real, classes, nothing, fake.detach(), -classes)
    turn.seen_real, turn.seen_fake = turn.real, turn.fake
    return turn


def gradient_penalty(
    discriminator: Judge, real: Tensor, fake: Tensor, weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The term, and the mean norm."""
    penalty = GradientPenalty(weight)
    term = penalty(shown(discriminator, real, fake))
    assert penalty.observed.keys() == {"penalty/value", "penalty/norm"}
    torch.testing.assert_close(term, weight * penalty.observed["penalty/value"])
    return term, penalty.observed["penalty/norm"]


@pytest.mark.parametrize("weight", [0.0, 1.0, 7.0])
@pytest.mark.parametrize("norm", [0.1, 1.0, 3.5])
def test_a_linear_functions_penalty(norm: float, weight: float) -> None:
    term, mean_norm = gradient_penalty(Linear(norm), *segment(), weight)
    assert term.shape == ()
    assert term.item() == pytest.approx(weight * (norm - 1) ** 2, rel=1e-5, abs=1e-8)
    penalty, _ = gradient_penalty(Linear(norm), *segment())
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-5, abs=1e-9)
    assert mean_norm.item() == pytest.approx(norm, rel=1e-5)
    assert not mean_norm.requires_grad


def test_the_norm_is_each_images_own() -> None:
    norms = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0, 7.0])
    images, _ = segment()
    images *= (norms / images.flatten(1).norm(dim=1))[:, None, None, None]
    # The gradient of |x|^2 / 2 is x; with both ends of the segment at x, so is the mix.
    penalty, mean_norm = gradient_penalty(
        lambda mix, classes: mix.square().sum(dim=(1, 2, 3)) / 2, images, images
    )
    assert penalty.item() == pytest.approx((norms - 1).square().mean().item(), rel=1e-5)
    assert mean_norm.item() == pytest.approx(norms.mean().item(), rel=1e-5)


def test_each_image_has_one_epsilon_of_its_own_from_the_unit_range() -> None:
    critic, (real, fake) = Recorder(), segment(1000)
    fake = real + torch.where(fake > 0, 1.0, -1.0) + fake  # nowhere near to real: safe division
    gradient_penalty(critic, real, fake)
    assert torch.equal(critic.classes, torch.arange(1000)), "those of the real images"
    share = ((critic.seen - fake) / (real - fake)).flatten(1)
    epsilon = share.mean(dim=1)
    assert share.sub(epsilon[:, None]).abs().max() < 1e-4, "one epsilon for all pixels"
    assert len(epsilon.mul(1e5).round().unique()) > 950, "another one for each image"
    assert epsilon.min() > -1e-5
    assert epsilon.max() < 1 + 1e-5
    for low in torch.arange(0, 1, 0.1).tolist():  # 100 +- 10 in each tenth
        assert 55 < ((epsilon >= low) & (epsilon < low + 0.1)).sum() < 145


def test_no_gradient_reaches_the_generator() -> None:
    generator, critic = nn.Linear(4, 60), Linear(2.0)
    real = torch.randn(SHAPE, requires_grad=True)
    fake = generator(torch.randn(6, 4)).view(SHAPE)
    penalty, _ = gradient_penalty(lambda mix, classes: critic(mix, classes).square(), real, fake)
    penalty.backward()
    assert critic.weight.grad is not None
    assert critic.weight.grad.abs().max() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_the_gradient_of_the_weights_is_its_closed_form() -> None:
    critic = Linear(2.5)
    gradient_penalty(critic, *segment())[0].backward()
    weight = critic.weight.detach()
    torch.testing.assert_close(critic.weight.grad, 2 * (2.5 - 1) * weight / weight.norm())


def test_autocast_changes_nothing() -> None:
    critic = Critic32(1, 32, 1, width=8)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(3)
    real, fake = torch.rand(4, 1, 32, 32).bfloat16(), torch.rand(4, 1, 32, 32).bfloat16()
    results = []
    for enabled in (False, True):
        torch.manual_seed(1)
        critic.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            penalty, norm = gradient_penalty(critic, real, fake)
        penalty.backward()
        assert penalty.dtype == norm.dtype == torch.float32
        gradients = [p.grad for p in critic.parameters() if p.grad is not None]
        results.append([penalty, norm, *gradients])
    assert len(results[0]) > 3
    for float32, mixed in zip(*results, strict=True):
        assert torch.equal(float32, mixed)


def test_float64_images_are_penalised_in_float64() -> None:
    critic = Linear(2.5).double()
    real, fake = (images.double() for images in segment())
    term, _ = gradient_penalty(critic, real, fake)
    assert term.dtype == torch.float64
    assert term.item() == pytest.approx((critic.weight.norm().item() - 1) ** 2, rel=1e-14)


def test_no_penalty_is_zero_and_asks_nothing_of_the_discriminator() -> None:
    term = NoPenalty()(shown(Recorder(), *segment()))
    assert (term.shape, term.item(), term.requires_grad) == ((), 0.0, False)


def test_networks_that_mix_images_are_refused() -> None:
    with pytest.raises(ValueError, match="DCGAN32Discriminator has batch norm, which mixes images"):
        GradientPenalty().check(DCGAN32Discriminator(1, 32, 1))
    GradientPenalty().check(Critic32(1, 32, 1))
    NoPenalty().check(DCGAN32Discriminator(1, 32, 1))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="`weight` of GradientPenalty must be 0 or more, got -1"):
        GradientPenalty(-1.0)


# DRAGAN, R1, R2 and their approximations


def half_square(images: Tensor, classes: Tensor) -> Tensor:
    """|x|^2 / 2, whose gradient is x."""
    return images.square().sum(dim=(1, 2, 3)) / 2


def watched(penalty: Penalty, discriminator: Judge, augment: Augment | None = None) -> Turn:
    """An update for the penalty, on the images of `segment`."""
    real, fake = segment()
    classes = torch.arange(len(real))
    turn = Turn(discriminator, nn.Identity(), real, classes, real, fake, -classes)
    turn.augment = augment or turn.augment
    turn = penalty.watch(turn)
    turn.judge()
    return turn


@pytest.mark.parametrize(("penalty", "of_fake"), [(R1(3.0), False), (R2(3.0), True)])
def test_r1_and_r2_in_closed_form(penalty: R1, of_fake: bool) -> None:
    term = penalty(watched(penalty, Linear(2.5)))
    assert term.item() == pytest.approx(3.0 / 2 * 2.5**2, rel=1e-5)
    turn = watched(penalty, half_square)
    squares = (turn.fake if of_fake else turn.real).flatten(1).square().sum(1).mean()
    torch.testing.assert_close(penalty(turn), 3.0 / 2 * squares)
    torch.testing.assert_close(penalty.observed[f"penalty/{penalty.name}"], squares.detach())


@pytest.mark.parametrize("penalty", [R1(3.0), R2(3.0)])
def test_r1_teaches_the_discriminator_alone_by_its_closed_form(penalty: R1) -> None:
    critic = Linear(2.5)
    turn = watched(penalty, critic)
    penalty(turn).backward(inputs=list(critic.parameters()))
    torch.testing.assert_close(critic.weight.grad, 3.0 * critic.weight.detach())
    assert turn.real.grad is None
    assert turn.fake.grad is None


class Darker(Augment):
    """A third of the brightness."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 3


@pytest.mark.parametrize("penalty", [R1(3.0), R2(3.0)])
@pytest.mark.parametrize("mixed", [False, True])
def test_r1_goes_through_the_augmentation(penalty: R1, mixed: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        term = penalty(watched(penalty, Linear(2.5), Darker()))
    assert term.item() == pytest.approx(3.0 / 2 * (2.5 / 3) ** 2, rel=1e-5)
    assert term.dtype == torch.float32


@pytest.mark.parametrize("penalty", [R1(), R2()])
@pytest.mark.parametrize(("half", "passes"), [(None, 2), (torch.bfloat16, 2), (torch.float16, 3)])
def test_r1_makes_a_forward_pass_of_its_own_only_under_float16(
    penalty: R1, half: torch.dtype | None, passes: int
) -> None:
    critic, calls = Linear(1.0), []
    critic.register_forward_hook(lambda *_: calls.append(1))
    with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
        penalty(watched(penalty, critic))
    assert len(calls) == passes


def test_in_bfloat16_the_gradient_of_r1_is_that_of_float32_but_for_its_digits() -> None:
    critic, found = Critic32(1, 32, 1, width=16), []
    images = torch.rand(8, 1, 32, 32)
    for mixed in (False, True):
        critic.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            turn = R1().watch(shown(critic, images, images))
            turn.seen_real = turn.real
            turn.real_logits = critic(turn.seen_real, turn.classes)
            R1()(turn).backward(inputs=list(critic.parameters()))
        weights = [w.grad.flatten() for w in critic.parameters() if w.grad is not None]
        found.append(torch.cat(weights))
    error = (found[1] - found[0]).norm() / found[0].norm()
    assert 0 < error < 0.03


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("kind", [ApproximateR1, ApproximateR2])
def test_the_approximation_is_r1_in_the_mean(kind: type[ApproximateR1], share: float) -> None:
    penalty, critic = kind(3.0, 0.01, share), Linear(2.5).double()
    turn = watched(penalty, critic)
    for name in ("seen_real", "seen_fake"):
        setattr(turn, name, getattr(turn, name).double().repeat(5000, 1, 1, 1))
    logits = critic(turn.seen_real, turn.classes), critic(turn.seen_fake, turn.classes)
    turn.real_logits, turn.fake_logits = logits
    turn.classes = turn.asked = torch.arange(30000)
    term = penalty(turn)  # the mean of 30,000 squares with a variance of 2
    assert term.item() == pytest.approx(3.0 / 2 * 2.5**2, rel=0.05)


def test_the_approximation_shows_a_share_of_the_images_once_more() -> None:
    shown_images: list[Tensor] = []

    def recorder(images: Tensor, classes: Tensor) -> Tensor:
        shown_images.append(images.detach())
        assert torch.equal(classes.abs(), torch.arange(len(images)))
        return images.sum(dim=(1, 2, 3))

    penalty = ApproximateR2(1.0, 0.1, 0.5)
    turn = watched(penalty, recorder)
    penalty(turn)
    assert [len(images) for images in shown_images] == [6, 6, 3]
    noise = shown_images[2] - turn.fake[:3]
    assert noise.std().item() == pytest.approx(0.1, rel=0.2)


def test_dragan_is_near_real_images() -> None:
    critic = Recorder()
    real, fake = torch.randn(500, 3, 4, 5) * 3, torch.randn(500, 3, 4, 5)
    penalty = DRAGAN(2.0)
    penalty(shown(critic, real, fake))
    noise = (critic.seen - real) / (0.5 * real.std())
    assert noise.min() >= -1e-5
    length = noise.flatten(1).max(dim=1).values  # nearly the image's own draw
    assert length.max() <= 1 + 1e-5
    assert length.mean().item() == pytest.approx(0.5, abs=0.05)
    assert (noise.flatten(1) / length[:, None]).mean().item() == pytest.approx(0.5, abs=0.02)
    term = penalty(shown(Linear(3.0), real, fake))
    assert term.item() == pytest.approx(2.0 * (3.0 - 1) ** 2, rel=1e-5)


def test_the_standard_deviation_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = torch.randn(40) + 1000, 3 * torch.randn(60) + 1000
    torch.testing.assert_close(std_over_ranks(own), own.std())
    wide = other.double()
    sums = torch.stack([torch.tensor(60.0), wide.sum(), wide.square().sum()])
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.add_(sums))
    torch.testing.assert_close(std_over_ranks(own), torch.cat([own, other]).std())


@pytest.mark.parametrize("penalty", [DRAGAN(), R1(), R2(), ApproximateR1(), ApproximateR2()])
def test_slopes_refuse_batch_norm(penalty: Penalty) -> None:
    with pytest.raises(UserError, match="batch norm"):
        SumOfPenalties([LeCam(), LazyPenalty(penalty)]).check(DCGAN32Discriminator(1, 32, 1))


def test_differences_refuse_dropout() -> None:
    """Two draws of dropout differ by more than the images."""
    for penalty, exact in ((ApproximateR1(), "R1"), (ApproximateR2(), "R2")):
        with pytest.raises(UserError, match=f"set `dropout` .* to 0, or choose {exact}"):
            SumOfPenalties([penalty]).check(FCDiscriminator(1, 8, 1))
        penalty.check(FCDiscriminator(1, 8, 1, dropout=0.0))
    R1().check(FCDiscriminator(1, 8, 1))


def test_differences_refuse_spectral_norm() -> None:
    """Each pass moves the estimate, and the difference is divided by 0.01 and squared."""
    discriminator = SNGANDiscriminator(3, 32, 1, width=2)
    for penalty, exact in ((ApproximateR1(), "R1"), (ApproximateR2(), "R2")):
        with pytest.raises(UserError, match=f"spectral norm, .* choose {exact}"):
            SumOfPenalties([penalty]).check(discriminator)
    R1().check(discriminator)


@pytest.mark.parametrize("kind", [ApproximateR1, ApproximateR2])
def test_under_autocast_the_difference_is_one_of_float32(kind: type[ApproximateR1]) -> None:
    """In bfloat16 sigma is lost among the digits."""
    linear, penalty = nn.Linear(60, 1), kind(2.0, 1e-3)

    def judge(images: Tensor, classes: Tensor) -> Tensor:
        return linear(images.flatten(1)).squeeze(1)

    terms = []
    for mixed in (False, True):
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms.append(penalty(watched(penalty, judge)).item())
    assert terms[1] == pytest.approx(terms[0], rel=0.02)


def test_a_share_of_compared_images_is_compared_with_itself() -> None:
    """Its groups are not those of the whole batch."""
    torch.manual_seed(0)
    discriminator = StyleGAN2Discriminator(1, 32, 1, base=64, width=8)
    images = torch.randn(8, 1, 32, 32) * torch.arange(1, 9).view(-1, 1, 1, 1)
    none = torch.zeros(8, dtype=torch.int64)
    terms = []
    for share in (1.0, 0.5):
        penalty = ApproximateR1(2.0, 1e-3, share)
        penalty.check(discriminator)
        turn = Turn(discriminator, nn.Identity(), images, none, images, images, none)
        turn.judge()
        terms.append(penalty(turn).item())
    assert terms[1] < 100 * terms[0]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_a_share_of_packed_images_is_one_of_packs(share: float) -> None:
    """Each logit is compared with that of its own pack."""
    seen: list[int] = []

    def packed(images: Tensor, classes: Tensor) -> Tensor:
        seen.append(len(images))
        return images.reshape(-1, 2 * images[0].numel()) @ torch.ones(120)

    penalty = ApproximateR1(2.0, 1e-3, share)
    term = penalty(watched(penalty, packed))  # the slope is 1 in each of 120 numbers
    assert seen[-1] == 2 * max(1, round(3 * share))
    assert 1 < term.item() < 1000


@pytest.mark.parametrize(("exact", "approximate"), [(R1, ApproximateR1), (R2, ApproximateR2)])
@pytest.mark.parametrize("pack", [1, 2, 4])
def test_approximate_penalties_of_packs_are_those_of_their_images(
    exact: type[R1], approximate: type[ApproximateR1], pack: int
) -> None:
    """A linear logit's slope at each image is its weights there, and of length 1."""
    torch.manual_seed(0)
    images, none = torch.randn(2000, 1, 2, 3), torch.zeros(2000, dtype=torch.int64)
    weight = torch.randn(pack, 6)
    weight /= weight.norm(dim=1, keepdim=True)

    def packed(images: Tensor, classes: Tensor) -> Tensor:
        logits: Tensor = images.reshape(-1, pack * 6) @ weight.flatten()
        return logits

    for penalty, error in ((exact(2.0), 1e-6), (approximate(2.0, 1e-2), 0.1)):
        turn = penalty.watch(Turn(packed, nn.Identity(), images, none, images, images, none))
        turn.judge()
        assert penalty(turn).item() == pytest.approx(1.0, rel=error)


@pytest.mark.parametrize("penalty", [R1(1.0), R2(1.0)])
def test_r1_has_second_derivatives_in_float64(penalty: R1) -> None:
    """Against a difference quotient of the weights."""
    torch.manual_seed(3)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.Softplus(), nn.Linear(8, 1)).double()

    def term() -> Tensor:
        torch.manual_seed(0)
        real, fake = (images.double() for images in segment())
        none = torch.zeros(6, dtype=torch.int64)

        def judge(images: Tensor, classes: Tensor) -> Tensor:
            return critic(images).squeeze(1)

        turn = penalty.watch(Turn(judge, nn.Identity(), real, none, real, fake, none))
        turn.judge()
        return penalty(turn)

    weight = critic[1].weight
    (gradient,) = torch.autograd.grad(term(), weight)
    weight.data[2, 7] += 1e-6
    above = term().item()
    weight.data[2, 7] -= 2e-6
    assert gradient[2, 7].item() == pytest.approx((above - term().item()) / 2e-6, rel=1e-5)
