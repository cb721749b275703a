"""When scores are computed, of which images, and that they don't change the training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules import ImageDataModule
from gan_modules import ACGAN, GAN, GANModule
from minmax.callbacks import BestCheckpoint, Quality
from minmax.metrics.distances import frechet_distance
from minmax.metrics.pixels import PixelFeatures
from minmax.values import to_uint8
from tests.gan_modules.helpers import (
    CLASSES,
    LATENT,
    RecordingLogger,
    TinyImages,
    copied,
    equal,
    fit,
    make_model,
    make_trainer,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")

NAME = "metric/fid_pixels"
SCORES = {
    f"metric/{name}_pixels"
    for name in ("fid", "kid", "precision", "recall", "density", "coverage", "nearest")
}


def run(model: GANModule, quality: Quality, data: Any, stage: str = "validate") -> dict[str, float]:
    trainer = make_trainer(callbacks=[quality], limit_val_batches=1.0)
    (logged,) = getattr(trainer, stage)(model, data, verbose=False)
    return dict(logged)


def pixels(**options: Any) -> Quality:
    return Quality("pixels", **({"count": 20} | options))


def test_bytes_of_images() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0, -0.5, 1.5, -1.5, 100.0, -100.0])
    assert to_uint8(values).tolist() == [0, 128, 255, 64, 255, 0, 255, 0]
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)
    assert torch.equal(to_uint8(torch.tensor([1.0]).bfloat16()), levels[-1:])


class Grays(ImageDataModule):
    """Images of one gray level each: equally likely values of a Gaussian."""

    def __init__(self, mean: float, std: float, count: int) -> None:
        super().__init__(["gray"], 8, True, 64)
        self.mean, self.std, self.count = mean, std, count

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        shares = (torch.arange(self.count, dtype=torch.float64) + 0.5) / self.count
        levels = (self.mean + self.std * torch.special.ndtri(shares)).view(-1, 1, 1, 1)
        images = levels.round().clamp(0, 255).byte().expand(-1, 1, 8, 8)
        return images, torch.zeros(self.count, dtype=torch.int64)


class GrayGAN(GAN):
    """Draws images of one gray level each, from the latent's first number."""

    def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
        levels = 140 + 10 * latent[:, 0]
        return (levels / 127.5 - 1)[:, None, None, None].expand(-1, 1, 8, 8)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_two_gaussians(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 equal features with means 100, 140 and deviations 20, 10, of 255 levels.

    Their covariances have rank one, so the distance is 64 ((140 - 100)^2 + (20 - 10)^2).
    """
    monkeypatch.setattr("minmax.metrics.distances.SUBSETS", 1)  # of another score, which takes long
    value = run(make_model(GrayGAN), pixels(count=700), Grays(100, 20, 700), stage)[NAME]
    assert value == pytest.approx(64 * (40**2 + 10**2) / 255**2, rel=0.05)


def test_validation_sees_training_images_and_test_the_held_out_ones() -> None:
    model, data = make_model(), TinyImages()
    latents = torch.randn(32, LATENT, generator=torch.Generator().manual_seed(0))[:20]
    network = PixelFeatures()
    fake, _ = network(to_uint8(model.sample(latents, torch.zeros(20, dtype=torch.int64))))
    for stage, train, count in (("validate", True, 20), ("test", False, 12)):
        real, _ = network(data.split(train)[0])
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
        wanted = frechet_distance(real[order[:count]], fake)
        values = run(model, pixels(), TinyImages(), stage)
        assert values[NAME] == pytest.approx(wanted, rel=1e-4)
        assert values.keys() == SCORES | {"step"}


class Copying(GAN):
    """Draws its training images."""

    def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
        images, _ = TinyImages().split(train=True)
        return images[: len(latent)] / 127.5 - 1


def test_validation_finds_copies_of_images_that_it_does_not_compare_with() -> None:
    values = run(make_model(Copying), pixels(count=10), TinyImages(), "validate")
    assert values["metric/nearest_pixels"] == pytest.approx(0, abs=1e-6)


def test_the_averaged_generator_draws_in_eval_mode() -> None:
    model = make_model(ema_half_life_images=50)
    fit(model, TinyImages(), max_epochs=2)
    before = copied(model)
    own = run(model, pixels(), TinyImages())
    assert equal(before, copied(model))
    assert model.generator_ema is not None
    torch.nn.Module.load_state_dict(model.generator_ema, model.generator.state_dict())
    assert run(model, pixels(), TinyImages())[NAME] != own[NAME]


def test_the_images_depend_on_the_seed_of_the_scores_alone() -> None:
    model, values = make_model(), []
    for run_seed, seed, batch in ((0, 0, 250), (1, 0, 7), (0, 1, 250)):
        torch.manual_seed(run_seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("minmax.callbacks.quality.BATCH", batch)
            values.append(run(model, pixels(seed=seed), TinyImages())[NAME])
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] != pytest.approx(values[2], rel=1e-3)


def test_generated_images_have_the_classes_of_the_real_ones() -> None:
    model, asked = make_model(ACGAN), []

    def sample(latent: Tensor, labels: Tensor) -> Tensor:
        asked.extend(labels.tolist())
        return ACGAN.sample(model, latent, labels)

    model.sample = sample
    data, quality = TinyImages(), pixels(count=30)
    run(model, quality, data, "test")
    _, labels = data.split(train=False)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert asked[:30] == labels[order].repeat(3)[:30].tolist()
    assert set(quality.report["classes"]) == {f"class {number}" for number in range(CLASSES)}


def test_the_report() -> None:
    quality = pixels(count=40)
    values = run(make_model(ema_half_life_images=9), quality, TinyImages(), "test")
    report = quality.report
    assert {f"metric/{name}": value for name, value in report["scores"].items()} == pytest.approx(
        {name: value for name, value in values.items() if name != "step"}, rel=1e-6
    )
    references = report["references"]
    assert references["training images"]["nearest_pixels"] == pytest.approx(0, abs=1e-6)
    assert report["scores"]["nearest_pixels"] > 0
    assert references["training images"]["fid_pixels"] < references["noise"]["fid_pixels"] * 2
    protocol = report["protocol"]
    assert protocol["real_images"] == 12
    assert protocol["generated_images"] == 40
    assert protocol["split"] == "held-out"
    assert protocol["held_out_by"] == "that of the data set"
    assert protocol["features"].startswith("pixels-1-")
    assert protocol["weights"] == "averaged generator"
    assert len({protocol["training_sha256"], protocol["held_out_sha256"]}) == 2
    assert quality.neighbours is not None
    assert quality.neighbours.shape == (32, 2, 1, 4, 4)


def test_copies_of_training_images_are_found_out() -> None:
    """A generator that copies training images is at distance 0 from them, and shown beside them."""
    data = TinyImages()
    training, _ = data.split(train=True)

    class Copying(GAN):
        def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
            chosen = (latent[:, 0] * 1000).long() % len(training)
            return training[chosen].float() / 127.5 - 1

    quality = pixels(count=40)
    run(make_model(Copying), quality, data, "test")
    assert quality.report["scores"]["nearest_pixels"] == pytest.approx(0, abs=1e-6)
    assert quality.neighbours is not None
    assert torch.equal(quality.neighbours[:, 0], quality.neighbours[:, 1])


def test_new_real_images_are_as_far_from_training_images_as_held_out_ones() -> None:
    data = TinyImages()
    held_out, _ = data.split(train=False)

    class Perfect(GAN):
        drawn = 0

        def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
            chosen = (torch.arange(len(latent)) + self.drawn) % len(held_out)
            self.drawn += len(latent)
            return held_out[chosen].float() / 127.5 - 1

    quality = pixels(count=36)  # each of them three times
    run(make_model(Perfect), quality, data, "test")
    assert quality.report["scores"]["nearest_pixels"] == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 5])
def test_latents_are_one_seeded_stream(seed: int) -> None:
    model, latents = make_model(), []

    def sample(latent: Tensor, classes: Tensor) -> Tensor:
        latents.append(latent)
        return GAN.sample(model, latent, classes)

    model.sample = sample
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minmax.callbacks.quality.BATCH", 7)
        run(model, pixels(seed=seed), TinyImages())
    wanted = torch.randn(32, LATENT, generator=torch.Generator().manual_seed(seed))[:20]
    assert torch.equal(torch.cat(latents), wanted)


def test_the_sanity_check_is_not_scored() -> None:
    model, drawn = make_model(), []

    def sample(latent: Tensor, classes: Tensor) -> Tensor:
        drawn.append(len(latent))
        return GAN.sample(model, latent, classes)

    model.sample = sample
    options = {"limit_val_batches": 1.0, "num_sanity_val_steps": 1}
    fit(model, TinyImages(), [pixels()], max_epochs=2, **options)
    assert drawn == [20, 20]


def test_a_training_logs_them_over_images_seen() -> None:
    logger = RecordingLogger()
    options = {"limit_val_batches": 1.0, "num_sanity_val_steps": 1, "log_every_n_steps": 0}
    fit(make_model(), TinyImages(), [pixels()], logger, max_epochs=3, **options)
    records = [(step, set(values)) for step, values in logger.records]
    assert records == [(32, SCORES), (64, SCORES), (96, SCORES)]


@pytest.mark.parametrize(("every", "steps"), [(24, [24, 48, 72, 96]), (16, range(16, 97, 16))])
def test_a_schedule_in_images(every: int, steps: Any) -> None:
    logger = RecordingLogger()
    options = {"limit_val_batches": 1.0, "log_every_n_steps": 0}
    fit(make_model(), TinyImages(), [pixels(every_images=every)], logger, max_epochs=3, **options)
    assert [step for step, _ in logger.records] == list(steps)


def test_other_data_are_scored_by_their_own_images() -> None:
    quality, model = pixels(), make_model(GrayGAN)

    class Apart(Grays):
        """Held-out images are no training images."""

        def load(self, train: bool) -> tuple[Tensor, Tensor]:
            images, labels = super().load(train)
            return images + (0 if train else round(self.std / 5)), labels

    first, second = Apart(100, 20, 30), Apart(140, 10, 30)
    run(model, quality, first, "validate")
    wanted = [run(model, pixels(), data, "validate") for data in (second, first)]
    assert [run(model, quality, data, "validate") for data in (second, first)] == wanted
    run(model, quality, second, "test")
    held_out = quality.report["protocol"]["held_out_sha256"]
    run(model, quality, first, "test")
    assert quality.report["protocol"]["held_out_sha256"] != held_out


def test_a_trainer_with_a_schedule_in_images_trains_again() -> None:
    trainer = make_trainer(callbacks=[pixels(every_images=16)], limit_val_batches=1.0)
    for epochs in (1, 2):
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(make_model(), TinyImages())
    trainer.val_check_interval = 3
    with pytest.raises(ValueError, match="both say when to score"):
        trainer.fit(make_model(), TinyImages())


def test_they_do_not_disturb_the_training() -> None:
    results = []
    for callbacks in ([], [pixels()], [Quality(count=20)]):
        model = make_model(ema_half_life_images=50)
        fit(model, TinyImages(), callbacks, max_epochs=2, limit_val_batches=1.0)
        results.append(copied(model))
    assert equal(results[0], results[1])
    assert equal(results[0], results[2])


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_classes_choose_domain_features(stage: str, tmp_path: Path) -> None:
    values = run(make_model(ACGAN), Quality(count=20), TinyImages(), stage)
    assert {"metric/fid_domain", "metric/is_domain", "metric/class_match"} <= values.keys()
    values = run(make_model(), Quality(count=20), TinyImages(), stage)
    assert "metric/class_entropy" in values
    assert "metric/class_match" not in values
    values = run(make_model(GrayGAN), Quality(count=20), Grays(0, 9, 30), stage)
    assert NAME in values


def test_the_best_checkpoint_goes_by_the_features_of_the_run(tmp_path: Path) -> None:
    best = BestCheckpoint()
    trainer = make_trainer(
        callbacks=[pixels(), best],
        limit_val_batches=1.0,
        default_root_dir=tmp_path,
        enable_checkpointing=True,
    )
    trainer.fit(make_model(), TinyImages())
    assert best.monitor == NAME
    assert Path(best.best_model_path).name == "best.ckpt"
    protocol = {"count": 20, "seed": 0, "average": 0, "features": PixelFeatures().identity()}
    assert best.state_dict()["protocol"] == protocol


@pytest.mark.parametrize(
    ("quality", "data", "options", "message"),
    [
        (Quality("domain"), Grays(0, 9, 90), {}, "at least two classes.*pixels, or inception"),
        (pixels(), [], {}, "ImageDataModule"),
        (pixels(every_images=8), TinyImages(), {"val_check_interval": 2}, "interval` 1.0 to"),
        (pixels(every_images=8), TinyImages(), {"check_val_every_n_epoch": 2}, "epoch` 1 to"),
    ],
)
def test_what_fails_at_once(
    quality: Quality, data: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(make_model(), data, [quality], limit_val_batches=1.0, max_steps=1, **options)


@pytest.mark.parametrize(("option", "value"), [("count", 9), ("every_images", 0)])
def test_counts_that_are_too_small(option: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"`Quality.{option}` must be at least"):
        Quality(**{option: value})
