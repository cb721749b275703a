"""Trainings that fail on purpose report their failure; healthy trainings report nothing."""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils.tensorboard import SummaryWriter

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.parts import GradientPenalty
from minmax.callbacks import Diagnosis, Finite, Quality
from minmax.callbacks.diagnosis import pairwise_distance
from minmax.diagnosis import history
from minmax.errors import UserError
from minmax.scalars import read_scalars
from tests.gan_modules.helpers import (
    CLASSES,
    VARIANTS,
    AfterBatch,
    Batches,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of a few values, over any number of images."""
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 0)


def adam(rate: float) -> Any:
    return partial(Adam, lr=rate, betas=(0.5, 0.999))


def frozen(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.0)


def diagnosed(folder: Path, model: GANModule, **options: Any) -> dict[str, int]:
    """Train and log every batch; the reported failures and their times, from TensorBoard."""
    callbacks = [*options.pop("callbacks", []), Diagnosis(), Finite()]
    logger = TensorBoardLogger(folder, name="", version="")
    options = {"log_every_n_steps": 1, "max_epochs": 15} | options
    try:
        fit(model, TinyImages(), callbacks, logger, **options)
    finally:
        logger.finalize("success")
    return {text.split()[0]: step for step, text in reversed(texts(folder))}


def texts(folder: Path) -> list[tuple[int, str]]:
    """The texts under `diagnosis` in TensorBoard, by images seen."""
    events = EventAccumulator(str(folder)).Reload()
    tag = "diagnosis/text_summary"
    if tag not in events.Tags()["tensors"]:
        return []
    return [(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors(tag)]


@pytest.mark.parametrize("variant", [GAN, WGANGP])
def test_a_healthy_run_is_silent(variant: type[GANModule], tmp_path: Path) -> None:
    """It isn't scored: its images are noise, from which nothing can be learned."""
    assert diagnosed(tmp_path, make_model(variant), max_epochs=25) == {}
    assert len(read_scalars(tmp_path)["samples/pairwise_distance"][0]) > 15


class Strong(TinyDiscriminator):
    """Wide, and without dropout."""

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(channels, image_size, num_classes)
        pixels = channels * image_size**2
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 64), nn.ReLU(), nn.Linear(64, 1)
        )


class Deaf(TinyGenerator):
    """Ignores its latent."""

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(latent), classes)


