"""The measurements of a GPU, as far as a CPU can try them."""

import json
import math
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gan_modules.bookkeeping.captured import WARM
from gan_modules.networks.convolution import Conv2d
from gan_modules.networks.layers import Dropout
from gan_modules.parts import ADA, R1, LazyPenalty
from minmax.benchmarks import replayed
from minmax.gpu import __main__ as runner
from minmax.gpu import (
    comparing,
    fitting,
    profiling,
    replaying,
    switching,
    systems,
    timing,
    training,
)
from minmax.gpu.same_numbers import SameNumbers
from minmax.gpu.systems import Options, System
from tests.benchmarks.helpers import build, resident
from tests.gan_modules.test_captured import replay_on_the_cpu
from tests.gan_modules.test_parts import FUSED


@pytest.fixture
def options(tmp_path: Path) -> Options:
    given = ["--device", "cpu", "--table", str(tmp_path / "a.md"), "--seconds", "100"]
    return Options.of([*given, "--details", str(tmp_path / "a"), "--systems", "ring"], None)


def test_a_part_that_fails_or_takes_too_long_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    programs = {
        "tests": "raise SystemExit(3)",
        "compare": "import time; print('begun', flush=True); time.sleep(60)",
        "table": "import pathlib, sys; pathlib.Path(sys.argv[1], 'table.md').write_text('rows')",
    }

    def command(part: str, given: Any, seconds: float, details: Path) -> list[str]:
        details.joinpath(part).write_text("more")
        details.joinpath("last.ckpt").write_text("large")
        return [sys.executable, "-c", programs[part], str(given.output)]

    monkeypatch.setattr(runner, "command", command)
    monkeypatch.setattr(runner, "LEAST", 0.5)
    out = tmp_path / "out"
    given = ["--output", str(out), "--only", ",".join(programs), "--seconds", "2"]
    start = time.monotonic()
    assert runner.main(given) == 2
    assert time.monotonic() - start < 20
    said = capsys.readouterr().out
    assert "tests failed with code 3" in said
    assert "compare was stopped, its time was over" in said
    assert "table ended well" in said
    assert "rows" in said
    log = (out / "compare.log").read_text()
    assert log.startswith("begun\n")
    assert "KeyboardInterrupt" in log, "it can say what it was doing"
    with tarfile.open(out / "details.tar.gz") as tar:
        assert set(tar.getnames()) == {"details", *(f"details/{part}" for part in programs)}


@pytest.mark.parametrize("part", runner.PARTS)
def test_each_part_is_a_module_with_these_options(part: str, tmp_path: Path) -> None:
    import argparse
    from importlib import import_module

    given = argparse.Namespace(
        output=tmp_path, device="cpu", data_root="d", images=None, systems="ring"
    )
    line = runner.command(part, given, 60, tmp_path)
    assert line[0] == sys.executable
    if part != "tests":
        assert callable(import_module(line[2]).main)
        read = Options.of(line[3:], None)
        assert read.table == tmp_path / f"{part}.md"
        assert read.systems == ["ring"]


def test_the_same_numbers_on_every_device() -> None:
    def draws(device: str, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        torch.manual_seed(3)
        held = torch.zeros(4, device=device, dtype=dtype)
        return [
            torch.randn(2, device=device, dtype=dtype),
            held.uniform_(1, 2),
            torch.rand_like(held),
            torch.randint(5, (3,), device=device),
            nn.functional.dropout(held, 0.5),
        ]

    plain, state = draws("cpu"), torch.get_rng_state()
    with SameNumbers():
        mine = draws("cpu")
    assert all(torch.equal(a, b) for a, b in zip(mine, plain, strict=True))
    with SameNumbers():
        elsewhere = draws("meta")
    assert {value.device.type for value in elsewhere} == {"meta"}
    assert torch.equal(torch.get_rng_state(), state), "another device draws from the CPU's numbers"
    with SameNumbers():
        wide = draws("cpu", torch.float64)
    assert wide[0].dtype == wide[1].dtype == torch.float64
    assert all(torch.equal(a.to(b.dtype), b) for a, b in zip(wide[:4], plain, strict=False))


def test_a_number_belongs_to_a_place_whatever_the_memory_format() -> None:
    held = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)]
    for draw in (
        torch.Tensor.normal_,
        torch.rand_like,
        lambda maps: nn.functional.dropout(maps + 1),
    ):
        drawn = []
        for maps in held:
            torch.manual_seed(0)
            with SameNumbers():
                drawn.append(draw(maps.clone()))
        assert torch.equal(*drawn)


