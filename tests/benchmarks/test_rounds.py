"""The callback that lets the project and the loops take turns."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import GAN, GANModule
from gan_modules.networks.layers import LeakyReLU
from gan_modules.parts import R1, LazyPenalty
from minmax.benchmarks import replayed, rounds
from minmax.benchmarks.counting import Work
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.levers import LEVERS
from minmax.benchmarks.rounds import Rounds
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    CHANNELS,
    SIZE,
    TinyDiscriminator,
    TinyImages,
    fit,
    make_model,
    make_trainer,
)
from tests.gan_modules.test_captured import Recorded, replay_on_the_cpu
from tests.gan_modules.test_parts import FUSED


class OtherGAN(GAN):
    """A user's own variant."""


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages; compiling and measuring the peak, which take seconds, are left out."""
    messages: list[str] = []
    monkeypatch.setattr(rounds, "rank_zero_info", messages.append)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    monkeypatch.setattr(rounds, "peak", lambda device, dtype: 1e9)
    return messages


def measure(model: GANModule, data: Any, output: Path) -> dict[str, Any]:
    timed = Rounds(str(output), time.time(), rounds=3, seconds=0.02, each_lever=True)
    fit(model, data, [timed], max_epochs=-1)
    measured: dict[str, Any] = json.loads(output.read_text())
    return measured


def test_a_variant_without_a_plain_loop_has_its_limit(tmp_path: Path, said: list[str]) -> None:
    """With all levers but `layers`: the networks here have none of the project's layers."""
    pixels = torch.zeros(8, CHANNELS, SIZE, SIZE, dtype=torch.uint8)
    loader = ResidentLoader(pixels, torch.zeros(8).long(), 4, EpochShuffle(8, 4))
    measured = measure(make_model(OtherGAN), loader, tmp_path / "speed.json")
    assert measured["variant"] == "OtherGAN"
    levers = ("freeze", "channels_last", "fused", "compiled generator", "compiled discriminator")
    rates = measured["images_per_second"]
    assert list(rates) == ["project", "limit", *(f"limit, other {lever}" for lever in levers)]
    assert all(len(values) == 3 for values in (*rates.values(), measured["peak_flop_per_second"]))
    assert measured["flop_per_image"].keys() == rates.keys()
    assert said == [
        "OtherGAN has no plain loop: only its limit is timed.",
        "'limit, other layers' is not timed: the networks have none of the project's layers",
    ]


def test_the_work_of_lazy_terms_is_their_mean(tmp_path: Path) -> None:
    pixels = torch.zeros(8, CHANNELS, SIZE, SIZE, dtype=torch.uint8)
    loader = ResidentLoader(pixels, torch.zeros(8).long(), 4, EpochShuffle(8, 4))
    model = make_model(OtherGAN, penalty=LazyPenalty(R1(), every=4))
    driven, counted = Driven(model, loader, bfloat16=False), []
    for _ in range(4):
        with Work() as work:
            images = driven.step()
        counted.append(work.flop / images)
    due, *others = counted
    assert due > others[0] == others[1] == others[2]
    timed = Rounds(str(tmp_path / "a.json"), time.time(), 1, 0.02, each_lever=False)
    fit(model, loader, [timed], max_epochs=-1)
    assert timed.flop == {"project": sum(counted) / 4, "limit": sum(counted) / 4}


@pytest.mark.parametrize("several", ["devices", "num_nodes"])
def test_several_devices_are_refused(tmp_path: Path, several: str) -> None:
    timed = Rounds(str(tmp_path / "a.json"), time.time(), 1, 0.02, each_lever=False)
    trainer = make_trainer(**({"devices": 1} | {several: 2}))
    with pytest.raises(UserError, match="times one device, but this is a training on 2: give"):
        timed.refuse(trainer, TinyImages(), "fit")


class OwnLayers(TinyDiscriminator):
    """Has one of the project's layers, and no derivative once it is compiled."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.layers[2] = LeakyReLU(0.2)

    def compile(self, *given: Any, **options: Any) -> None:
        self.forward = lambda images, classes: self.layers(images).squeeze(1).detach()


def test_a_variant_with_a_plain_loop_has_it_in_three_forms(tmp_path: Path, said: list[str]) -> None:
    model = make_model(GAN, discriminator=OwnLayers, discriminator_steps=2)
    measured = measure(model, TinyImages(), tmp_path / "speed.json")
    names = ["project", "peers", "plain", "limit", "plain, other reuse"]
    names += [f"limit, other {lever}" for lever in LEVERS if lever != "compiled discriminator"]
    assert list(measured["images_per_second"]) == names
    work = measured["flop_per_image"]
    assert work["project"] == work["limit"] < work["plain, other reuse"]
    assert work["plain, other reuse"] < work["plain"] == work["peers"]
    assert work["limit"] < work["limit, other freeze"] == work["plain, other reuse"]
    assert len(said) == 1
    assert said[0].startswith("'limit, other compiled discriminator' is not timed: element 0")


def test_a_training_that_replays_its_steps_is_beside_replayed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay_on_the_cpu(monkeypatch)

    class Blind(Work):
        """Sees no operation of a replay."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func(*args, **(kwargs or {}))

    model = make_model(GAN, generator_optimizer=FUSED, discriminator_optimizer=FUSED)
    timed = Rounds(str(tmp_path / "a.json"), time.time(), 1, 0.02, each_lever=True)
    timed.counting = Blind()
    fit(model, TinyImages(), [Recorded(), timed], max_epochs=-1)
    assert isinstance(timed.loops["limit"], replayed.Replayed)
    assert isinstance(timed.loops["limit, other freeze"], replayed.Replayed)
    assert timed.flop["project"] == timed.flop["limit"] > 0
    assert timed.loops["limit"].captured.captures == 1
