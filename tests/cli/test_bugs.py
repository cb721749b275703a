"""A bug in the project's or a user's code is shown with its whole traceback."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from traceback import format_exception

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException

import cli
import datamodules
import gan_modules
import minmax.commands.compare
import minmax.generation.writing
import minmax.training.parsing
from minmax import callbacks
from minmax.errors import UserError
from tests.cli.processes import Command

ROOT = Path(cli.__file__).parent
MODEL = "--model.init_args"
MYLAB = """
import builtins
import os

import lightning

import datamodules
import gan_modules
from gan_modules import networks, parts


def fail():
    if name := os.environ.get("FAILS"):
        raise getattr(builtins, name)("a bug")  # here


class Unpacks(gan_modules.GAN):
    def training_step(self, batch, batch_idx):
        first, second, third = batch  # here


class Opens(gan_modules.GAN):
    def training_step(self, batch, batch_idx):
        open("missing.txt")  # here


class Logs(gan_modules.GAN):
    def training_step(self, batch, batch_idx):
        self.log("loss", 1.0, on_step=False, on_epoch=False, prog_bar=True, reduce_fx=3)  # here
        super().training_step(batch, batch_idx)


class Returns(gan_modules.GAN):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        return "loss"


class OptimizesNothing(gan_modules.GAN):
    def configure_optimizers(self):
        return [self.generator_optimizer([]), self.discriminator_optimizer([])]  # here


class FailsToBeMade(gan_modules.GAN):
    def __init__(self, **shared):
        super().__init__(**shared)
        fail()


class Network(networks.DCGAN32Generator):
    def __init__(self, latent_dim: int, channels: int, image_size: int, num_classes: int):
        super().__init__(latent_dim, channels, image_size, num_classes)
        fail()


class Loss(parts.CrossEntropy):
    def generator(self, fake, judge_real):
        return fake.view(3, 5, 7, 11) if os.environ.get("FAILS") is None else fail()


class LossToBeMade(parts.CrossEntropy):
    def __init__(self):
        super().__init__()
        fail()


class Data(datamodules.Digits):
    def load(self, train):
        fail()


class Hook(lightning.Callback):
    def on_train_start(self, trainer, pl_module):
        fail()


class HookToBeMade(lightning.Callback):
    def __init__(self):
        fail()
"""


@pytest.fixture
def mylab(tmp_path, monkeypatch) -> Iterator[Path]:
    """A package of a user's, in the working folder."""
    folder = tmp_path / "work"
    (folder / "mylab").mkdir(parents=True)
    (folder / "mylab" / "__init__.py").write_text(MYLAB)
    (folder / "mylab" / "values.py").write_text("int('three')  # here\n\nclass Net: ...\n")
    (folder / "mylab" / "absent.py").write_text("import nothing_of_the_kind  # here\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["cli.py"])
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]


@pytest.fixture
def fails(tmp_path, config) -> Callable[..., str]:
    """Train, and return the whole traceback of the exception."""

    def run(kind: type[BaseException], *options: str) -> str:
        given = ["fit", "--config", config("dcgan_digits"), "--trainer.accelerator", "cpu"]
        given += ["--quality.features", "pixels", "--trainer.max_steps", "2"]
        given += ["--trainer.default_root_dir", str(tmp_path / "run"), *options]
        with pytest.raises(kind) as caught:
            cli.main(given)
        assert not isinstance(caught.value, UserError)
        return "".join(format_exception(caught.value))

    return run


OWN = {
    "a step unpacks wrong": (["--model", "mylab.Unpacks"], ValueError),
    "a step opens what isn't there": (["--model", "mylab.Opens"], FileNotFoundError),
    "a step logs what Lightning refuses": (["--model", "mylab.Logs"], MisconfigurationException),
    "optimizers without weights": (["--model", "mylab.OptimizesNothing"], ValueError),
    "a loss of a wrong shape": ([f"{MODEL}.game", "mylab.Loss"], RuntimeError),
    "a module that fails": (["--model", "mylab.values.Net"], ValueError),
    "a module that fails, of a callback": (["--trainer.callbacks", "mylab.values.Net"], ValueError),
    "a module that lacks another": (["--model", "mylab.absent.Net"], ModuleNotFoundError),
    "the same, of a network": ([f"{MODEL}.generator", "mylab.absent.Net"], ModuleNotFoundError),
}


@pytest.mark.parametrize("case", OWN)
def test_bugs_in_code_of_a_users(case, mylab, fails):
    options, kind = OWN[case]
    shown = fails(kind, "--trust", "mylab", *options)
    assert f'File "{mylab}/mylab/' in shown
    assert "# here" in shown or case == "a loss of a wrong shape"


@pytest.mark.parametrize(
    ("option", "name", "kind"),
    [
        ("--model", "FailsToBeMade", ValueError),
        ("--model", "FailsToBeMade", AttributeError),
        (f"{MODEL}.generator", "Network", ValueError),
        (f"{MODEL}.generator", "Network", TypeError),
        (f"{MODEL}.generator", "Network", OSError),
        (f"{MODEL}.game", "LossToBeMade", ValueError),
        (f"{MODEL}.game", "LossToBeMade", AttributeError),
        (f"{MODEL}.game", "Loss", ValueError),
        ("--data", "Data", ValueError),
        ("--data", "Data", OSError),
        ("--trainer.callbacks", "Hook", ValueError),
        ("--trainer.callbacks", "Hook", OSError),
        ("--trainer.callbacks", "HookToBeMade", ValueError),
        ("--trainer.callbacks", "HookToBeMade", KeyError),
    ],
)
def test_errors_of_any_kind_in_code_of_a_users(option, name, kind, mylab, fails, monkeypatch):
    monkeypatch.setenv("FAILS", kind.__name__)
    shown = fails(kind, "--trust", "mylab", option, f"mylab.{name}")
    assert f'File "{mylab}/mylab/__init__.py"' in shown
    assert 'raise getattr(builtins, name)("a bug")  # here' in shown