def test_steps_until_their_kinds_repeat() -> None:
    fused = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    plain = build("GAN", **fused)
    lazy = build("GAN", penalty=LazyPenalty(R1(), 16), **fused)
    several = build("GAN", discriminator_steps=3, penalty=LazyPenalty(R1(), 4), **fused)
    loops = [timing.Driven(model, resident(), False) for model in (plain, lazy, several)]
    assert [replayed.period(loop) for loop in loops] == [1, 16, 12]
    assert [loop.module.trainer.global_step for loop in loops] == [0, 0, 0]
    assert [replayed.warm_steps(loop) for loop in loops] == [WARM + 2, 16, 3 * (WARM + 2)]
    loops[1].__class__ = replayed.Replayed
    assert replayed.warm_steps(loops[1]) == 16 * (WARM + 2)


def test_whole_periods_are_timed() -> None:
    loop = timing.Driven(build("GAN", penalty=LazyPenalty(R1(), 6)), resident(), False)
    timing.rate(loop, 0.0)
    assert loop.module.trainer.global_step == replayed.warm_steps(loop) + 4 * 6


def test_precisions_of_float32() -> None:
    held = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    found = {}
    for name in timing.PRECISIONS:
        bfloat16 = timing.use_precision(name)
        found[name] = (
            bfloat16,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
        )
    assert found == {
        "32-true": (False, False, False),
        "TF32": (False, True, True),
        "bf16-mixed": (True, *held),  # as in a training, which sets neither
    }
    assert held == (False, True)


def test_differences_and_their_limit(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"a": torch.ones(4), "b": torch.tensor([3.0, 4.0])}
    other = {"a": torch.ones(4), "b": torch.tensor([3.0, 4.5])}
    assert comparing.difference(other, one) == (pytest.approx(0.1), "b")
    nothing = {"a": torch.full((4,), torch.nan), "b": one["b"]}
    assert comparing.difference(nothing, one)[1] == "a"
    row = comparing.compared(lambda: comparing.of_part({"augment": ADA(0.5)}), options.device)
    assert (row["float64"], row["passes"]) == (0, "yes")
    assert 0 < row["float32"] == row["the CPU's float32"]
    for exact, short, passes in [(1e-7, 0.5, "yes"), (1e-5, 0.5, "no"), (1e-7, math.nan, "no")]:
        found = iter([(exact, "a"), (short, "b"), (0.0, "c")])
        monkeypatch.setattr(comparing, "difference", lambda *both, found=found: next(found))
        row = comparing.compared(lambda: comparing.of_part({}), options.device)
        assert row["passes"] == passes


def test_dropout_draws_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's own, which a CPU draws in another way."""
    module, batches = comparing.of_part({})
    module.generator.layers.append(Dropout(0.5))
    classes: list[type] = []
    monkeypatch.setattr(
        type(module),
        "training_step",
        lambda self, *_: classes.append(type(self.generator.layers[-1])),
    )
    comparing.trained(module, batches[:1], torch.device("cpu"), torch.float32)
    assert classes == [torch.nn.Dropout]
    assert type(module.generator.layers[-1]) is Dropout


def test_every_part_is_compared() -> None:
    names = comparing.parts_alone().keys()
    assert {"ADA", "DiffAugment", "GradientPenalty", "TopK", "MixedBatch", "LazyPenalty"} <= names
    assert len(names) > 30


