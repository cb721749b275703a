"""The benchmark command, through the command line."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cli
from minmax.commands import benchmark
from minmax.commands.benchmark import summary, table
from tests.cli.processes import Command


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first training, in a process where everything is already imported."""
    run = subprocess.run

    def begin(command: list[str], stdout: int, env: dict[str, str]) -> Any:
        monkeypatch.setattr(benchmark.subprocess, "run", run)
        process = Command(command[2:], env, script=command[1])
        os.write(2, process.communicate()[1].encode())
        return SimpleNamespace(returncode=process.returncode)

    monkeypatch.setattr(benchmark.subprocess, "run", begin)


@pytest.mark.usefixtures("forked")
def test_benchmark_writes_all_loops(
    config: Callable[[str], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "speed.json"
    cli.main(
        [
            *("benchmark", "--output", str(output), "--rounds", "1", "--seconds", "0.05"),
            *("--config", config("dcgan_digits"), "--data.init_args.batch_size", "16"),
            *("--trainer.accelerator", "cpu"),
        ]
    )
    written = json.loads(output.read_text())
    assert written["command"][:2] == ["cli.py", "benchmark"]
    (measured,) = written["results"]
    assert measured["config"] == "dcgan_digits"
    assert measured["batch_size"] == 16
    assert measured["precision"] == "32-true"
    assert measured["seconds_to_first_step"] > 0.5
    assert measured["memory_bytes"] > 2**27
    rates = measured["images_per_second"]
    assert list(rates) == ["project", "peers", "plain", "limit"]
    assert all(len(values) == 1 and min(values) > 0 for values in rates.values())
    work = measured["flop_per_image"]
    assert work["project"] == work["limit"] < work["plain"] == work["peers"]
    printed = capfd.readouterr().out
    assert printed.count("| project |") == 1
    assert printed.count("| dcgan_digits, 16 | 32-true |") == 1
    assert str(output) in printed
    assert "Run:" not in printed


@pytest.mark.usefixtures("forked")
def test_points_without_files_and_a_training_of_few_steps(
    config: Callable[[str], str], tmp_path: Path
) -> None:
    output = tmp_path / "speed.json"
    cli.main(
        [
            *("benchmark", "--output", str(output), "--rounds", "1", "--seconds", "0.05"),
            *("--config", config("ring"), "--trainer.max_steps", "2"),
            *("--data.init_args.count", "1000", "--trainer.accelerator", "cpu"),
        ]
    )
    (measured,) = json.loads(output.read_text())["results"]
    assert list(measured["images_per_second"]) == ["project", "plain", "limit"]


MEASURED = {
    "variant": "GAN",
    "batch_size": 4,
    "precision": "32-true",
    "device": "one",
    "threads": 1,
    "seconds_to_first_step": 2.0,
    "memory_bytes": 2**20,
    "flop_per_image": {"project": 1e6, "plain": 2e6, "limit": 1e6},
    "images_per_second": {
        "project": [100.0, 200.0, 900.0],
        "plain": [50.0, 200.0, 300.0],
        "limit": [100.0, 400.0, 450.0],
    },
    "peak_flop_per_second": [1e9, 1e9, 2e9],
}


def test_each_configuration_is_measured_in_each_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their rows stand together at the end."""
    trainings: list[list[str]] = []

    def measure(chosen: object, training: list[str]) -> dict[str, object]:
        trainings.append(training)
        return MEASURED | {"precision": training[-1]}

    monkeypatch.setattr(benchmark, "measure", measure)
    output = tmp_path / "speed.json"
    configs = ["--config", "one.yaml", "--config", "folder/two.yaml"]
    precisions = ["--trainer.precision", "32-true", "--trainer.precision", "bf16-mixed"]
    cli.main(["benchmark", "--output", str(output), *configs, *precisions, "--seed", "3"])
    expected = [
        ["--config", config, "--seed", "3", "--trainer.precision", precision]
        for precision in ("32-true", "bf16-mixed")
        for config in ("one.yaml", "folder/two.yaml")
    ]
    assert trainings == expected
    results = json.loads(output.read_text())["results"]
    assert [result["config"] for result in results] == ["one", "two"] * 2
    rows = capfd.readouterr().out.split("| --- " * 12)[1].splitlines()[1:5]
    starts = [
        f"| {config}, 4 | {p} |" for p in ("32-true", "bf16-mixed") for config in ("one", "two")
    ]
    assert all(row.startswith(start) for row, start in zip(rows, starts, strict=True))


def test_ratios_are_those_of_the_rounds() -> None:
    row = next(line for line in table(MEASURED).splitlines() if line.startswith("| project"))
    assert row == "| project | 200 (100, 900) | 2.00 | 1.00 | 0.2 | 20% |"
    heads, _, row = summary([{"config": "mine", **MEASURED}]).splitlines()
    assert heads.count("|") == row.count("|")
    known = "200 (100, 900) | - | 200 | 400 | 2.00 | 1.00 | - | 0, 20% | 2.0 | 1 |"
    assert row == f"| mine, 4 | 32-true | {known}"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--seconds", "0"], "--seconds positive"),
        (["--output", "missing/speed.json"], "there is no folder missing"),
        (["--trainer.precision", "16-true"], "Choose from 32-true, 64-true, 16-mixed, bf16-mixed"),
        (["--trainer.nothing", "1"], "nothing"),
        (["--trainer.devices", "2", "--trainer.accelerator", "cpu"], "times one device, but this"),
    ],
)
@pytest.mark.usefixtures("forked")
def test_wrong_input(
    arguments: list[str],
    error: str,
    config: Callable[[str], str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "speed.json"
    command = ["benchmark", "--output", str(output), "--config", config("dcgan_digits"), *arguments]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code
    # The training is another process, and prints its error itself.
    assert error in f"{capfd.readouterr().err} {ended.value.code}"
    assert not output.exists()
