"""Trainings on a GPU; skipped where there is none."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

import cli
from datamodules.chunks import PixelFile
from datamodules.loader import EpochShuffle, ResidentLoader
from datamodules.mapping import mapped
from datamodules.prefetching import PrefetchingLoader
from gan_modules.parts import CrossEntropy

CONFIGS = Path(__file__).parents[1] / "configs"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", ["dcgan_mnist", "fcgan_mnist", "acgan_mnist", "wgan_gp_mnist"])
def test_each_variant_trains_and_goes_on(name: str, precision: str, tmp_path: Path) -> None:
    for steps in ("20", "40"):
        cli.main(
            [
                *("fit", "--config", str(CONFIGS / f"{name}.yaml"), "--data", "datamodules.Digits"),
                *("--data.init_args.batch_size", "32", "--trainer.accelerator", "gpu"),
                *("--trainer.precision", precision, "--trainer.max_steps", steps),
                *("--quality.features", "pixels", "--quality.count", "100", "--resume", "true"),
                *("--trainer.default_root_dir", str(tmp_path / "run")),
            ]
        )
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 40
    assert all(
        value.isfinite().all()
        for value in checkpoint["state_dict"].values()
        if value.is_floating_point()
    )


GRAPHS = ["dcgan_mnist", "fcgan_mnist", "acgan_mnist", "wgan_gp_mnist"]
GRAPHS += ["r3gan_mnist", "stylegan2_mnist"]


def replayed(name: str, run: Path, steps: int, *more: str) -> dict[str, Any]:
    """The last checkpoint of a training with CUDA graphs."""
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / f"{name}.yaml"), "--data", "datamodules.Digits"),
            *("--data.init_args.batch_size", "32", "--trainer.accelerator", "gpu"),
            *("--trainer.precision", "bf16-mixed", "--trainer.log_every_n_steps", "10"),
            *("--trainer.max_steps", str(steps), "--graph.enabled", "true", "--resume", "true"),
            *("--trainer.limit_val_batches", "0", "--trainer.default_root_dir", str(run), *more),
        ]
    )
    saved: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return saved


@pytest.mark.parametrize("name", GRAPHS)
def test_each_variant_trains_as_cuda_graphs_and_goes_on(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        replayed(name, tmp_path / "run", 60)
        saved = replayed(name, tmp_path / "run", 120)
    assert "Trains without a CUDA graph" not in caplog.text
    assert saved["global_step"] == 120
    for state in saved["optimizer_states"]:
        assert isinstance(state["param_groups"][0]["lr"], float)
    for value in saved["state_dict"].values():
        assert not value.is_floating_point() or value.isfinite().all()


def test_recordings_follow_scheduled_betas(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of earlier betas are dropped; what others have in use stays."""
    given = [
        f"--model.init_args.{network}_schedule.init_args.beta2.init_args.images=6000"
        for network in ("generator", "discriminator")
    ]
    with caplog.at_level("INFO"):
        saved = replayed("r3gan_tiny_cifar10", tmp_path / "run", 300, *given)
    assert "Trains without a CUDA graph" not in caplog.text
    assert saved["optimizer_states"][1]["param_groups"][0]["betas"][1] == pytest.approx(0.99)
    for value in saved["state_dict"].values():
        assert not value.is_floating_point() or value.isfinite().all()


def test_batches_of_a_mapped_file_come_by_a_stream_of_their_own(tmp_path: Path) -> None:
    """They are those from memory, while the training's own stream is busy."""
    file, device = PixelFile(tmp_path / "images.npy", (300, 8, 8, 3)), torch.device("cuda")
    file.allocate()
    random = numpy.random.default_rng(0)
    numpy.save(file.path, random.integers(0, 256, file.shape, dtype=numpy.uint8))
    images, labels = mapped(file), torch.arange(300)

    def order() -> EpochShuffle:
        return EpochShuffle(300, 16, seed=5)

    plain = ResidentLoader(images.clone(), labels, 16, order(), device, mirror=True)
    ahead = PrefetchingLoader(file, images, labels, 16, order(), device, mirror=True)
    work, batches = torch.randn(1000, 1000, device=device), 0
    for (left, these), (right, those) in zip(plain, ahead, strict=True):
        work = (work @ work).tanh()
        assert right.device.type == those.device.type == device.type
        assert left.cpu().equal(right.cpu())
        assert these.cpu().equal(those.cpu())
        batches += 1
    assert batches == 18


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two GPUs here")
def test_two_gpus(tmp_path: Path) -> None:
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / "dcgan_digits.yaml"), "--trainer.devices", "2"),
            *("--trainer.accelerator", "gpu", "--trainer.max_steps", "20"),
            *("--trainer.sync_batchnorm", "true", "--trainer.default_root_dir", str(tmp_path)),
        ]
    )
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_step_that_waits_for_the_device_trains_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CrossEntropy.discriminator

    def waiting(self: CrossEntropy, real: Tensor, fake: Tensor) -> Tensor:
        real.mean().item()
        return original(self, real, fake)

    monkeypatch.setattr(CrossEntropy, "discriminator", waiting)
    with caplog.at_level("INFO"):
        saved = replayed("dcgan_mnist", tmp_path / "run", 20)
    assert (
        caplog.text.count("Trains without a CUDA graph: it waits for the device in test_cuda") == 1
    )
    assert saved["global_step"] == 20
