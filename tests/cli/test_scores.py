"""`test` keeps its scores in the run, and `compare` puts runs side by side."""

import csv
import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import cli
from minmax.callbacks import Quality
from minmax.reporting.groups import Group
from minmax.training import testing
from minmax.training.asked import Asked
from minmax.training.resuming import read_held
from tests.cli.processes import Command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scored(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the digits, its best and its last checkpoint tested."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    shutil.copytree(trained, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cli.py"])
        config = ["--config", str(folder / "config.yaml")]
        cli.main(["test", *config, "--trainer.default_root_dir", str(folder)])
    return folder


def reports(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def test_both_checkpoints_are_reported_with_their_protocol(scored: Path) -> None:
    assert reports(scored).keys() == {"best", "last"}
    last = reports(scored)["last"]
    names = ("fid", "kid", "precision", "recall", "density", "coverage", "is", "nearest")
    assert last["scores"].keys() == {f"{name}_domain" for name in names} | {"class_entropy"}
    assert last["references"].keys() == {"training images", "noise"}
    assert last["references"]["training images"]["fid_domain"] < last["scores"]["fid_domain"] / 5
    protocol = last["protocol"]
    assert protocol["data"] == "Digits"
    assert protocol["images_seen"] == 3200
    assert protocol["checkpoint"] == str(scored / "checkpoints" / "last.ckpt")
    assert protocol["classifier_accuracy"] > 0.95
    assert protocol["resize"] == "to 32x32, bilinear, antialiased"
    assert protocol["versions"].keys() == {"lightning", "torch", "torchmetrics", "torchvision"}
    assert protocol["seconds"] > 0


def test_the_nearest_training_images_are_shown(scored: Path) -> None:
    for name in ("best", "last"):
        image = Image.open(scored / "pictures" / f"nearest_{name}.png")
        assert image.size == (8 * 34 + 2, 8 * 34 + 2)


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_checkpoint_is_chosen_by_its_name(scored: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    for file in ("best.ckpt", "last.ckpt"):
        shutil.copy(scored / "checkpoints" / file, tmp_path / "checkpoints")
    asked = Asked("test", tmp_path, name, "gan_modules.GAN", False, False, False)
    assert asked.files == [str(tmp_path / "checkpoints" / f"{name}.ckpt")]
    assert len(replace(asked, ckpt_path=None).files) == 2


def test_scores_of_an_earlier_checkpoint_are_said(scored: Path, tmp_path: Path) -> None:
    """A copy of a run keeps its scores."""
    run = tmp_path / "run"
    shutil.copytree(scored, run)
    (run / "checkpoints" / "last.ckpt").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Group("a", [run]).scores()) == 1
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(saved | {"images_seen": 3264}, run / "checkpoints" / "last.ckpt")
    with pytest.warns(UserWarning, match=r"those of an earlier last\.ckpt\. Test it again with"):
        assert len(Group("a", [run]).scores()) == 1


def test_one_checkpoint_is_tested_and_the_others_reports_stay(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("sys.argv", ["cli.py"])
    run = tmp_path / "run"
    shutil.copytree(scored, run)
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "other.ckpt")
    before = reports(run)
    arguments = ["--config", str(run / "config.yaml"), "--quality.count", "200"]
    cli.main(["test", *arguments, "--ckpt_path", str(run / "checkpoints" / "other.ckpt")])
    after = reports(run)
    for report in before.values():  # they are those of the copy now
        checkpoint = report["protocol"]["checkpoint"]
        report["protocol"]["checkpoint"] = checkpoint.replace(str(scored), str(run))
    other = after.pop("other")
    assert after == before
    assert other["scores"] == before["last"]["scores"]
    printed = capsys.readouterr().out
    assert "after 3,200 images" in printed
    assert "fid_domain" in printed
    assert f"Scores: {run}/metrics.json" in printed


@pytest.mark.parametrize("differ", [False, True])
def test_checkpoints_are_scored_apart_unless_their_weights_are_equal(
    trained: Path, differ: bool
) -> None:
    """Of one count of images, too: a run that went back may have another future."""
    last, best = (trained / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    saved = torch.load(last, weights_only=True)
    if differ:
        next(iter(saved["state_dict"].values())).add_(1)
    torch.save(saved, best)
    quality, scored = Quality(), []
    quality.report = {"scores": {}, "references": {}, "protocol": {"images_seen": 3200}}
    trainer: Any = SimpleNamespace(
        callbacks=[quality], test=lambda ckpt_path, verbose: scored.append(Path(ckpt_path))
    )
    testing.test([read_held(str(p), "gan_modules.GAN", False) for p in (best, last)], trainer)
    assert scored == ([best, last] if differ else [best])
    assert reports(trained).keys() == {"best", "last"}


def test_two_ranks_score_as_one(scored: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(scored, run)
    process = Command(
        [
            *("test", "--config", str(run / "config.yaml"), "--trainer.devices", "2"),
            *("--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--quality.count", "199"),
        ],
        dict(os.environ),
    )
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    two = reports(run)["last"]["scores"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cli.py"])
        checkpoint = str(run / "checkpoints" / "last.ckpt")
        arguments = ["--config", str(run / "config.yaml"), "--ckpt_path", checkpoint]
        cli.main(["test", *arguments, "--quality.count", "199"])
    assert two == pytest.approx(reports(run)["last"]["scores"], rel=1e-4)


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_checkpoint_is_needed(command: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"{command} needs a checkpoint: give --ckpt_path"):
        cli.main(
            [
                *(command, "--config", str(ROOT / "configs" / "dcgan_digits.yaml")),
                *("--trainer.default_root_dir", str(tmp_path)),
            ]
        )


class TestCompare:
    def copies(self, scored: Path, folder: Path) -> list[Path]:
        """Three runs: two seeds of one, whose distances are 1 and 3, and another of 5."""
        runs = [folder / name for name in ("seed0", "seed1", "wide")]
        for seed, (run, value) in enumerate(zip(runs, (1.0, 3.0, 5.0), strict=True)):
            run.mkdir()
            config = yaml.safe_load((scored / "config.yaml").read_text())
            config |= {"seed_everything": seed, "resume": bool(seed)}
            config["trainer"]["default_root_dir"] = str(run)
            if run.name == "wide":
                config["model"]["init_args"]["latent_dim"] = 50
            (run / "config.yaml").write_text(yaml.safe_dump(config))
            content = reports(scored)
            for report in content.values():
                report["scores"]["fid_domain"] = value
            if run.name == "wide":
                del content["best"]
            (run / "metrics.json").write_text(json.dumps(content))
        return runs

    def test_seeds_are_joined_and_checkpoints_kept_apart(
        self, scored: Path, tmp_path: Path
    ) -> None:
        runs, output = self.copies(scored, tmp_path), tmp_path / "out.csv"
        cli.main(["compare", *map(str, runs), "--format", "csv", "--output", str(output)])
        rows = list(csv.DictReader(output.read_text().splitlines()))
        name = "fid_domain (lower)"
        assert [(row["run"], row["checkpoint"], row[name]) for row in rows[:3]] == [
            ("seed0 and 1 more", "best", "2 ± 1.4"),
            ("seed0 and 1 more", "last", "2 ± 1.4"),
            ("wide", "last", "5"),
        ]
        assert [row["run"] for row in rows[3:]] == ["training images", "noise"]
        assert float(rows[4][name]) > float(rows[3][name])
        assert "precision_domain (higher)" in rows[0]

    def test_a_copy_is_no_second_seed(
        self, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = self.copies(scored, tmp_path)[0]
        other = shutil.copytree(first, tmp_path / "copy")
        again = first / ".." / first.name
        cli.main(["compare", str(first), str(again), str(other)])
        rows = capsys.readouterr().out.splitlines()
        assert [row.split()[0] for row in rows if " last " in row] == ["seed0", "copy"]

    @pytest.mark.parametrize("form", ["table", "markdown"])
    def test_formats(
        self, form: str, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cli.main(["compare", str(self.copies(scored, tmp_path)[2]), "--format", form])
        lines = capsys.readouterr().out.strip().splitlines()
        assert len(lines) == (4 if form == "table" else 5)
        assert lines[0].startswith("run" if form == "table" else "| run |")
        assert len({line.count("|") for line in lines}) == 1

    def test_refusals(self, scored: Path, tmp_path: Path) -> None:
        first, second, third = self.copies(scored, tmp_path)
        untested = tmp_path / "untested"
        untested.mkdir()
        with pytest.raises(SystemExit, match=f"cli.py test --config {untested}/config.yaml"):
            cli.main(["compare", str(first), str(untested)])
        content = reports(second)
        content["last"]["protocol"]["features"] = "domain-1-0000"
        (second / "metrics.json").write_text(json.dumps(content))
        with pytest.raises(SystemExit, match=r"seed1 \(last\) can't be compared.*features"):
            cli.main(["compare", str(first), str(second)])
        (third / "metrics.json").write_text('{"last": 3}')
        with pytest.raises(SystemExit, match="damaged"):
            cli.main(["compare", str(third)])
        with pytest.raises(SystemExit, match=r"--output .* exists"):
            cli.main(["compare", str(first), "--output", str(first / "metrics.json")])
