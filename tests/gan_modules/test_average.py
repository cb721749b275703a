"""The generator's moving average: its half-life, its buffers, and who uses it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from gan_modules import GAN, WGANGP
from gan_modules.networks.spectral import SpectralLinear
from gan_modules.parts.average import (
    WIDEST,
    ema_copy,
    ema_update,
    half_life_share,
    power_of,
    power_share,
)
from gan_modules.parts.schedules import CosineSchedule
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    LATENT,
    VARIANTS,
    AfterBatch,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:Found .* in eval mode"
)


def pair() -> tuple[nn.Module, nn.Module]:
    """A network whose weights are all 1, and its average, whose weights are all 3."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = ema_copy(network)
    for module, value in ((network, 1.0), (average, 3.0)):
        for parameter in module.parameters():
            nn.init.constant_(parameter, value)
    return average, network


def move(average: nn.Module, network: nn.Module, half_lives: float) -> None:
    ema_update(average, network, torch.tensor(1 - 0.5**half_lives))


@pytest.mark.parametrize("updates", [1, 2, 7, 100])
def test_old_weights_count_half_after_a_half_life(updates: int) -> None:
    average, network = pair()
    for _ in range(updates):
        move(average, network, 1 / updates)
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 2.0))
    move(average, network, 2)
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 1.25))
    assert all(parameter.eq(1).all() for parameter in network.parameters())


def test_running_statistics_are_averaged_and_other_buffers_copied() -> None:
    average, network = pair()
    network.register_buffer("level", torch.tensor(5.0))
    average.register_buffer("level", torch.tensor(0.0))
    network[1].running_mean.fill_(4)
    network[1].running_var.fill_(9)
    network[1].num_batches_tracked.fill_(7)
    move(average, network, 1)
    assert average[1].running_mean.tolist() == [2, 2], "from 0"
    assert average[1].running_var.tolist() == [5, 5], "from 1"
    assert average[1].num_batches_tracked == 7
    assert average.level == 5
    network.level.zero_()
    assert average.level == 5, "not shared"