def test_the_discriminator_wins(tmp_path: Path) -> None:
    model = make_model(
        discriminator=Strong, discriminator_optimizer=adam(0.01), generator_optimizer=adam(1e-5)
    )
    assert diagnosed(tmp_path, model, max_epochs=25).keys() == {"discriminator_won"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_latents_without_notice(variant: type[GANModule], tmp_path: Path) -> None:
    if variant is ACGAN:

        class Conditional(TinyConditionalGenerator):
            """One image a class."""

            def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
                return super().forward(torch.zeros_like(latent), classes)

        model = make_model(variant, generator=Conditional)
    else:
        model = make_model(variant, generator=Deaf)
    assert "collapsed" in diagnosed(tmp_path, model, max_epochs=25)


def unbound() -> GANModule:
    """Without its penalty."""
    return make_model(
        WGANGP,
        penalty=GradientPenalty(0.0),
        discriminator_steps=1,
        discriminator_optimizer=adam(0.05),
    )


def test_no_penalty(tmp_path: Path) -> None:
    """After the run, the same findings follow from the curves alone."""
    assert diagnosed(tmp_path, unbound()).keys() == {"penalty_off"}
    ((step, text),) = texts(tmp_path)
    (episode,) = history(read_scalars(tmp_path))
    assert episode.said_at == step
    said = f"penalty_off since {episode.finding.since_images:,} images: {episode.finding.sentence}"
    assert text == said


def test_steps_far_too_large(tmp_path: Path) -> None:
    """Gradients grow by powers of ten, and then the run ends."""
    steep = partial(SGD, lr=10.0)
    model = make_model(discriminator_optimizer=steep, generator_optimizer=steep)
    with pytest.raises(ValueError, match="diverged"):
        diagnosed(tmp_path, model)
    assert [text.split()[0] for _, text in texts(tmp_path)] == ["exploding", "not_finite"]


@pytest.mark.parametrize("every", [1, 1000])
def test_a_run_that_diverges_says_so_before_it_ends(every: int, tmp_path: Path) -> None:
    """Even if its last batch isn't logged."""
    model = make_model(discriminator_optimizer=partial(SGD, lr=1e30))
    with pytest.raises(ValueError, match="diverged"):
        diagnosed(tmp_path, model, log_every_n_steps=every)
    ((step, text),) = texts(tmp_path)
    assert text.startswith(f"not_finite since {step} images: ")
    assert "nan" in text


def test_copies_of_training_images(tmp_path: Path) -> None:
    training, _ = TinyImages().split(train=True)

    class Copying(GAN):
        def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
            return training[(latent[:, 0] * 1000).long() % len(training)].float() / 127.5 - 1

    options = {"callbacks": [Quality("pixels", count=20)], "limit_val_batches": 1.0}
    options["max_epochs"] = 3
    assert diagnosed(tmp_path, make_model(Copying), **options) == {"memorising": 32}
    assert read_scalars(tmp_path)["metric/nearest_pixels"] == ([32, 64, 96], [0.0] * 3)


def test_a_run_without_values_and_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no scalars of TensorBoard: give the folder of a run"):
        read_scalars(tmp_path)
    SummaryWriter(str(tmp_path)).close()
    with pytest.raises(UserError, match=r"nothing was logged yet, .* --trainer\.log_every_n_steps"):
        read_scalars(tmp_path)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_network_that_is_never_updated(network: str, tmp_path: Path) -> None:
    model = make_model(**{f"{network}_optimizer": frozen})
    options = {"callbacks": [Quality("pixels", count=20)], "limit_val_batches": 1.0}
    assert "nothing_learned" in diagnosed(tmp_path, model, **options)


@pytest.mark.parametrize("epochs", [2, 8])
def test_a_resumed_run_goes_on_with_what_it_saw(epochs: int, tmp_path: Path) -> None:
    """Stopped before a failure was reported, and after."""
    ends = []
    for checkpoint in (None, tmp_path / "half.ckpt"):
        folder = tmp_path / f"from {checkpoint and checkpoint.stem}"
        if checkpoint:
            half = fit(
                unbound(),
                TinyImages(),
                [Diagnosis()],
                TensorBoardLogger(tmp_path / "half", name="", version=""),
                log_every_n_steps=1,
                max_epochs=epochs,
            )
            half.save_checkpoint(checkpoint)
        callback = Diagnosis()
        logger = TensorBoardLogger(folder, name="", version="")
        options = {"log_every_n_steps": 1, "max_epochs": 15, "checkpoint": checkpoint}
        fit(unbound(), TinyImages(), [callback], logger, **options)
        logger.finalize("success")
        state = callback.state_dict()
        for name in [name for name in state["curves"] if name.startswith("time/")]:
            del state["curves"][name]
        ends.append((state, texts(folder)))
    (whole, said), (resumed, said_later) = ends
    assert resumed == whole
    assert said_later == (said if epochs == 2 else [])
    assert said


def test_training_is_left_alone(tmp_path: Path) -> None:
    """Weights equal those of a run without diagnosis, with batch norm, dropout and an average."""
    for variant in VARIANTS:
        ends = []
        for callbacks in ([], [Diagnosis()]):
            model = make_model(variant, ema_half_life_images=30)
            fit(model, TinyImages(), callbacks, log_every_n_steps=1)
            ends.append(copied(model))
        assert equal(*ends)


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_the_logged_distance_is_relative_to_the_first_real_images(variant: type[GANModule]) -> None:
    """Of the first training, if a diagnosis serves several."""
    diagnosis, batches = Diagnosis(), make_batches(3).batches
    real, classes = batches[0]
    for seed in (0, 1):
        model = make_model(variant, seed)
        asked = torch.arange(64) % (CLASSES if model.conditional else 1)
        trainer = fit(model, Batches(batches[seed:][:2]), [diagnosis], log_every_n_steps=2)
        fake = model.sample(model.seeded_latents(64), asked)
        wanted = pairwise_distance(fake, asked) / pairwise_distance(
            real, classes if model.conditional else torch.zeros(8)
        )
        logged = trainer.callback_metrics["samples/pairwise_distance"]
        assert logged == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("failing", [False, True])
def test_it_is_observed_in_no_other_training(failing: bool) -> None:
    def fail(model: GANModule) -> None:
        if failing and model.trainer.global_step == 3:
            raise ZeroDivisionError

    model = make_model()
    with pytest.raises(ZeroDivisionError) if failing else nullcontext():
        fit(model, make_batches(4), [Diagnosis(), AfterBatch(fail)], log_every_n_steps=1)
    trainer = fit(model, make_batches(2), log_every_n_steps=1)
    assert "loss/generator" in trainer.callback_metrics
    assert "samples/pairwise_distance" not in trainer.callback_metrics


def test_real_images_that_are_all_the_same_are_no_measure() -> None:
    same = Batches([(torch.zeros_like(images), classes) for images, classes in make_batches(2)])
    trainer = fit(make_model(), same, [Diagnosis()], log_every_n_steps=1)
    assert "loss/generator" in trainer.callback_metrics
    assert "samples/pairwise_distance" not in trainer.callback_metrics


def test_distance_is_that_of_the_closed_form() -> None:
    images = torch.tensor([0.0, 3.0, 7.0, 8.0])[:, None, None, None]
    classes = torch.tensor([0, 1, 0, 1])
    assert pairwise_distance(images, torch.zeros(4)) == pytest.approx((3 + 7 + 8 + 4 + 5 + 1) / 6)
    assert pairwise_distance(images, classes) == pytest.approx((7 + 5) / 2)
    assert pairwise_distance(images[:2], classes[:2]) == 3, "no two are of one class"
    images[1] = torch.inf
    assert pairwise_distance(images[::2], torch.zeros(2)) == 7
    assert pairwise_distance(images, torch.tensor([0, 1, 0, 2])) == 7, "in no pair that counts"
    near = torch.full((2, 1, 32, 32), 100.0)
    near[1] += 1e-4
    assert pairwise_distance(near, torch.zeros(2)) == pytest.approx(32e-4, rel=0.05)
