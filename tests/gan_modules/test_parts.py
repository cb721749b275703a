"""What every part promises: no step waits for the device, and what is remembered is kept."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_modules import ACGAN, GAN, R3GAN, WGANGP, GANModule, InfoGAN
from gan_modules.networks import InfoGANDiscriminator, InfoGANGenerator
from gan_modules.parts import (
    ADA,
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    Consistency,
    CrossEntropy,
    DataShares,
    DiffAugment,
    GradientPenalty,
    Hinge,
    InOrder,
    InstanceNoise,
    JudgeReal,
    LabelFlips,
    LatentConsistency,
    LazyPenalty,
    LeCam,
    LinearSchedule,
    MixedBatch,
    OneSidedSmoothing,
    OptimizerSchedule,
    Orthogonal,
    RelativisticAverage,
    SoftLabels,
    SumOfPenalties,
    TopK,
    WarmUp,
    WeightClipping,
)
from tests.gan_modules.helpers import (
    SIZE,
    STEADY,
    VARIANTS,
    AfterBatch,
    RecordingLogger,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)
from tests.gan_modules.remembering import (
    MEMORY,
    RememberingAugment,
    RememberingGame,
    RememberingLabels,
    RememberingPenalty,
    memory_of,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:Found .* in eval mode"
)


class WaitError(AssertionError):
    """A step needed a value that lies on the device."""


class Dispatched(TorchDispatchMode):
    """Refuses operations whose result or whose shape depends on data, and copies to the host."""

    names = ("item", "is_nonzero", "nonzero", "masked_select", "equal", "_local_scalar_dense")
    indexing = ("index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_")
    """Depend on data with a mask alone; torch tags them all."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
        masks = [v for v in tree_leaves(args[1:2]) if isinstance(v, Tensor)]
        if name in self.indexing:
            waits = any(mask.dtype in (torch.bool, torch.uint8) for mask in masks)
        else:
            waits = name in self.names or bool(tags & set(func.tags))
        output = func(*args, **(kwargs or {}))
        given = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
        made = [v for v in tree_leaves(output) if isinstance(v, Tensor)]
        if any(v.is_cpu for v in made) and any(v.device.type not in ("cpu", "meta") for v in given):
            waits |= name in ("copy_", "_to_copy")
        if waits:
            raise WaitError(str(func))
        return output


class Called(TorchFunctionMode):
    """Refuses what reads memory past the operations, or would from a device that is no CPU."""

    names = ("tolist", "numpy", "cpu", "item", "__array__", "__bool__", "__float__", "__int__")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.names:
            raise WaitError(func.__name__)
        if getattr(func, "__name__", "") == "to" and any(
            v == "cpu" for v in (*args[1:], *(kwargs or {}).values()) if isinstance(v, str)
        ):
            raise WaitError("to cpu")
        return func(*args, **(kwargs or {}))


