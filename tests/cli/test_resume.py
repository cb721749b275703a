"""A run goes on with what the command asks for; what has changed is used and said, or refused."""

import re
import shutil
from itertools import chain
from pathlib import Path

import pytest
import torch
import yaml

from datamodules.loader import EpochShuffle, ResidentLoader
from minmax.commands.changes import KEY

MODEL = "--model.init_args"
SHORT = ("--trainer.limit_val_batches", "0", "--data.init_args.image_size", "32")


def load(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def last(run: Path) -> dict:
    return load(run / "checkpoints" / "last.ckpt")


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the start of a resumed run says has changed."""
    lines = capsys.readouterr().out.splitlines()
    found = [line.removeprefix("--resume: ") for line in lines if line.startswith("--resume: ")]
    return [line.removesuffix(", from the command") for line in found]


def groups(run: Path) -> list[dict]:
    """Options in the states of both optimizers."""
    return [state["param_groups"][0] for state in last(run)["optimizer_states"]]


@pytest.fixture
def run(fit) -> Path:
    """Two batches of the digits."""
    return fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2")


class TestOptions:
    def resume(self, fit, *options: str, steps: str = "3") -> Path:
        return fit(
            "dcgan_digits", *SHORT, "--trainer.max_steps", steps, "--resume", "true", *options
        )

    def test_of_optimizers_are_used_and_said(self, run, fit, capsys):
        before = groups(run)
        adam = f"{MODEL}.generator_optimizer.init_args"
        changes = [f"{adam}.lr=1e-5", f"{adam}.betas=[0.1, 0.9]", f"{adam}.eps=1e-6"]
        changes += [f"{adam}.weight_decay=0.01", f"{adam}.amsgrad=false"]
        self.resume(fit, *changes)
        assert said(capsys) == [
            f"{adam}.lr 0.001 -> 1e-05",
            f"{adam}.betas [0.5, 0.999] -> [0.1, 0.9]",
            f"{adam}.eps 1e-08 -> 1e-06",
            f"{adam}.weight_decay 0.0 -> 0.01",
        ]
        generator, discriminator = groups(run)
        expected = {"lr": 1e-5, "betas": [0.1, 0.9], "eps": 1e-6, "weight_decay": 0.01}
        assert {name: generator[name] for name in expected} == expected
        assert discriminator == before[1]
        step = last(run)["optimizer_states"][0]["state"][0]["step"]
        assert step == 3, "the moments are those of before"
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["model"]["init_args"]["generator_optimizer"]["init_args"]["lr"] == 1e-5
        self.resume(fit, *changes, steps="4")
        assert said(capsys) == []
        assert groups(run)[0]["lr"] == 1e-5

    def test_of_an_earlier_versions_checkpoint(self, run, fit, capsys):
        file = run / "checkpoints" / "last.ckpt"
        checkpoint = load(file)
        del checkpoint[KEY]
        checkpoint["optimizer_states"][1]["param_groups"][0]["lr"] = 0.00025  # after a divergence
        torch.save(checkpoint, file)
        rate = f"{MODEL}.generator_optimizer.init_args.lr"
        self.resume(fit, rate, "1e-5", f"{MODEL}.ema_half_life_images", "900")
        assert said(capsys) == [
            f"{rate} 0.001 -> 1e-05",
            f"{MODEL}.ema_half_life_images 5000 -> 900",
        ]
        assert [group["lr"] for group in groups(run)] == [1e-5, 0.00025]

    def test_another_optimizer_begins_without_a_state(self, run, fit, capsys):
        optimizer = f"{MODEL}.discriminator_optimizer"
        self.resume(fit, optimizer, "torch.optim.RMSprop", f"{optimizer}.lr", "0.0001")
        lines = said(capsys)
        assert re.match(f"{optimizer} torch.optim.Adam.*-> torch.optim.RMSprop.*", lines[0])
        assert lines[1] == "Adam -> RMSprop: it begins without a state"
        state = last(run)["optimizer_states"][1]
        assert state["state"][0]["step"] == 1
        assert state["param_groups"][0]["lr"] == 0.0001

    def test_of_all_else_are_said(self, run, fit, capsys):
        self.resume(
            fit,
            *(f"{MODEL}.discriminator_steps", "2", f"{MODEL}.instance_noise", "null"),
            *("--seed_everything", "5", "--trainer.precision", "bf16-mixed"),
            *("--data.init_args.batch_size", "32"),
        )
        lines = said(capsys)
        noise = lines.pop(next(i for i, line in enumerate(lines) if "instance_noise" in line))
        assert re.match(r"--model\S+noise \S+InstanceNoise\(std=0.2, .*\) -> null$", noise)
        assert lines == [
            "--seed_everything 0 -> 5",
            f"{MODEL}.discriminator_steps 1 -> 2",
            "--data.init_args.batch_size 64 -> 32",
            "precision 32-true -> bf16-mixed",
        ]


def test_lower_rates_after_a_divergence(fit, monkeypatch):
    """What the message of a divergence advises; and rates that a return lowered stay."""
    from tests.cli.test_survival import TestDivergence, poison

    poison(monkeypatch, 7)
    options = [*TestDivergence.OPTIONS, "--trainer.max_steps", "10"]
    with pytest.warns(UserWarning, match="return 1 of 1"):
        folder = fit("dcgan_digits", *options, "--finite.returns", "1")
    assert [group["lr"] for group in groups(folder)] == [0.0005, 0.00025]
    options = [*TestDivergence.OPTIONS, "--resume", "true"]
    fit("dcgan_digits", *options, "--trainer.max_steps", "11")
    assert [group["lr"] for group in groups(folder)] == [0.0005, 0.00025]
    rate = [f"{MODEL}.generator_optimizer.init_args.lr", "1e-5"]
    fit("dcgan_digits", *options, *rate, "--trainer.max_steps", "12")
    assert [group["lr"] for group in groups(folder)] == [1e-5, 0.00025]


@pytest.mark.parametrize(("batch", "seed"), [(64, 0), (48, 3), (1000, 0)])
def test_another_batch_in_the_midst_of_an_epoch(batch, seed, fit, tmp_path, monkeypatch):
    """Digits: 1,618 images, of which ten batches of 64 were seen."""
    options = [*SHORT, "--checkpoint_last.every_images", "640", "--trainer.max_steps", "11"]
    folder = fit("dcgan_digits", *options)
    seen: list[list[int]] = []
    draw = ResidentLoader.batch

    def noted(self: ResidentLoader, indices: torch.Tensor) -> tuple:
        if self.sampler.shuffle:
            seen.append(indices.tolist())
        return draw(self, indices)

    monkeypatch.setattr(ResidentLoader, "batch", noted)
    other = tmp_path / "other"
    fit(
        *("dcgan_digits", *SHORT, "--trainer.max_epochs", "2", "--seed_everything", str(seed)),
        *("--ckpt_path", str(folder / "checkpoints" / "previous.ckpt")),
        *("--data.init_args.batch_size", str(batch), "--trainer.default_root_dir", str(other)),
    )
    orders = [EpochShuffle(1618, 1, seed=of) for of in (0, seed)]
    orders[1].set_epoch(1)
    rest, following = orders[0].indices()[640:].tolist(), orders[1].indices().tolist()
    assert {len(indices) for indices in seen} == {batch}
    left = len(rest) // batch
    assert list(chain(*seen[:left])) == rest[: left * batch]
    assert list(chain(*seen[left:])) == following[: 1618 // batch * batch]
    assert last(other)["images_seen"] == 640 + batch * len(seen)
    assert last(other)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 2


class TestPlaces:
    SCORED = (
        *("--quality.count", "100", "--trainer.check_val_every_n_epoch", "1"),
        *("--trainer.limit_train_batches", "2"),
    )

    @pytest.mark.parametrize("reached", ["moved", "linked", "relative"])
    def test_the_best_stays(self, reached, fit, tmp_path, monkeypatch):
        """A worse generator doesn't take its place, however the run is reached."""
        folder = fit("dcgan_digits", *self.SCORED, "--trainer.max_epochs", "2")
        before = (folder / "checkpoints" / "best.ckpt").read_bytes()
        place = tmp_path / "elsewhere" / "run"
        place.parent.mkdir()
        if reached == "moved":
            shutil.move(folder, place)
        elif reached == "linked":
            place.symlink_to(folder)
        else:
            monkeypatch.chdir(folder / "checkpoints")
            place = Path("../pictures/../../run")
        noise = [f"{MODEL}.generator_optimizer.init_args.lr", "1"]
        root = ["--trainer.default_root_dir", str(place)]
        fit(
            "dcgan_digits",
            *self.SCORED,
            *noise,
            "--trainer.max_epochs",
            "3",
            "--resume",
            "true",
            *root,
        )
        assert (place / "checkpoints" / "best.ckpt").read_bytes() == before
        assert last(place)["images_seen"] == 3 * 128
        assert load(place / "checkpoints" / "previous.ckpt")["images_seen"] == 2 * 128

    def test_home_and_variables(self, fit, tmp_path, monkeypatch):
        home = tmp_path / "home"
        for name, value in {"HOME": home, "SCRATCH": tmp_path / "scratch"}.items():
            monkeypatch.setenv(name, str(value))
            value.mkdir()
        monkeypatch.chdir(tmp_path)
        file = tmp_path / "a.yaml"
        file.write_text("trainer:\n  default_root_dir: ~/a\n")
        steps = [*SHORT, "--config", str(file), "--trainer.max_steps"]
        fit("dcgan_digits", *steps, "2", "--trainer.default_root_dir", "~/a")
        assert (home / "a" / "pictures" / "fake_last.png").is_file()

    def test_a_variable_that_is_not_set(self, fit, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match=r"nothing is known here that \$UNSET could stand for"):
            fit("dcgan_digits", "--trainer.default_root_dir", "$UNSET/run")
        assert list(tmp_path.iterdir()) == []
