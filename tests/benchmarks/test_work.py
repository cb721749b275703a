"""The counted work of a training step, which depends on no machine and must not grow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cli
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.parts import (
    DRAGAN,
    R1,
    ApproximateR1,
    Consistency,
    CrossEntropy,
    LatentConsistency,
    LazyPenalty,
    LeCam,
    TopK,
)
from minmax.benchmarks.counting import Work
from minmax.benchmarks.driven import Driven
from tests.benchmarks.helpers import build, resident
from tests.conftest import FLOAT32

CONFIGS = Path(__file__).parents[2] / "configs"
CASES: dict[str, tuple[type[GANModule], int]] = {  # variant, image size
    "fcgan_mnist": (GAN, 56),
    "dcgan_critic_mnist": (GAN, 32),
    "r1_mnist": (GAN, 32),
    "acgan_mnist": (ACGAN, 32),
    "wgan_gp_mnist": (WGANGP, 32),
}
MOST = {  # operations that run kernels, those of them that only copy, allocated tensors
    "fcgan_mnist": (194, 9, 159),
    "dcgan_critic_mnist": (128, 12, 126),
    "r1_mnist": (150, 12, 152),
    "acgan_mnist": (452, 31, 448),
    "wgan_gp_mnist": (639, 71, 585),
}
BATCH = 4


def flop(function: Callable[[], Any]) -> int:
    with Work() as work, torch.no_grad():
        function()
    return work.flop


def test_work_of_a_linear_layer_is_counted() -> None:
    layer, inputs = nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    with Work() as work:
        layer(inputs).sum().backward()
    assert work.flop == 3 * (2 * 3 * 5 * 7)  # forward, input's gradient, weight's gradient
    assert work.operations["aten.addmm"] == 1
    assert work.operations["aten.mm"] == 2


def test_views_are_no_operations_and_in_place_ones_no_allocations() -> None:
    values = torch.ones(2, 3)
    with Work() as work:
        values.t()[0].add_(1)
        values.clone()
    assert work.operations == {"aten.add_": 1, "aten.clone": 1}
    assert work.allocations == 1


@pytest.fixture(scope="module", params=CASES)
def cycle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[GANModule, Work]:
    """A model, and the work of one generator update with its discriminator updates."""
    variant, size = CASES[request.param]
    work = Work()
    models: list[GANModule] = []
    original = variant.training_step

    def counted(self: GANModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        models.append(self)
        # Not in the first batches, which make the optimizers' states.
        if self.discriminator_steps < len(models) <= 2 * self.discriminator_steps:
            with work:
                original(self, batch, batch_idx)
        else:
            original(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variant, "training_step", counted)
        patch.setattr("sys.argv", ["cli.py"])
        cli.main(
            [
                *("fit", "--config", str(CONFIGS / f"{request.param}.yaml"), *FLOAT32),
                *("--data", "datamodules.Digits", "--data.init_args.image_size", str(size)),
                *("--data.init_args.batch_size", str(BATCH), "--trainer.accelerator", "cpu"),
                *("--trainer.max_steps", "11" if variant is WGANGP else "3"),
                *("--trainer.limit_val_batches", "0", "--pictures.rows", "1"),
                *("--trainer.log_every_n_steps", "1000", "--trainer.max_epochs", "1"),
                *("--trainer.default_root_dir", str(tmp_path_factory.mktemp("run"))),
            ]
        )
    return models[-1], work


def test_a_step_does_no_more_than_its_mathematics(cycle: tuple[GANModule, Work]) -> None:
    """Each forward pass once, and only gradients that are used."""
    model, work = cycle
    latents = torch.randn(BATCH, model.latent_dim)
    labels = torch.zeros(BATCH, dtype=torch.long)
    images = model(latents, labels)
    g = flop(lambda: model(latents, labels))
    d = flop(lambda: model.discriminator(images, labels))
    first_g = first_layer(model.generator, latents, labels)
    first_d = first_layer(model.discriminator, images, labels)
    generator_forward_and_backward = 3 * g - first_g
    discriminator_forward_and_backward = 3 * d - first_d
    through_discriminator = 2 * d
    penalized = isinstance(model, GAN) and isinstance(model.penalty, R1)
    if isinstance(model, WGANGP) or penalized:
        last_d = 2 * BATCH * model.discriminator.layers[-1].in_features
        penalty = 4 * d - last_d
    if penalized:  # at images that the discriminator has judged: without a forward pass
        updates = 2 * discriminator_forward_and_backward + penalty - d
    elif isinstance(model, WGANGP):
        updates = model.discriminator_steps * (2 * discriminator_forward_and_backward + penalty)
        updates += (model.discriminator_steps - 1) * g  # the last one's images are the generator's
    else:
        updates = 2 * discriminator_forward_and_backward
    assert work.flop == updates + generator_forward_and_backward + through_discriminator


def test_r1_and_r2_cost_two_double_passes_and_no_forward_pass() -> None:
    """The generator's update of R3GAN judges the real images again."""
    driven = Driven(build("R3GAN"), resident(), bfloat16=False)
    driven.step()
    with Work() as work:
        images = driven.step()
    model = driven.module
    latents, labels = torch.randn(images, 6), torch.zeros(images, dtype=torch.long)
    drawn = model(latents, labels)
    g = flop(lambda: model(latents, labels))
    d = flop(lambda: model.discriminator(drawn, labels))
    discriminators = 2 * 3 * d + 2 * 3 * d
    generators = g + 3 * g + 2 * d + d
    assert work.flop == pytest.approx(discriminators + generators, rel=0.01)  # but first layers


