"""Each lever switches what it names, and changes no result."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_modules.networks import BigGANGenerator, SNGANDiscriminator
from gan_modules.networks.spectral import Spectral
from gan_modules.parts import R1, InstanceNoise
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.levers import LEVERS, PARTS, use_torchs_layers
from tests.benchmarks.helpers import BATCH, CLASSES, build, distance, resident, weights
from tests.gan_modules.helpers import make_model

WITHOUT_COMPILER = [name for name in LEVERS if not name.startswith("compiled")]


def make(*levers: str, variant: str = "GAN", **options: Any) -> Driven:
    images = resident(options.get("channels", 1))
    driven = Driven(build(variant, **options), images, bfloat16=False)
    for lever in levers:
        LEVERS[lever](driven)
    return driven


def trained(*levers: str, variant: str, cycles: int = 2) -> list[Tensor]:
    driven = make(*levers, variant=variant)
    torch.manual_seed(2)
    for _ in range(cycles * driven.module.discriminator_steps):
        assert driven.step() == BATCH
    return weights(driven)


@pytest.mark.parametrize("variant", ["GAN", "ACGAN", "WGANGP"])
def test_levers_change_nothing_but_speed(variant: str) -> None:
    before, limit = trained(variant=variant, cycles=0), trained(variant=variant)
    assert distance(limit, before) > 1e-5
    changed = trained(*WITHOUT_COMPILER, variant=variant)
    assert 0 < distance(changed, limit) < 0.01 * distance(limit, before)


def test_without_freezing_the_discriminator_has_gradients_of_the_generators_update() -> None:
    for levers in ((), ("freeze",)):
        module = make(*levers).module
        used = [weight.grad for weight in module.discriminator.parameters()]
        assert used == [None] * len(used)
        with module.updating(module.generator):
            asked = module.sample_labels(2)
            images = module(module.sample_latent(2), asked)
            module.manual_backward(module.discriminator(images, asked).sum())
        frozen = [weight.grad is None for weight in module.discriminator.parameters()]
        assert frozen == [not levers] * len(frozen)


def formats(driven: Driven) -> set[bool]:
    """Whether the kernels of the networks and the average are in channels_last format."""
    weights = [*driven.module.parameters()]
    kernels = [w for w in weights if w.dim() == 4 and w.shape[1] > 1 and w.shape[2] > 1]
    return {kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels}


def test_channels_come_first_where_they_came_last_and_the_other_way_round() -> None:
    driven = make()
    assert formats(driven) == {True}
    LEVERS["channels_last"](driven)
    assert formats(driven) == {False}
    assert driven.format == torch.contiguous_format
    driven.step()
    LEVERS["channels_last"](driven)
    assert formats(driven) == {True}
    assert driven.format == torch.channels_last


def test_images_are_in_the_levers_format() -> None:
    """With three channels; images of one channel are in both formats."""
    driven, seen = make(channels=3), []
    driven.module.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for expected in (True, False):
        seen.clear()
        driven.step()
        assert seen[0].is_contiguous(memory_format=torch.channels_last) == expected
        LEVERS["channels_last"](driven)


@pytest.mark.parametrize("variant", ["GAN", "ACGAN", "WGANGP"])
def test_torchs_layers_take_the_place_of_the_projects(variant: str) -> None:
    def kinds(driven: Driven) -> set[type[nn.Module]]:
        found = {type(layer) for layer in driven.module.modules()}
        return {kind for kind in found if kind.__module__ == "gan_modules.networks.layers"}

    driven = make(variant=variant)
    assert len(kinds(driven)) >= 2
    LEVERS["layers"](driven)
    networks = driven.module.generator, driven.module.discriminator
    assert use_torchs_layers(*networks) == 0
    driven.module.generator_ema = None
    assert not kinds(driven)


@pytest.mark.parametrize("chosen", [True, False, None])
def test_the_fused_form_is_taken_or_chosen(chosen: bool | None) -> None:
    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, fused=chosen)

    driven = make("fused", generator_optimizer=optimizer, discriminator_optimizer=optimizer)
    for made in driven.module.both_optimizers():
        assert bool(made.param_groups[0]["fused"]) != bool(chosen)
    driven.step()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_one_network_is_compiled(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    driven = make(f"compiled {network}")
    assert compiled == [getattr(driven.module, network)]


def test_a_lever_that_a_step_does_not_have_says_so() -> None:
    module = make_model(generator_optimizer=torch.optim.Rprop)
    driven = Driven(module, resident(), bfloat16=False)
    with pytest.raises(RuntimeError, match="Rprop has no fused form"):
        LEVERS["fused"](driven)
    with pytest.raises(RuntimeError, match="none of the project's layers"):
        LEVERS["layers"](driven)


def spectral(part: str | None) -> Driven:
    """A step of networks with spectral norm, with all parts."""
    driven = Driven(
        build(
            "GAN",
            generator=partial(BigGANGenerator, width=8),
            discriminator=partial(SNGANDiscriminator, width=8),
            latent_dim=8,
            penalty=R1(1.0),
            augment=InstanceNoise(0.1),
        ),
        resident(),
        bfloat16=False,
    )
    if part is not None:
        PARTS[part](driven)
    return driven


@pytest.mark.parametrize("part", PARTS)
def test_a_step_without_a_part_is_another(part: str) -> None:
    steps = [spectral(None), spectral(part)]
    for driven in steps:
        torch.manual_seed(2)
        driven.step()
    one, other = (
        {
            name.replace("parametrizations.weight.original", "weight"): weight.detach()
            for name, weight in driven.module.named_parameters()
        }
        for driven in steps
    )
    assert one.keys() == other.keys()
    changed = distance(list(one.values()), [other[name] for name in one])
    assert 0 < changed < (1e-5 if "torch" in part else 1.0)


@pytest.mark.parametrize("part", PARTS)
def test_a_step_that_has_no_such_part_says_so(part: str) -> None:
    with pytest.raises(RuntimeError, match=r"the (variant|networks) ha(s|ve) no"):
        PARTS[part](make())


def test_torchs_layers_compute_the_same_with_other_operations() -> None:
    generator = BigGANGenerator(8, 1, 32, CLASSES, width=8).eval()
    discriminator = SNGANDiscriminator(1, 32, CLASSES, width=8).eval()
    latent, classes = torch.randn(2, 8), torch.zeros(2, dtype=torch.int64)
    images = generator(latent, classes)
    logits = discriminator(images, classes)
    assert use_torchs_layers(generator, discriminator) > 10
    assert not any(
        isinstance(m, Spectral) and "weight" in m._parameters for m in generator.modules()
    )
    torch.testing.assert_close(generator(latent, classes), images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(discriminator(images, classes), logits, rtol=1e-4, atol=1e-5)