def test_what_a_step_returns_is_not_an_option(mylab, fails):
    shown = fails(MisconfigurationException, "--trust", "mylab", "--model", "mylab.Returns")
    assert "optimization/manual.py" in shown


def test_a_disk_that_is_full_is_no_bug(mylab, config, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(gan_modules.GAN, "training_step", full)
    given = ["fit", "--config", config("dcgan_digits"), "--trainer.accelerator", "cpu"]
    with pytest.raises(SystemExit, match="No space left"):
        cli.main([*given, "--trainer.default_root_dir", str(tmp_path / "run")])


def bug(*_: object, **__: object) -> None:
    raise KeyError("of ours")


class TestInOurCode:
    @pytest.mark.parametrize("kind", [KeyError, ValueError])
    def test_while_options_are_read(self, kind, mylab, fails, monkeypatch):
        def wrong(*_: object) -> None:
            raise kind("of ours")

        monkeypatch.setattr(minmax.training.parsing, "about_its_folder", wrong)
        assert "in wrong" in fails(kind)

    @pytest.mark.parametrize(
        ("place", "name"),
        [
            (gan_modules.GAN, "training_step"),
            (gan_modules.GAN, "__init__"),
            (datamodules.Digits, "load"),
            (callbacks.Pictures, "setup"),
        ],
        ids=lambda value: getattr(value, "__name__", value),
    )
    def test_in_a_training(self, place, name, mylab, fails, monkeypatch):
        monkeypatch.setattr(place, name, bug)
        assert "in bug" in fails(KeyError)

    def test_in_a_comparison(self, monkeypatch, tmp_path):
        monkeypatch.setattr(minmax.commands.compare, "compare", bug)
        with pytest.raises(KeyError, match="of ours"):
            cli.main(["compare", str(tmp_path)])

    def test_in_a_drawing(self, monkeypatch, tmp_path, trained):
        monkeypatch.setattr(minmax.generation.writing, "in_rows", lambda *_: int("three"))
        checkpoint = str(trained / "checkpoints" / "last.ckpt")
        with pytest.raises(ValueError, match="invalid literal") as caught:
            cli.main(["sample", "--checkpoint", checkpoint, "--output", str(tmp_path / "x.png")])
        assert not isinstance(caught.value, UserError)

    @pytest.mark.parametrize("devices", [1, 2])
    def test_in_a_process_that_draws(self, devices, monkeypatch, tmp_path, trained, mylab):
        """One of several processes; its traceback is inside that of the first."""
        (mylab / "mylab" / "__init__.py").write_text(
            "import gan_modules, os\n\nclass GAN(gan_modules.GAN):\n"
            "    def sample(self, *given):\n"
            "        if os.environ.get('FAILS'): int('three')  # here\n"
            "        return super().sample(*given)\n"
        )
        given = ["--trust", "mylab", "--checkpoint", str(copy_of(trained, tmp_path, "mylab.GAN"))]
        given += ["--batch-size", "32", "--devices", str(devices)]
        monkeypatch.setenv("FAILS", "1")
        with pytest.raises(Exception, match="invalid literal") as caught:
            cli.main(["sample", *given, "--output", "x"])
        shown = "".join(format_exception(caught.value))
        assert f'File "{mylab}/mylab/__init__.py", line 5' in shown


def copy_of(run: Path, folder: Path, variant: str) -> Path:
    """A run's checkpoint, changed to name another variant."""
    import torch

    held = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    held["hyper_parameters"]["_class_path"] = variant
    torch.save(held, folder / "a.ckpt")
    return folder / "a.ckpt"


@pytest.mark.parametrize("kind", ["ValueError", "AttributeError"])
def test_a_users_variant_in_a_checkpoint(kind, mylab, trained, tmp_path, monkeypatch):
    given = ["--checkpoint", str(copy_of(trained, tmp_path, "mylab.FailsToBeMade"))]
    given += ["--trust", "mylab", "--output", str(tmp_path / "x.png")]
    cli.main(["sample", *given])
    monkeypatch.setenv("FAILS", kind)
    with pytest.raises((ValueError, AttributeError), match="a bug") as caught:
        cli.main(["sample", *given, "--overwrite"])
    assert type(caught.value).__name__ == kind
    assert f'File "{mylab}/mylab/__init__.py"' in "".join(format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--model", "mylab.Unpacks"], "first, second, third = batch  # here"),
        (["--trainer.callbacks", "mylab.HookToBeMade"], "fail()"),
    ],
)
def test_a_process_writes_the_traceback(options, line, mylab, config, tmp_path):
    given = ["fit", "--config", config("dcgan_digits"), "--trainer.accelerator", "cpu"]
    given += ["--trainer.default_root_dir", str(tmp_path / "run"), "--trust", "mylab", *options]
    process = Command(given, os.environ | {"FAILS": "ValueError"}, folder=mylab)
    stderr = process.communicate()[1]
    assert process.returncode == 1
    assert "Traceback (most recent call last)" in stderr
    number = MYLAB.splitlines().index(next(li for li in MYLAB.splitlines() if line in li)) + 1
    assert f'File "{mylab}/mylab/__init__.py", line ' in stderr
    assert f"line {number}, in" in stderr or line == "fail()"
    assert line in stderr
    assert not stderr.strip().splitlines()[-1].startswith("error: ")
