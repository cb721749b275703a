"""Trainings on a GPU; skipped where there is none."""

from pathlib import Path

import pytest
import torch

import cli

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
