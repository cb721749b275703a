"""Two processes with half the batch each are one process with all of it."""

import os
import signal
import socket
import sys
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_modules import ACGAN, GAN, GANDDP, R3GAN, WGANGP, GANModule, StyleGAN2
from gan_modules.networks import (
    Discriminator,
    Generator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_modules.networks.bodies import ProjectionHead
from gan_modules.networks.conditional import VectorBatchNorm2d
from gan_modules.networks.network import one_hot
from gan_modules.networks.resnet import FirstBlock, UpBlock, spectral
from gan_modules.networks.spectral import SpectralLinear
from gan_modules.parallel import REFUSED, JointBatchNorm
from minmax.callbacks import Diagnosis, Finite, LastCheckpoint, Signals
from minmax.callbacks.diagnosis import DISTANCE, pairwise_distance

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":  # one of the two processes: an installed package may be called tests
    sys.modules["tests"] = ModuleType("tests")
    sys.modules["tests"].__path__ = [str(ROOT / "tests")]

from gan_modules.parts import (  # noqa: E402
    R1,
    R2,
    Hinge,
    LazyPenalty,
    LeCam,
    Orthogonal,
    PathLength,
    SumOfPenalties,
)
from tests.cli.processes import Command  # noqa: E402
from tests.gan_modules.helpers import (  # noqa: E402
    AfterBatch,
    Batches,
    OptimizerSteps,
    TinyClassifier,
    TinyDiscriminator,
    TinyGenerator,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)
from tests.gan_modules.remembering import (  # noqa: E402
    RememberingAugment,
    RememberingGame,
    memory_of,
)


class Classifier(TinyClassifier):
    """Without dropout, whose zeros would be each rank's own."""

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        self.body[3] = nn.Identity()


class Unnormed(TinyGenerator):
    """Without batch norm: each image for itself."""

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        self.layers[1] = nn.Identity()


class SpectralGenerator(Generator):
    """One block with spectral norm, and batch norm by the class."""

    conditional = True

    def __init__(self, latent_dim: int, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.num_classes, self.side = num_classes, image_size
        norm = partial(VectorBatchNorm2d, features=num_classes)
        self.project = SpectralLinear(latent_dim, 4 * (image_size // 2) ** 2, bias=False)
        self.block = UpBlock(4, channels, spectral(), norm)
        assert self.block.first.bias is not None
        self.block.first.bias.requires_grad_(False)  # before batch norm: rounding alone

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        maps = self.project(latent).view(len(latent), 4, self.side // 2, -1)
        return self.block(maps, one_hot(classes, self.num_classes, latent)).tanh()


class SpectralDiscriminator(Discriminator):
    """One block with spectral norm, and a projection on the class."""

    conditional = True

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.block = FirstBlock(channels, 4, spectral())
        self.head = ProjectionHead(4, num_classes, spectral())

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return self.head(self.block(images).relu().sum((2, 3)), classes)


class Still(StyleGAN2Generator):
    """With the same noise in each image: new noise would be each rank's own."""

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape, base=32, width=8)
        self.layers.eval()


PLAIN = {
    "discriminator": partial(TinyDiscriminator, dropout=0.0),
    "ema_half_life_images": [30, 90],
    "ema_widths": [0.1],
}
CASES: dict[str, tuple[type[GANModule], dict[str, Any]]] = {
    "GAN": (GAN, PLAIN),
    "GAN, two steps of both": (GAN, PLAIN | {"discriminator_steps": 2, "generator_steps": 2}),
    "GAN without batch norm": (GAN, PLAIN | {"generator": Unnormed}),
    "GAN, clipped": (
        GAN,
        PLAIN | {"generator_clip_norm": 0.01, "discriminator_clip_norm": 0.01},
    ),
    "GAN, spectral norm": (
        GAN,
        {"generator": SpectralGenerator, "discriminator": SpectralDiscriminator},
    ),
    "GAN, penalties": (
        GAN,
        PLAIN
        | {
            "game": Hinge(),
            "penalty": SumOfPenalties(
                [LeCam(start_images=16), R1(0.5), LazyPenalty(R2(0.5), 2), Orthogonal(0.1)]
            ),
        },
    ),
    "ACGAN": (ACGAN, {"discriminator": Classifier}),
    "R3GAN": (R3GAN, PLAIN | {"generator": Unnormed}),
    "StyleGAN2": (
        StyleGAN2,
        {
            "generator": Still,
            "discriminator": partial(StyleGAN2Discriminator, base=32, width=8),
            "image_size": 32,
            "penalty": LazyPenalty(R1(1.0), 2),
            "path_length": PathLength(every=2, share=1.0),
        },
    ),
    "WGANGP": (
        WGANGP,
        {"discriminator": partial(TinyDiscriminator, dropout=0.0), "discriminator_steps": 1},
    ),
    "WGANGP, two discriminator steps": (
        WGANGP,
        {"discriminator": partial(TinyDiscriminator, dropout=0.0), "discriminator_steps": 2},
    ),
}

NO_BATCH_NORM = ("GAN without batch norm", "R3GAN", "StyleGAN2")


def train(case: str, ranks: slice, **options: Any) -> dict[str, Tensor]:
    """Train on these rows of six batches of eight images, with these rows of all random draws."""
    variant, arguments = deepcopy(CASES[case])  # parts remember
    batches = [(images[ranks], labels[ranks]) for images, labels in make_batches(6)]
    if size := arguments.get("image_size"):
        batches = [(nn.functional.interpolate(i, size), labels) for i, labels in batches]
    model, patch = make_model(variant, **arguments), pytest.MonkeyPatch()
    for name in ("randn", "rand"):
        draw = getattr(torch, name)
        whole = lambda count, *rest, draw=draw, **kind: draw(8, *rest, **kind)[ranks]  # noqa: E731
        patch.setattr(torch, name, whole)
    patch.setattr(torch, "randn_like", lambda like: torch.randn(*like.shape, dtype=like.dtype))
    patch.setattr(
        torch,
        "randint",
        lambda high, size, draw=torch.randint, **kind: draw(high, (8,), **kind)[ranks],
    )
    patch.setattr(GANModule, "global_rank", 0)
    try:
        fit(model, Batches(batches), precision="64-true", **options)
    finally:
        patch.undo()
    return copied(model)


class Unfrozen:
    """Notes which networks get gradients in each backward pass."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def note(self, model: GANModule, stepped: str) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and parameter.requires_grad:
                self.seen.add((stepped, name.split(".")[0]))


class Running(nn.Module):
    """Batch norm alone, and the gradient of its inputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def results(self, maps: Tensor, weights: Tensor, autocast: bool = False) -> dict[str, Tensor]:
        inputs = maps.clone().requires_grad_(True)
        with torch.autocast("cpu", enabled=autocast):
            outputs = self.layer(inputs)
        (outputs * weights).sum().backward()
        assert inputs.grad is not None
        return {"outputs": outputs.detach(), "gradient": inputs.grad, **copied(self.layer)}


def maps() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    values, weights = torch.randn(2, 8, 3, 4, 4, generator=random, dtype=torch.float64)
    return 100 + values, weights


UNEVEN = slice(0, 3), slice(3, None)
"""Rows of the maps that the two ranks have."""


def batch_norm(dtype: torch.dtype = torch.float64, momentum: float | None = 0.1) -> nn.BatchNorm2d:
    torch.manual_seed(2)
    layer = nn.BatchNorm2d(3, momentum=momentum).to(dtype)
    nn.init.normal_(layer.weight)
    return layer


def survive(folder: Path, stop: bool) -> tuple[list[int], dict[str, Tensor]]:
    """Train twelve batches; when to stop, rank 0 has a signal after the third, and then resumes."""
    seen: list[int] = []

    def note(model: GANModule) -> None:
        seen.append(model.images_seen)
        if stop and len(seen) == 3 and model.trainer.is_global_zero:
            os.kill(os.getpid(), signal.SIGTERM)

    options: dict[str, Any] = {
        **{"max_epochs": -1, "max_steps": 12, "devices": 2, "enable_checkpointing": True},
        "default_root_dir": folder,
    }
    for checkpoint in [None, folder / "checkpoints" / "last.ckpt"][: 1 + stop]:
        model = make_model(seed=0 if checkpoint is None else 7, ema_half_life_images=30)
        callbacks = [AfterBatch(note), Signals(), LastCheckpoint(every_n_epochs=100)]
        ended = (
            pytest.raises(SystemExit, match="143") if stop and checkpoint is None else nullcontext()
        )
        with ended:
            fit(model, TinyImages(), callbacks, checkpoint=checkpoint, strategy=GANDDP(), **options)
    return seen, copied(model)


class Interrupted(GANDDP):
    """Has a signal during its first exchange of signals, on every rank."""

    def reduce(self, tensor: Any, *given: Any, **options: Any) -> Any:
        result = super().reduce(tensor, *given, **options)
        if options.get("reduce_op") == "max" and not getattr(self, "sent", False):
            self.sent = True
            os.kill(os.getpid(), signal.SIGTERM)
        return result


def stop_late(folder: Path) -> int:
    """Batches until a signal that came during the exchange has ended the training."""
    seen: list[int] = []
    callbacks = [AfterBatch(lambda model: seen.append(1)), Signals(), LastCheckpoint()]
    with pytest.raises(SystemExit, match="143"):
        fit(
            *(make_model(), TinyImages(), callbacks),
            **{"max_epochs": -1, "max_steps": 30, "devices": 2, "enable_checkpointing": True},
            **{"strategy": Interrupted(), "default_root_dir": folder},
        )
    return len(seen)


def diverge(rank: int, folder: Path) -> tuple[int, dict[int, dict[str, Tensor]]]:
    """Train three epochs of two batches; rank 1 has a loss that is not finite in the last."""
    model, finite = make_model(ema_half_life_images=30), Finite(returns=1)
    model.hparams.clear()  # Python functions, which no checkpoint of the command line holds
    after: dict[int, dict[str, Tensor]] = {}

    def lose(model: GANModule) -> None:
        if model.trainer.global_step == 6 and rank == 1:
            model.observed["loss/discriminator"] = torch.tensor(torch.nan)

    def note(model: GANModule) -> None:
        after[model.trainer.global_step] = copied(model)

    callbacks = [AfterBatch(lose), finite, LastCheckpoint(), AfterBatch(note)]
    options: dict[str, Any] = {"devices": 2, "enable_checkpointing": True, "max_epochs": 3}
    fit(model, TinyImages(), callbacks, strategy=GANDDP(), default_root_dir=folder, **options)
    return finite.returned, after


def mixed(rank: int, folder: Path) -> dict[str, Any]:
    """Train in bfloat16, save, and let statistics drift before a test and before a validation."""
    model = make_model(seed=rank, ema_half_life_images=30)
    names = list(model.state_dict())
    batches = Batches(list(make_batches(6))[rank::2])
    trainer = fit(
        model, batches, precision="bf16-mixed", devices=2, strategy=GANDDP(), sync_batchnorm=True
    )
    trainer.save_checkpoint(folder / "mixed.ckpt")
    saved = torch.load(folder / "mixed.ckpt", weights_only=False)["state_dict"]
    results: dict[str, Any] = {"names": (names, list(saved)), "fit": copied(model)}
    for stage, action in (("test", trainer.test), ("validate", trainer.validate)):
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean += rank
        action(model, batches, verbose=False)
        results[stage] = copied(model)
    return results


def remembered(rank: int, folder: Path, shared: bool) -> dict[str, Any]:
    """Train with parts that remember, alike on all ranks or each for itself, and save."""
    game, augment = RememberingGame(shared), RememberingAugment(shared)
    model = make_model(game=game, augment=augment)
    batches, diagnosis = Batches(list(make_batches(6))[rank::2]), Diagnosis()
    trainer = fit(model, batches, [diagnosis], devices=2, strategy=GANDDP(), log_every_n_steps=3)
    path = folder / f"remembered {shared}.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=False)["state_dict"]
    real = diagnosis.state_dict()["real_distance"]
    fake = pairwise_distance(
        model.sample(model.seeded_latents(64), torch.zeros(64)), torch.zeros(64)
    )
    distances = real, trainer.callback_metrics[DISTANCE], fake / real
    return {"memory": memory_of(copied(model)), "saved": memory_of(saved), "distances": distances}


def work(port: int, folder: Path, rank: int) -> None:
    """What each of the two processes does; its results go into a file."""
    torch.set_num_threads(1)
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2"},
        **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        **{"TORCHELASTIC_RUN_ID": "test", "PL_GLOBAL_SEED": "3"},
    }
    rows = slice(rank, None, 2)
    several: dict[str, Any] = {"devices": 2}
    results: dict[str, Any] = {}
    for case in CASES:
        for joint in (True, False):
            results[case, joint] = train(
                case, rows, **several, strategy="gan_ddp", sync_batchnorm=joint
            )
    options = {"gradient_as_bucket_view": True, "broadcast_buffers": False}
    results["options"] = train(
        "GAN", rows, **several, strategy=GANDDP(**options), sync_batchnorm=True
    )
    # Nothing patched: own images, latents and dropout; not even the weights are equal at first.
    model, latents, unfrozen = make_model(seed=rank, ema_half_life_images=30), [], Unfrozen()
    model.fixed = nn.Parameter(torch.tensor(float(rank)), requires_grad=False)
    model.discriminator.register_buffer("unsaved", torch.tensor(float(rank)), persistent=False)
    model.images_seen = 1000  # the average no longer forgets its beginning at once
    model.generator.register_forward_pre_hook(lambda _, inputs: latents.append(inputs[0].clone()))
    nothing = OptimizerSteps(unfrozen.note)
    reduced: list[int] = []
    views: list[bool] = []

    def count(_: Any, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        reduced.append(bucket.buffer().numel())
        return (
            torch.distributed.all_reduce(bucket.buffer(), async_op=True)
            .get_future()
            .then(lambda done: done.value()[0] / 2)
        )

    def note(model: GANModule) -> None:
        before.append(copied(model))
        views.extend(r.gradient_as_bucket_view for r in model.trainer.strategy._reducers)

    batches = list(make_batches(6))[rank::2]
    before: list[Any] = []
    fit(
        model, Batches(batches), [nothing, AfterBatch(note)],
        **several, strategy=GANDDP(ddp_comm_hook=count, **options), limit_val_batches=1,
    )  # fmt: skip
    results["own"] = copied(model)
    results["views"] = views
    results["unsaved"] = float(model.discriminator.unsaved)
    results["left"] = len(model.trainer.strategy._reducers)
    results["latents"], results["reduced"], results["unfrozen"] = latents, reduced, unfrozen.seen
    model.trainer.strategy.barrier()
    model.on_validation_start()
    results["shared"] = copied(model)
    for name in ("whole", "stopped"):
        results[name] = survive(folder / name, stop=name == "stopped")
    results["late"] = stop_late(folder / "late")
    results["diverged"] = diverge(rank, folder / "diverged")
    results["mixed"] = mixed(rank, folder)
    for alike in (True, False):
        results["remembered", alike] = remembered(rank, folder, alike)
    values, weights = (part[UNEVEN[rank]] for part in maps())
    for momentum in (0.1, None):
        layer = JointBatchNorm().apply(batch_norm(momentum=momentum))
        results["batch norm", momentum] = Running(layer).results(values, weights)
    layer = JointBatchNorm().apply(batch_norm(torch.float32))
    results["mixed batch norm"] = Running(layer).results(values.bfloat16(), weights, autocast=True)
    torch.save(results, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(port), str(folder)]
    processes = [Command([*arguments, str(n)], dict(os.environ), __file__) for n in (0, 1)]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def weights_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if "running" not in name}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("case", CASES)
def test_two_halves_are_the_whole(
    case: str, ranks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    whole = train(case, slice(None))
    for rank in ranks:
        assert distance(rank[case, True], whole) < 1e-12
        # Each rank's own batch norm is another training, though the same one on both ranks.
        apart = distance(weights_of(rank[case, False]), weights_of(whole))
        assert apart < 1e-12 if case in NO_BATCH_NORM else apart > 1e-4
    assert equal(ranks[0][case, True], ranks[1][case, True])
    assert equal(weights_of(ranks[0][case, False]), weights_of(ranks[1][case, False]))


def test_options_of_reducers_are_passed_on(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["views"] == [True] * 6  # two reducers, three batches
        assert distance(rank["options"], rank["GAN", True]) < 1e-12


def test_ranks_share_weights_and_nothing_else(ranks: list[dict[str, Any]]) -> None:
    one, other = ranks
    assert equal(weights_of(one["own"]), weights_of(other["own"]))
    assert any("generator_ema" in name for name in one["own"])
    assert not equal(one["own"], other["own"]), "running statistics are each rank's own"
    assert one["unsaved"] == other["unsaved"] == 0
    assert one["left"] == other["left"] == 0, "reducers are dropped when a training has ended"
    for mine, yours in zip(one["latents"], other["latents"], strict=True):
        assert not torch.isin(mine, yours).any()


def test_validation_begins_with_the_first_ranks_statistics(ranks: list[dict[str, Any]]) -> None:
    assert equal(ranks[0]["shared"], ranks[1]["shared"])
    assert equal(ranks[0]["shared"], ranks[0]["own"])


def test_only_the_network_that_is_updated_is_sent(ranks: list[dict[str, Any]]) -> None:
    model = make_model()
    sizes = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in (("d", model.discriminator), ("g", model.generator))
    }
    for rank in ranks:
        assert rank["reduced"] == [sizes["d"], sizes["g"]] * 3
        assert rank["unfrozen"] == {(name, name) for name in ("generator", "discriminator")}


def test_mixed_precision_and_what_follows_a_training(ranks: list[dict[str, Any]]) -> None:
    one, other = (rank["mixed"] for rank in ranks)
    assert one["names"][0] == one["names"][1], "checkpoints know nothing of ranks"
    for stage in ("fit", "test", "validate"):
        assert equal(one[stage], other[stage])
        assert equal(one[stage], one["fit"])
    assert all(value.isfinite().all() for value in one["fit"].values())
    assert not equal(one["fit"], copied(make_model(seed=0, ema_half_life_images=30)))


def test_ranks_return_together_when_one_diverges(ranks: list[dict[str, Any]]) -> None:
    for returned, after in (rank["diverged"] for rank in ranks):
        assert returned == 1
        assert equal(after[6], ranks[0]["diverged"][1][4])
        assert not equal(after[6], after[5])


def test_ranks_stop_at_the_same_batch_and_go_on(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["whole"][0] == rank["stopped"][0] == [16 * (batch + 1) for batch in range(12)]
        assert equal(weights_of(rank["whole"][1]), weights_of(rank["stopped"][1]))


def test_a_signal_during_the_exchange_of_signals_is_exchanged_next(ranks: list[Any]) -> None:
    assert [rank["late"] for rank in ranks] == [16, 16]


@pytest.mark.parametrize("alike", [True, False])
def test_what_parts_remember_is_the_first_ranks(alike: bool, ranks: list[dict[str, Any]]) -> None:
    """And, where they average it over the ranks themselves, the same on both."""
    one, other = (rank["remembered", alike] for rank in ranks)
    assert len(one["memory"]) == 4
    assert all(value != 0 for value in one["memory"].values())
    assert equal(one["memory"], other["memory"]) == alike
    assert equal(one["saved"], one["memory"])
    assert equal(other["saved"], one["memory"])


def test_what_callbacks_observe_is_the_first_ranks(ranks: list[dict[str, Any]]) -> None:
    """Whose running statistics a checkpoint has; the real images are those of both."""
    one, other = (rank["remembered", True]["distances"] for rank in ranks)
    firsts = [pairwise_distance(images, torch.zeros(8)) for images, _ in list(make_batches(2))]
    assert one[0] == other[0] == pytest.approx(float(sum(firsts) / 2), rel=1e-6)
    assert one[1] == other[1] == pytest.approx(float(one[2]), rel=1e-6)
    assert one[1] != pytest.approx(float(other[2]), rel=1e-3)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_over_both_ranks(momentum: float | None, ranks: list[dict[str, Any]]) -> None:
    expected = Running(batch_norm(momentum=momentum)).results(*maps())
    for rank, rows in zip(ranks, UNEVEN, strict=True):
        found = rank["batch norm", momentum]
        for name, value in expected.items():
            wanted = value[rows] if name in ("outputs", "gradient") else value
            torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-9)


def test_batch_norm_of_bfloat16_counts_in_float32(ranks: list[dict[str, Any]]) -> None:
    values, weights = maps()
    expected = Running(batch_norm(torch.float32)).results(values.bfloat16().float(), weights)
    for rank, rows in zip(ranks, UNEVEN, strict=True):
        found = rank["mixed batch norm"]
        assert found["outputs"].dtype == torch.bfloat16
        for name in ("outputs", "gradient"):
            torch.testing.assert_close(
                found[name].float(), expected[name][rows].float(), rtol=0.01, atol=0.01
            )
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("option", REFUSED)
def test_options_that_share_nothing_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"gan_ddp can't have {option}"):
        GANDDP(**{option: True})._setup_model(make_model())


def test_parameters_outside_of_networks_are_refused() -> None:
    model = make_model()
    model.temperature = nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match="temperature belongs to none"):
        GANDDP()._setup_model(model)


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