def test_spectral_norm_follows_the_averaged_weights() -> None:
    torch.manual_seed(0)
    network = SpectralLinear(6, 4)
    average = ema_copy(network)
    with torch.no_grad():
        network.weight.copy_(torch.diag(torch.arange(1.0, 7.0))[:4].flip(1))
    for _ in range(60):
        move(average, network, 0.3)
    largest = torch.linalg.matrix_norm(average.weight, 2)
    torch.testing.assert_close(average.sigma(), largest)
    assert not torch.allclose(average.u.abs(), network.u.abs(), atol=0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_half_life_is_counted_in_images(variant: type) -> None:
    half_life, expected = 24, None

    def follow(model: GAN) -> None:
        nonlocal expected
        kept = 0.5 ** (8 / half_life)
        weights = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
        expected = {n: kept * expected[n] + (1 - kept) * weights[n] for n in weights}
        averages = dict(model.generator_ema.named_parameters())
        for name, value in expected.items():
            torch.testing.assert_close(averages[name], value)

    steps = {"discriminator_steps": 2} if variant is WGANGP else {}
    model = make_model(variant, ema_half_life_images=half_life, **steps)
    model.images_seen = 10_000  # the ramp-up is over
    expected = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
    fit(model, make_batches(4), [AfterBatch(follow)])
    assert not equal(copied(model.generator), copied(model.generator_ema))


def test_the_half_life_grows_with_the_images_seen() -> None:
    assert half_life_share(8, 1_000_000, 10_000) == 1 - 0.5 ** (8 / 10_000)
    assert half_life_share(8, 200_000, 10_000) == 1 - 0.5 ** (8 / 10_000), "a twentieth is all"
    assert half_life_share(8, 20_000, 10_000) == 1 - 0.5 ** (8 / 1_000)
    assert half_life_share(8, 8, 10_000) == 1 - 0.5**20, "the first weights are forgotten at once"


def test_a_schedule_is_the_half_life_as_it_is() -> None:
    schedule = CosineSchedule(0, 5_000, 1_000)
    assert half_life_share(8, 0, schedule) == 1, "the network itself"
    assert half_life_share(8, 500, schedule) == 1 - 0.5 ** (8 / 2_500), "no ramp-up besides"
    assert half_life_share(8, 1_000, schedule) == 1 - 0.5 ** (8 / 5_000)
    model = make_model(ema_half_life_images=[schedule, 16])
    fit(model, make_batches(2))
    assert model.ema_shares.tolist() == pytest.approx(
        [half_life_share(8, 16, schedule), half_life_share(8, 16, 16)]
    )


def test_widths_of_power_functions() -> None:
    """The published pairs, and the mean of all weights."""
    assert power_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert power_of(0.10) == pytest.approx(6.94, abs=0.005)
    assert power_of(WIDEST) == pytest.approx(0, abs=1e-9)
    for width in (0.29, 0.0, float("nan")):
        with pytest.raises(UserError, match=r"`ema_widths` must lie between 0.001 and 0.289"):
            make_model(ema_widths=[width])
    with pytest.raises(UserError, match="has a width twice"):
        make_model(ema_widths=[0.1, 0.2, 0.1])


@pytest.mark.parametrize("power", [0.0, 6.94])
def test_power_functions_of_time(power: float) -> None:
    """Of weights that grow by one in each batch; of those before the first nothing is left."""
    average, network = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    batches = 50
    for batch in range(1, batches + 1):
        network.weight.data.fill_(batch)
        network.bias.data.fill_(3)
        share = power_share(8, 8 * batch, power)
        ema_update(average, network, torch.tensor(share, dtype=torch.float64))
    times = torch.arange(batches + 1, dtype=torch.float64) / batches
    profile = (times ** (power + 1)).diff()
    assert average.weight.item() == pytest.approx(float(profile @ times[1:]) * batches, rel=1e-12)
    assert average.weight.item() == pytest.approx((power + 1) / (power + 2) * batches, abs=0.51)
    assert average.bias.item() == pytest.approx(3, rel=1e-12)


def test_several_averages_are_kept_beside_each_other() -> None:
    alone = {"first": {"ema_half_life_images": 20}, "second": {"ema_half_life_images": 90}}
    alone["third"] = {"ema_widths": [0.1]}
    together = make_model(ema_half_life_images=[20, 90], ema_widths=[0.1])
    networks = []
    for model in (together, *(make_model(**options) for options in alone.values())):
        model.images_seen = 2_000
        fit(model, make_batches(5))
        networks.append(copied(model.averages[0]))
    for average, network in zip(together.averages, networks[1:], strict=True):
        assert equal(copied(average), network)
    assert not equal(networks[1], networks[2])
    assert not equal(networks[1], networks[3])


def test_which_average_draws() -> None:
    model = make_model(ema_half_life_images=[20, 90])
    model.images_seen = 2_000
    fit(model, make_batches(3))
    model.eval()
    latent, classes = torch.randn(3, LATENT), torch.zeros(3, dtype=torch.int64)
    for number, network in (
        (None, model.generator_ema),
        (0, model.generator),
        *enumerate(model.averages, 1),
    ):
        model.draw_with(number)
        assert torch.equal(model.sample(latent, classes), network(latent, classes))
    assert model.weights_drawn == "averaged generator, average 2"
    with pytest.raises(UserError, match=r"`average` 3: it keeps 2 of them, so choose from 0"):
        model.draw_with(3)
    assert make_model().weights_drawn == "generator"


def test_the_average_is_frozen_and_in_eval_mode() -> None:
    model = make_model(ema_half_life_images=10)
    optimized = []

    def check(model: GAN) -> None:
        assert not model.generator_ema.training
        assert model.generator.training
        assert not any(p.requires_grad for p in model.generator_ema.parameters())
        assert all(p.grad is None for p in model.generator_ema.parameters())
        for optimizer in model.trainer.optimizers:
            optimized.extend(p for group in optimizer.param_groups for p in group["params"])

    fit(model, make_batches(2), [AfterBatch(check)])
    averages = {id(p) for p in model.generator_ema.parameters()}
    assert optimized
    assert not averages & {id(p) for p in optimized}


@pytest.mark.parametrize("half_life", [0, 1000])
def test_sample_draws_from_the_average_when_there_is_one(half_life: int) -> None:
    model = make_model(ema_half_life_images=half_life)
    model.images_seen = 100_000  # the ramp-up is over
    fit(model, make_batches(3))
    latent, classes = torch.randn(6, LATENT), torch.zeros(6, dtype=torch.int64)
    before = copied(model)
    images = model.sample(latent, classes)
    assert equal(before, copied(model)), "no running statistics moved"
    assert model.generator.training, "the mode is restored"
    assert not images.requires_grad
    expected = (model.generator_ema or model.generator).eval()(latent, classes)
    assert torch.equal(images, expected)
    assert (model.generator_ema is None) == (half_life == 0)
    if half_life:
        assert not torch.allclose(images, model.generator.eval()(latent, classes), atol=1e-3)


def test_the_mode_is_restored_when_sampling_fails() -> None:
    model = make_model()
    with pytest.raises(RuntimeError):
        model.sample(torch.randn(2, LATENT + 1), torch.zeros(2, dtype=torch.int64))
    assert model.generator.training


def test_the_average_goes_through_a_checkpoint(tmp_path: Path) -> None:
    model = make_model(ema_half_life_images=100)
    trainer = fit(model, make_batches(3))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    restored = GAN.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    assert equal(copied(model.generator_ema), copied(restored.generator_ema))
    assert not equal(copied(restored.generator), copied(restored.generator_ema))