def watch(monkeypatch: pytest.MonkeyPatch, variant: type[GANModule]) -> list[int]:
    """Have each training step of a variant fail that waits before its log; the steps made."""
    original, steps = variant.training_step, []

    def watched(self: GANModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.logs_later = True
        with Called(), Dispatched():
            original(self, batch, batch_idx)
        self.logs_later = False
        if self.logging_due:
            self.log_batch()
        steps.append(batch_idx)

    monkeypatch.setattr(variant, "training_step", watched)
    return steps


FUSED = partial(torch.optim.Adam, lr=0.01, fused=True)
NOISE = InstanceNoise(0.3, anneal_images=20, on_real=True)
OPTIONS: dict[str, tuple[type[GANModule], dict[str, Any]]] = {
    "GAN": (GAN, {}),
    "smoothing": (GAN, {"game": CrossEntropy(OneSidedSmoothing())}),
    "soft labels": (GAN, {"game": CrossEntropy(SoftLabels())}),
    "flips": (GAN, {"game": CrossEntropy(label_flips=LabelFlips(0.3))}),
    "noise": (GAN, {"augment": NOISE}),
    "changes": (GAN, {"augment": InOrder([NOISE, InstanceNoise(0.1)])}),
    "DiffAugment": (GAN, {"augment": DiffAugment()}),
    "ADA": (GAN, {"augment": ADA(filter=1.0, noise=1.0, cutout=1.0)}),
    "mixed batch": (GAN, {"batches": MixedBatch()}),
    "penalty": (GAN, {"penalty": GradientPenalty()}),
    "clipped": (GAN, {"generator_clip_norm": 0.1, "discriminator_clip_norm": 0.1}),
    "several": (GAN, {"discriminator_steps": 2, "generator_steps": 2}),
    "hinge": (GAN, {"game": TopK(Hinge())}),
    "penalties": (
        GAN,
        {
            "discriminator": STEADY,
            "game": RelativisticAverage(),
            "penalty": SumOfPenalties(
                [
                    *(LazyPenalty(R1(WarmUp(1.0, 20)), 2), R2(), ApproximateR1(), DRAGAN()),
                    *(LeCam(start_images=0), Consistency(1, 1), LatentConsistency()),
                    *(WeightClipping(0.1), Orthogonal()),
                ]
            ),
            "discriminator_schedule": OptimizerSchedule(LinearSchedule(0.01, 0, 50), beta2=0.9),
        },
    ),
    "ACGAN": (ACGAN, {}),
    "ACGAN with parts": (
        ACGAN,
        {
            "game": CrossEntropy(SoftLabels(), LabelFlips(0.3)),
            "augment": NOISE,
            "asked_classes": DataShares(),
        },
    ),
    "WGANGP": (WGANGP, {"discriminator_steps": 2}),
    "InfoGAN": (
        InfoGAN,
        {
            "generator": partial(InfoGANGenerator, width=1),
            "discriminator": partial(InfoGANDiscriminator, width=1),
            "image_size": 28,
            "latent_dim": 13,
        },
    ),
    "R3GAN": (
        R3GAN,
        {
            "discriminator": STEADY,
            "penalty": SumOfPenalties([ApproximateR1(), R2()]),
            "augment": ADA(0.5),
        },
    ),
}


@pytest.mark.parametrize(("every", "half_life"), [(1, 30), (1000, 0)])
@pytest.mark.parametrize("name", OPTIONS)
def test_no_step_waits_for_the_device(
    name: str, every: int, half_life: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant, options = OPTIONS[name][0], deepcopy(OPTIONS[name][1])
    fused = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    model = make_model(variant, **fused, **options, ema_half_life_images=half_life)
    steps, logger = watch(monkeypatch, variant), RecordingLogger()
    batches = make_batches(4, size=options.get("image_size", SIZE))
    data = TinyImages() if "asked_classes" in options else batches
    fit(model, data, logger=logger, log_every_n_steps=every)
    assert len(steps) == 4
    assert bool(logger.records) == (every == 1)


WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda logits: logits.mean().item(),
    "branch": lambda logits: 1 if logits.mean() > 0 else 2,
    "mask": lambda logits: logits[logits > 0],
    "assigned by a mask": lambda logits: logits.clone().__setitem__(logits > 0, logits.mean()),
    "nonzero": lambda logits: logits.nonzero(),
    "masked_select": lambda logits: logits.masked_select(logits > 0),
    "equal": lambda logits: torch.equal(logits, logits),
    "unique": lambda logits: logits.unique(),
    "one_hot": lambda logits: torch.nn.functional.one_hot((logits > 0).long()),
    "float": lambda logits: float(logits.sum()),
    "list": lambda logits: logits.tolist(),
    "array": lambda logits: logits.detach().numpy(),
    "host": lambda logits: logits.cpu(),
    "to host": lambda logits: logits.to("cpu"),
}


@pytest.mark.parametrize("name", WAITING)
def test_a_step_that_waits_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting(CrossEntropy):
        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            WAITING[name](real)
            return super().discriminator(real, fake)

    steps = watch(monkeypatch, GAN)
    with pytest.raises(WaitError):
        fit(make_model(game=Waiting()), make_batches(1))
    assert steps == []


@pytest.mark.parametrize("allowed", [lambda x: x[torch.tensor([1, 0])], lambda x: x.clamp(0, 1)])
def test_indices_and_plain_operations_are_no_waiting(
    allowed: Callable[[Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(CrossEntropy):
        def generator(self, fake: Tensor, judge_real: JudgeReal) -> Tensor:
            allowed(fake)
            return super().generator(fake, judge_real)

    steps = watch(monkeypatch, GAN)
    options = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    fit(make_model(game=Busy(), **options), make_batches(1))
    assert steps == [0]


# Memory

REMEMBERING: dict[str, tuple[type[GANModule], Callable[[], dict[str, Any]]]] = {
    "game": (GAN, lambda: {"game": RememberingGame()}),
    "labels": (GAN, lambda: {"game": CrossEntropy(RememberingLabels())}),
    "augment": (GAN, lambda: {"augment": RememberingAugment()}),
    "one of several changes": (
        GAN,
        lambda: {"augment": InOrder([InstanceNoise(0.1), RememberingAugment()])},
    ),
    "penalty": (GAN, lambda: {"penalty": RememberingPenalty()}),
    "ACGAN": (ACGAN, lambda: {"game": RememberingGame(), "augment": RememberingAugment()}),
    "WGANGP": (WGANGP, lambda: {"penalty": RememberingPenalty(), "discriminator_steps": 2}),
}


def train(
    name: str, seed: int, save: Path | None = None, resume: Path | None = None, **options: Any
) -> dict[str, Tensor]:
    """Six batches; all that the model then is made of."""
    variant, parts = REMEMBERING[name]
    model = make_model(variant, seed=seed, **parts(), ema_half_life_images=30)

    def keep(model: GANModule) -> None:
        if save is not None and model.images_seen == 24:
            model.trainer.save_checkpoint(save)

    options = {"max_epochs": -1, "max_steps": 6} | options
    fit(model, TinyImages(), [AfterBatch(keep)], checkpoint=resume, **options)
    return copied(model)


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
@pytest.mark.parametrize("name", REMEMBERING)
def test_what_a_part_remembers_goes_on(name: str, precision: str, tmp_path: Path) -> None:
    """A resumed training is the uninterrupted one; without its memory it is another."""
    path, kind = tmp_path / "a.ckpt", torch.float64 if precision == "64-true" else torch.float32
    whole = train(name, 0, save=path, precision=precision)
    memory = memory_of(whole)
    assert memory
    assert all(value.dtype == kind for n, value in memory.items() if n.endswith(MEMORY))
    assert all(value != 0 for value in memory.values())
    resumed = train(name, 7, resume=path, precision=precision)
    assert [n for n in whole if not torch.equal(whole[n], resumed[n])] == []

    content = torch.load(path, weights_only=False)
    for buffer in memory_of(content["state_dict"]).values():
        buffer.zero_()
    torch.save(content, path)
    forgetful = train(name, 7, resume=path, precision=precision)
    assert not equal(memory, memory_of(forgetful))
    weights = [n for n in whole if n.startswith("discriminator.")]
    assert not equal({n: whole[n] for n in weights}, {n: forgetful[n] for n in weights})


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_that_forget_add_nothing_to_a_checkpoint(variant: type[GANModule]) -> None:
    """Levels and constants are set anew in each step."""
    parts = {} if variant is WGANGP else {"augment": InstanceNoise(0.3, anneal_images=60)}
    held = {name.split(".")[0] for name in make_model(variant, **parts).state_dict()}
    assert held == {"generator", "discriminator"}