def test_the_profile_of_two_steps() -> None:
    kernels = [("a", 0.0, 100.0), ("b", 50.0, 200.0), ("a", 300.0, 400.0), ("c", 400.0, 500.0)]
    row = profiling.summary(kernels, 2)
    assert row["kernels"] == 2
    assert row["kernel time, ms"] == pytest.approx(0.225)
    assert row["busy"] == "80%"
    assert row["gaps, ms"] == pytest.approx(0.05)
    assert row["longest"].startswith("a 0.1 ms, 1x; b 0.075 ms, 0.5x")


def test_a_configuration_is_built_and_timed(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    system = systems.build("ring", options)
    row = timing.row_of(system, "bf16-mixed", 0.01)
    assert row["limit"] > 0
    assert row["plain"] > 0
    systems.write(options, "Head", [{"system": "ring"} | row])
    assert "| ring | 128 | bf16-mixed |" in options.table.read_text()
    assert json.loads((options.details / "rows.json").read_text())[0]["system"] == "ring"
    assert len(profiling.row_of(system, timing.Driven)["longest"].split("; ")) == 5


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are replayed on the CPU."""
    replay_on_the_cpu(monkeypatch)


@pytest.mark.usefixtures("stand_in")
def test_replayed_steps_are_compared() -> None:
    model = build("GAN", generator_optimizer=FUSED, discriminator_optimizer=FUSED)
    row = replaying.row_of(System("tiny", model, resident()), 12)
    assert row["captures"] == 1
    assert row["passes"] == "yes"
    assert row["replays"] == row["repeats"] == 0


@pytest.mark.usefixtures("stand_in")
def test_levers_are_switched_in_replayed_steps(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("GAN", generator_optimizer=FUSED, discriminator_optimizer=FUSED)
    convolution = nn.Conv2d(1, 1, 1)
    model.discriminator.register_module("more", convolution)
    made = switching.loops_of(System("tiny", model, resident()), options)
    assert {"no graphs", "host", "mapped", "cudnn.benchmark", "freeze"} <= made.keys()
    batches = {name: next(made[name]().batches)[1] for name in ("no graphs", "host", "mapped")}
    assert all(torch.equal(images, batches["host"][0]) for images, _ in batches.values())
    assert type(made["convolutions"]().module.discriminator.more) is Conv2d
    assert type(convolution) is nn.Conv2d
    monkeypatch.setattr(switching, "SECONDS", 0.01)
    assert switching.measured(made["cudnn.benchmark"]) > 0  # type: ignore[operator]
    assert not torch.backends.cudnn.benchmark
    assert switching.measured(lambda: 1 / 0) == "ZeroDivisionError: division by zero"  # type: ignore[arg-type, return-value]


def test_fit_is_timed_beside_its_step(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    monkeypatch.setattr(fitting, "SECONDS", 2)
    often = ("--trainer.log_every_n_steps", "5")
    monkeypatch.setattr(fitting, "fit", lambda *given: training.fit(*given, *often))
    row = fitting.figures("ring", options)
    assert row["fit"] > 0
    assert row["fit / limit"] == row["fit"] / row["limit"]


def test_a_system_that_fails_leaves_the_others(options: Options) -> None:
    rows = systems.tabulate(options, "Head", ["a", "b"], lambda name: [{"x": {"b": 2}[name]}])
    assert rows == [{"system": "a", "failed": "KeyError: 'a'"}, {"system": "b", "x": 2}]
    assert "| b | - | 2 |" in options.table.read_text()


def test_a_profile_that_fails_says_of_which_step(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Options, "of", lambda *given: options)
    monkeypatch.setattr(profiling, "build", lambda *given: None)
    profiling.main()
    (row,) = json.loads((options.details / "rows.json").read_text())
    assert (row["step"], row["failed"][:14]) == ("Driven", "AttributeError")


def test_what_is_left_out_for_want_of_time_is_said(options: Options, capsys: Any) -> None:
    from dataclasses import replace

    assert list(replace(options, until=time.monotonic() - 1).in_time(["a", "b"])) == []
    assert capsys.readouterr().out == "no time for a, b\n"
