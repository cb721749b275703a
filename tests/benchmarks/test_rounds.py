"""The callback that lets the project and the loops take turns."""

import json
import time
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import GAN
from gan_modules.networks import Critic32, DCGAN32Generator
from minmax.benchmarks.rounds import Rounds


class OtherGAN(GAN):
    """A user's own variant."""


def test_a_variant_without_a_loop_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds._speed, "__defaults__", (1,))  # the peak's repeats take seconds
    sizes = {"channels": 1, "image_size": 32, "num_classes": 1, "latent_dim": 6}
    model = OtherGAN(
        lambda *args: DCGAN32Generator(*args, width=4),
        lambda *args: Critic32(*args, width=4),
        torch.optim.Adam,
        torch.optim.Adam,
        **sizes,
    )
    pixels, labels = torch.zeros(8, 1, 32, 32, dtype=torch.uint8), torch.zeros(8, dtype=torch.long)
    loader = ResidentLoader(pixels, labels, 4, EpochShuffle(8, 4))
    output = tmp_path / "speed.json"
    rounds = Rounds(str(output), started=time.time(), rounds=3, seconds=0.1, each_lever=True)
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[rounds],
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
    measured = json.loads(output.read_text())
    assert measured["variant"] == "OtherGAN"
    assert list(measured["images_per_second"]) == ["project"]
    assert len(measured["images_per_second"]["project"]) == 3
    assert len(measured["peak_flop_per_second"]) == 3
