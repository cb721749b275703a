"""All commands work with a user's own package outside of the project.

`mylab` has a variant with a step of its own, a projection discriminator, a generator with class-
conditional batch norm, a game, a penalty, an augmentation, a data set and a score. It lies in a
working folder that is not the checkout's.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from minmax.generation.explorer import Choice, Explorer
from minmax.metrics import classifier
from tests.cli.processes import Command

ROOT = Path(cli.__file__).parent
CONFIG = ("--config", "mylab/bars.yaml")


def command(name: str, *arguments: str) -> None:
    cli.main([name, "--trust", "mylab", *arguments])


def last(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module", autouse=True)
def lab(tmp_path_factory) -> Iterator[Path]:
    """The working folder; a classifier of bars needs little."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(Path(__file__).parent / "mylab", folder / "mylab")
    recipe = replace(classifier.RECIPE, widths=(8, 8, 8, 8), images=2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["cli.py"])
        patch.setattr(classifier, "RECIPE", recipe)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def run(lab) -> Path:
    """An epoch and a half, scored after the epoch."""
    command("fit", *CONFIG, "--trainer.default_root_dir", "run")
    return lab / "run"


def test_a_run(run):
    checkpoint = torch.load(last(run), weights_only=True)
    assert checkpoint["images_seen"] == 600
    assert checkpoint["class_names"] == ["left", "upper"]
    assert checkpoint["state_dict"]["augment.seen"] == 30, "parts remember"
    assert checkpoint["state_dict"]["penalty.mean"] != 0
    with Image.open(run / "pictures" / "fake_last.png") as image:
        assert image.size == (8 * 18 + 2, 2 * 18 + 2), "a row a class"
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert any("brightness" in key for key in best["callbacks"]), "chosen by the user's score"


def test_a_dry_run(lab, capsys):
    command("fit", *CONFIG, "--dry_run", "true", "--trainer.default_root_dir", "dry")
    shown = capsys.readouterr().out
    assert "generator 13,265, discriminator 2,249" in shown
    assert "left 202 + 44, upper 198 + 56" in shown
    assert not (lab / "dry").exists()


def test_a_run_that_was_stopped_goes_on_exactly(run, lab):
    options = (*CONFIG, "--trainer.default_root_dir", "stopped")
    command("fit", *options, "--trainer.max_steps", "13")
    command("fit", *options, "--resume", "true")
    one, other = (torch.load(last(folder), weights_only=True) for folder in (run, lab / "stopped"))
    assert one["state_dict"].keys() == other["state_dict"].keys()
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, other["state_dict"][name]), name
    for first, second in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        torch.testing.assert_close(first["state"], second["state"], rtol=0, atol=0)


def test_samples_of_a_class(run, lab):
    for name in ("left", "upper"):
        options = ("--checkpoint", str(last(run)), "--count", "4", "--output", f"{name}.npz")
        command("sample", *options, "--classes", name)
    left, upper = (np.load(lab / f"{name}.npz") for name in ("left", "upper"))
    assert (left["labels"] == 0).all()
    assert (upper["labels"] == 1).all()
    assert left["images"].shape == (4, 16, 16, 1)
    assert (left["images"] != upper["images"]).any(axis=(1, 2, 3)).all()


def test_classes_make_a_difference_to_the_discriminator(run):
    from minmax.checkpoints.reading import load_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINMAX_TRUST", "mylab")
        model, _ = load_model(last(run))
    images = model.sample(model.seeded_latents(4), torch.zeros(4, dtype=torch.int64))
    logits = [model.discriminator(images, torch.full((4,), number)) for number in (0, 1)]
    assert (logits[0] != logits[1]).all()


@pytest.mark.parametrize(
    "form", [("safetensors", "safetensors"), ("onnx", "onnx"), ("torch_export", "pt2")]
)
def test_exports(form, run, lab, capsys):
    output = f"generator.{form[1]}"
    command("export", "--checkpoint", str(last(run)), "--format", form[0], "--output", output)
    assert "Largest difference" in capsys.readouterr().out
    card = (lab / f"{output}.md").read_text()
    assert "labels: 'int64 [N], 0 to 1'" in card
    assert "network: mylab.networks.ByClassGenerator" in card


def test_exploring(run, monkeypatch):
    monkeypatch.setenv("MINMAX_TRUST", "mylab")
    explorer = Explorer(str(last(run)), 2)
    assert explorer.class_names == ["left", "upper"]

    def images(**choice: object) -> np.ndarray:
        with Image.open(BytesIO(explorer.png(Choice(count=4, **choice)))) as image:
            return np.asarray(image).astype(int)

    assert np.abs(images(label=0) - images(label=1)).max() > 2
    assert np.abs(images(label=0, along=[4.0]) - images(label=0)).max() > 2


def test_scores(run, capsys):
    command("test", "--config", str(run / "config.yaml"))
    report = json.loads((run / "metrics.json").read_text())["last"]
    assert 0 <= report["scores"]["class_match"] <= 1
    assert list(report["classes"]) == ["left", "upper"]
    assert report["protocol"]["data"] == "Bars"
    command("validate", "--config", str(run / "config.yaml"), "--ckpt_path", str(last(run)))
    shown = capsys.readouterr().out
    assert "metric/class_match" in shown
    assert "metric/brightness" in shown


def test_nearest_images_of_the_users_data(run, lab):
    options = ("--checkpoint", str(last(run)), "--count", "4", "--output", "nearest.png")
    command("sample", *options, "--nearest")
    assert (lab / "nearest.png").is_file()


START = {
    "the file, mylab in the working folder": (".", ["--trust", "mylab"]),
    "the command minmax, mylab on the path": ("elsewhere", ["--trust=mylab"]),
}


@pytest.mark.parametrize("how", START)
def test_ways_to_start(how, run, lab):
    """Not tried: `python -m minmax`, which finds at least as many modules."""
    folder, admits = START[how]
    (lab / folder).mkdir(exist_ok=True)
    options = ["--checkpoint", str(last(run)), "--count", "2", "--output", f"{len(how)}.npz"]
    arguments = ["sample", *options, *admits]
    if folder == ".":
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        program = [sys.executable, str(ROOT / "cli.py"), *arguments]
        ended = subprocess.run(program, cwd=lab, env=environment, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 0, ended.stderr
    else:  # as such a script is begun, but with torch imported, which takes seconds
        script = lab / folder / "start.py"
        path = f"import sys; sys.path[:] = [{str(lab / folder)!r}, {str(lab)!r}, *sys.path]\n"
        script.write_text(path + "from minmax.__main__ import main; sys.exit(main())")
        process = Command(arguments, dict(os.environ), str(script), lab / folder)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert (lab / folder / f"{len(how)}.npz").is_file()


def test_no_code_runs_that_was_not_admitted(run):
    with pytest.raises(SystemExit, match="--trust mylab"):
        cli.main(["sample", "--checkpoint", str(last(run)), "--output", "x.png"])
