"""A run made in Python is like one of the command line."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning import seed_everything
from torch.optim import Adam

import cli
import datamodules
import minmax
from datamodules import Digits, ImageDataModule
from datamodules.sharding import write_shards
from gan_modules import GAN
from gan_modules.bookkeeping.described import path_of
from gan_modules.networks import StackedDiscriminator, StackedGenerator
from gan_modules.parts import InstanceNoise
from minmax import lock
from minmax.callbacks import Quality
from minmax.errors import UserError
from minmax.training.describing import of

ROOT = Path(cli.__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Checkpoint directory")


def fit(folder: Path, steps: int, resume: bool = False, data: Any = Digits, **options: Any) -> None:
    seed_everything(0)
    data = data(image_size=16, classes=["3", "5"], batch_size=50)
    adam = partial(Adam, lr=0.001, betas=(0.5, 0.999))
    model = GAN(
        augment=InstanceNoise(0.1),
        generator=partial(StackedGenerator, depth=2, width=4),
        discriminator=partial(StackedDiscriminator, width=4),
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        channels=data.channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
    )
    quality = Quality(features="pixels", count=50)
    given = {"accelerator": "cpu", "quality": quality, "log_every_n_steps": 1} | options
    origin = given.pop("ckpt_path", None)
    trainer = minmax.trainer(folder, resume=resume, max_steps=steps, **given)
    trainer.fit(model, data, ckpt_path=origin)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("python") / "run"
    fit(folder, 5)
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    held: dict[str, torch.Tensor] = torch.load(
        run / "checkpoints" / "last.ckpt", weights_only=True
    )["state_dict"]
    return held


def same(one: Path, other: Path) -> bool:
    held = weights(other)
    return all(torch.equal(weight, held[name]) for name, weight in weights(one).items())


def test_what_lies_in_its_folder(run):
    found = {file.relative_to(run).as_posix() for file in run.rglob("*")}
    assert {"checkpoints/last.ckpt", "config.yaml", "pictures/fake_last.png"} <= found
    assert any("tfevents" in name for name in found)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["seed_everything"] == 0
    assert config["data"]["init_args"]["classes"] == ["3", "5"]
    model = config["model"]["init_args"]
    assert model["generator"]["init_args"] == {"depth": 2, "width": 4}
    assert model["augment"]["init_args"]["std"] == 0.1
    assert "num_classes" not in model, "it is taken from the data"


def test_the_same_run_by_the_command_line(run, tmp_path, monkeypatch):
    """Its configuration trains the same networks on the same images."""
    monkeypatch.setattr("sys.argv", ["cli.py"])
    options = ["--config", str(run / "config.yaml"), "--trainer.default_root_dir", f"{tmp_path}/a"]
    cli.main(["fit", *options])
    assert same(run, tmp_path / "a")


def test_it_goes_on_exactly(run, tmp_path, capsys):
    """In its folder, and from a checkpoint in another one."""
    fit(tmp_path / "stopped", 3)
    checkpoint = tmp_path / "stopped" / "checkpoints" / "last.ckpt"
    fit(tmp_path / "other", 5, ckpt_path=checkpoint)
    assert same(run, tmp_path / "other")
    with pytest.raises(UserError, match="resume=True goes on from the run's newest"):
        fit(tmp_path / "stopped", 5, resume=True, ckpt_path=run / "checkpoints" / "last.ckpt")
    fit(tmp_path / "stopped", 5, resume=True, ckpt_path=checkpoint)
    assert same(run, tmp_path / "stopped")
    fit(tmp_path / "other", 6, resume=True)
    said = [line for line in capsys.readouterr().out.splitlines() if "Goes on from" in line]
    assert [line.partition("after ")[2] for line in said] == 2 * ["150 images"] + ["250 images"]


def test_a_folder_that_holds_a_run_is_refused(run):
    with pytest.raises(UserError, match=r"already holds a run: .*resume=True"):
        fit(run, 9)


def test_what_has_changed_is_used_and_said(tmp_path, capsys):
    fit(tmp_path / "run", 2)
    fit(tmp_path / "run", 3, resume=True, quality=Quality(features="pixels", count=60))
    assert "--resume: --quality.count 50 -> 60" in capsys.readouterr().out


def test_commands_work_with_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cli.py"])
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    cli.main(["sample", "--checkpoint", checkpoint, "--nearest", "--output", f"{tmp_path}/a.png"])
    cli.main(["test", "--config", str(run / "config.yaml")])
    assert "after 250 images" in capsys.readouterr().out
    export = ["--format", "safetensors", "--output", f"{tmp_path}/a.safetensors"]
    cli.main(["export", "--checkpoint", checkpoint, *export])
    assert "max_steps: 5" in (tmp_path / "a.safetensors.md").read_text()
    cli.main(["report", str(run), "--output", f"{tmp_path}/a.html"])
    assert (tmp_path / "a.html").is_file()


def test_another_process_works_there(tmp_path):
    """The lock belongs to an open file, so this process can play the other one."""
    with lock.locked(tmp_path / "run" / lock.NAME), pytest.raises(ValueError, match="other hands"):
        fit(tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()


def test_options_of_no_use_are_refused(tmp_path):
    with pytest.raises(UserError, match="generator_clip_norm"):
        minmax.trainer(tmp_path / "run", gradient_clip_val=1.0)
    with pytest.raises(UserError, match="val_check_interval must be above 0"):
        minmax.trainer(tmp_path / "run", val_check_interval=0)
    with pytest.raises(TypeError, match="max_step"):
        minmax.trainer(tmp_path / "run", max_step=1)


def test_what_has_no_import_path_is_named(tmp_path):
    class Own(Digits):
        pass

    with pytest.warns(UserWarning, match=r"config.yaml will not say which data .*Own"):
        fit(tmp_path / "run", 1, data=Own, limit_val_batches=0)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert "data" not in config
    assert "model" in config


def test_classes_of_the_script_itself(monkeypatch):
    """Another process doesn't have them."""
    own = type("Own", (Digits,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Own", own, raising=False)
    with pytest.raises(ValueError, match="Own stands in the script itself"):
        path_of(own)


@pytest.mark.parametrize("name", sorted(datamodules.__all__))
def test_data_sets_hold_their_arguments(name, tmp_path):
    kind = getattr(datamodules, name)
    if not issubclass(kind, ImageDataModule) or kind is ImageDataModule:
        pytest.skip("an abstract class")
    given: dict[str, Any] = {"image_size": 24, "batch_size": 7}
    if name == "ImageFolder":
        given |= {"root": str(ROOT / "docs" / "images" / "studies"), "val_fraction": 0.25}
    if name == "Streamed":
        pytest.importorskip("litdata")
        given |= {"root": str(tmp_path / "shards"), "workers": 1}
        images = datamodules.ImageFolder(str(ROOT / "docs" / "images" / "studies"))
        write_shards(images, tmp_path / "shards")
    if name == "Points":
        given = {"count": 50, "seed": 3}
        ring = {"class_path": "datamodules.Ring", "init_args": {"modes": 5}}
        described = of(kind(datamodules.Ring(modes=5), **given))
        assert described["mixture"]["class_path"] == ring["class_path"]
        assert described["mixture"]["init_args"].items() >= ring["init_args"].items()
    else:
        described = of(kind(**given))
    assert described.items() >= given.items()


def test_it_is_imported_when_it_is_asked_for():
    program = "import sys, minmax; sys.exit('lightning' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'trainers'"):
        minmax.trainers  # noqa: B018