@pytest.mark.parametrize(
    ("options", "of_discriminator", "of_generator"),
    [
        ({"game": TopK(CrossEntropy())}, 0, 0),
        ({"penalty": LeCam()}, 0, 0),
        ({"penalty": Consistency()}, 3, 0),
        ({"penalty": Consistency(fake_weight=10.0)}, 6, 0),
        ({"penalty": LatentConsistency()}, 3, 4),
        ({"penalty": ApproximateR1()}, 3, 0),
        ({"penalty": LazyPenalty(R1(), every=1)}, 4, 0),
        ({"penalty": LazyPenalty(R1(), every=9)}, 0, 0),
        ({"penalty": DRAGAN()}, 4, 0),
    ],
)
def test_a_part_adds_its_passes_and_no_more(
    options: dict[str, Any], of_discriminator: int, of_generator: int
) -> None:
    """In forward passes; a backward pass is two. But for first and last layers."""
    images, labels = torch.randn(20, 1, 32, 32), torch.zeros(20, dtype=torch.long)
    plain, driven = build("GAN"), build("GAN", **options)
    work = []
    for model in (plain, driven):
        step = Driven(model, resident(), bfloat16=False)
        step.step()
        with Work() as counted:
            count = step.step()
        work.append(counted.flop)
    d = flop(lambda: plain.discriminator(images[:count], labels[:count]))
    g = flop(lambda: plain(torch.randn(count, 6), labels[:count]))
    extra = of_discriminator * d + of_generator * g
    assert work[1] - work[0] == pytest.approx(extra, rel=0.03)


def first_layer(network: nn.Module, *inputs: Tensor) -> int:
    """Work of the first layer's forward pass; the gradient of its input isn't needed."""
    layer = next(
        m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    )
    shapes: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: shapes.append(args[0].detach()))
    network(*inputs)
    hook.remove()
    return flop(lambda: layer(shapes[0]))


def test_a_step_fetches_no_number_from_the_device(cycle: tuple[GANModule, Work]) -> None:
    assert cycle[1].operations["aten._local_scalar_dense"] == 0


def test_a_step_runs_no_more_operations_than_it_did(
    cycle: tuple[GANModule, Work], request: pytest.FixtureRequest
) -> None:
    """Without logging; WGAN-GP makes five discriminator updates per generator update."""
    work = cycle[1]
    operations, copies, allocations = MOST[request.node.callspec.params["cycle"]]
    copied = sum(work.operations[f"aten.{name}"] for name in ("copy_", "_to_copy", "clone"))
    assert work.operations.total() <= operations
    assert copied <= copies
    assert work.allocations <= allocations
