"""A resumed run uses the command's options; changes are used and reported, or refused."""

import json
import re
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import cli
from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import GANModule
from minmax.errors import UserError
from minmax.training.changes import KEY
from minmax.training.choosing import to_go_on_from

MODEL = "--model.init_args"
SHORT = ("--trainer.limit_val_batches", "0", "--data.init_args.image_size", "32")


def load(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def last(run: Path) -> dict:
    return load(run / "checkpoints" / "last.ckpt")


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The changes that a resumed run prints at its start."""
    lines = capsys.readouterr().out.splitlines()
    found = [line.removeprefix("--resume: ") for line in lines if line.startswith("--resume: ")]
    return [line.removesuffix(", from the command") for line in found]


def groups(run: Path) -> list[dict]:
    """Options in the states of both optimizers."""
    return [state["param_groups"][0] for state in last(run)["optimizer_states"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where `run` is kept once it is trained."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def run(fit, kept, tmp_path) -> Path:
    """Two batches of the digits, trained once and copied."""
    if not kept.exists():
        fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2").rename(kept)
    return Path(shutil.copytree(kept, tmp_path / "run"))


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
        expected = {"lr": 1e-5, "betas": (0.1, 0.9), "eps": 1e-6, "weight_decay": 0.01}
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
            *(f"{MODEL}.discriminator_steps", "2", f"{MODEL}.augment", "null"),
            *("--seed_everything", "5", "--trainer.precision", "bf16-mixed"),
            *("--data.init_args.batch_size", "32"),
        )
        lines = said(capsys)
        noise = lines.pop(next(i for i, line in enumerate(lines) if "augment" in line))
        assert re.match(r"--model\S+augment \S+InstanceNoise\(std=0.2, .*\) -> null$", noise)
        assert lines == [
            "--seed_everything 0 -> 5",
            f"{MODEL}.discriminator_steps 1 -> 2",
            "--data.init_args.batch_size 64 -> 32",
            "precision 32-true -> bf16-mixed",
        ]


def test_rates_and_betas_follow_lazy_terms(fit):
    """With a step of its own at every fourth update, steps are shorter by a fifth."""
    penalty = f"{MODEL}.penalty"
    lazy = "{class_path: gan_modules.parts.LazyPenalty, init_args: {every: 4, penalty: R1}}"
    run = fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2", penalty, lazy)
    share = 4 / 5
    assert groups(run)[1]["lr"] == pytest.approx(0.0005 * share)
    for step, (given, share) in enumerate((("R1", 1), (lazy, 4 / 5)), 3):
        fit(
            *("dcgan_digits", *SHORT, "--trainer.max_steps", str(step), "--resume", "true"),
            *(penalty, given),
        )
        generator, discriminator = groups(run)
        assert discriminator["lr"] == pytest.approx(0.0005 * share)
        assert discriminator["betas"] == pytest.approx((0.5**share, 0.999**share))
        assert (generator["lr"], generator["betas"]) == (0.001, (0.5, 0.999))


def test_lower_rates_after_a_divergence(fit, monkeypatch):
    """As the message about a divergence advises; rates that a return lowered stay."""
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


@pytest.mark.parametrize(("batch", "seed"), [(48, 3), (1000, 0)])
def test_another_batch_in_the_midst_of_an_epoch(batch, seed, fit, tmp_path, monkeypatch):
    """Digits: 1,618 images, of which ten batches of 64 were seen."""
    options = ["--checkpoint_last.every_images", "640", "--trainer.max_steps", "11"]
    folder = fit("dcgan_digits", *SHORT, *options)
    seen: list[list[int]] = []
    draw = ResidentLoader.batch

    def noted(self: ResidentLoader, indices: torch.Tensor, *flips: Any) -> tuple:
        if self.sampler.shuffle:
            seen.append(indices.tolist())
        return draw(self, indices, *flips)

    monkeypatch.setattr(ResidentLoader, "batch", noted)
    scored: list[int] = []
    note = lambda self: scored.append(self.images_seen)  # noqa: E731
    monkeypatch.setattr(GANModule, "on_validation_end", note)
    other = tmp_path / "other"
    fit(
        *("dcgan_digits", *SHORT, "--trainer.max_epochs", "2"),
        *("--seed_everything", str(seed), "--quality.count", "20"),
        *("--trainer.limit_val_batches", "1.0", "--trainer.check_val_every_n_epoch", "1"),
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
    ends = [640 + batch * left, 640 + batch * len(seen)]
    assert scored == ends[left == 0 :], "a validation after each epoch"
    assert last(other)["images_seen"] == ends[1]
    assert last(other)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 2


@pytest.mark.parametrize(("first", "left"), [(5, 3), (8, 0)])
def test_steps_and_then_epochs(first, left, fit, capsys):
    """An epoch that `max_steps` cut short doesn't count as done."""
    few = [*SHORT, "--trainer.limit_train_batches", "4"]
    fit("dcgan_digits", *few, "--trainer.max_steps", str(first))
    for again in (left, 0):
        folder = fit("dcgan_digits", *few, "--resume", "true", "--trainer.max_epochs", "2")
        assert last(folder)["images_seen"] == 8 * 64
        out = capsys.readouterr().out
        assert ("Nothing is left to train: " in out) == (again == 0)


class TestPlaces:
    SCORED = (
        *("--quality.count", "100", "--trainer.check_val_every_n_epoch", "1"),
        *("--trainer.limit_train_batches", "2"),
    )

    @pytest.mark.parametrize("reached", ["moved", "linked", "relative"])
    def test_the_best_stays(self, reached, fit, tmp_path, monkeypatch):
        """A worse generator doesn't replace it, by whatever path the run is reached."""
        folder = fit("dcgan_digits", *self.SCORED, "--trainer.max_epochs", "2")
        before = (folder / "checkpoints" / "best.ckpt").read_bytes()
        place, again = tmp_path / "elsewhere" / "run", ["--resume", "true"]
        place.parent.mkdir()
        if reached == "moved":
            shutil.move(folder, place)
        elif reached == "linked":
            place.symlink_to(folder)
            again = ["--ckpt_path", str(folder / "checkpoints" / "last.ckpt")]
        else:
            monkeypatch.chdir(folder / "checkpoints")
            place = Path("../pictures/../../run")
        again += [f"{MODEL}.generator_optimizer.init_args.lr", "1"]
        again += ["--trainer.max_epochs", "3", "--trainer.default_root_dir", str(place)]
        fit("dcgan_digits", *self.SCORED, *again)
        assert (place / "checkpoints" / "best.ckpt").read_bytes() == before
        assert last(place)["images_seen"] == 3 * 128
        assert load(place / "checkpoints" / "previous.ckpt")["images_seen"] == 2 * 128

    def test_home_and_variables(self, trained, config, tmp_path, monkeypatch, capsys):
        """In files and on the command line, of all commands; no folder is called ~ or $SCRATCH."""
        home, scratch = tmp_path / "home", tmp_path / "scratch"
        for name, folder in {"HOME": home, "SCRATCH": scratch}.items():
            folder.mkdir()
            monkeypatch.setenv(name, str(folder))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["cli.py"])
        options = yaml.safe_load(Path(config("dcgan_digits")).read_text())
        options["trainer"] |= {"default_root_dir": "~/a", "max_steps": 2, "limit_val_batches": 0}
        log = {"class_path": "CSVLogger", "init_args": {"save_dir": "${SCRATCH}/logs"}}
        options["trainer"]["logger"] = log
        options["model"]["init_args"]["generator"]["init_args"] = {"width": 8}
        options["model"]["init_args"]["discriminator"]["init_args"] = {"width": 4}
        (home / "a.yaml").write_text(yaml.safe_dump(options))
        for steps in ("2", "3"):
            steps = ["--trainer.max_steps", steps, "--resume", "true"]
            cli.main(["fit", "--config=~/a.yaml", "--trainer.accelerator", "cpu", *steps])
        assert last(home / "a")["images_seen"] == 3 * 64
        assert (scratch / "logs").is_dir()
        checkpoint = ["--checkpoint", "~/a/checkpoints/last.ckpt"]
        cli.main(["sample", *checkpoint, "--output=$SCRATCH/a.png", "--count", "4"])
        (home / "scored").symlink_to(trained)
        cli.main(["curves", "~/scored", "--output", "${SCRATCH}/curves.png"])
        assert {"a.png", "curves.png"} <= {file.name for file in scratch.iterdir()}
        assert {file.name for file in tmp_path.iterdir()} == {"home", "scratch"}

    def test_a_variable_that_is_not_set(self, fit, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for place in ("$UNSET/run", "${UNSET}/run", "~nobody_is_called_so/run"):
            with pytest.raises(SystemExit, match="nothing is known here that"):
                fit("dcgan_digits", "--trainer.default_root_dir", place)
        assert list(tmp_path.iterdir()) == []

    def test_a_copy_is_about_itself(self, trained, tmp_path, monkeypatch):
        """Commands with the copy's files work in the copy, and leave the original alone."""
        monkeypatch.setattr("sys.argv", ["cli.py"])
        before = {file: file.stat().st_mtime_ns for file in trained.rglob("*")}
        copy = tmp_path / "copy"
        shutil.copytree(trained, copy)
        options = ["--config", str(copy / "config.yaml"), "--quality.features", "pixels"]
        cli.main(["test", *options, "--quality.count", "100"])
        reports = json.loads((copy / "metrics.json").read_text())
        moved = copy.rename(tmp_path / "moved")
        options[1] = str(moved / "config.yaml")
        checkpoint = ["--checkpoint", str(moved / "checkpoints" / "last.ckpt")]
        written = [moved / name for name in ("report.html", "a.safetensors.md", "compared")]
        cli.main(["report", str(moved), "--output", str(written[0])])
        cli.main(
            [
                "export",
                *checkpoint,
                "--format",
                "safetensors",
                "--output",
                str(moved / "a.safetensors"),
            ]
        )
        cli.main(["compare", str(moved), "--output", str(written[2])])
        cli.main(["sample", *checkpoint, "--nearest", "--count", "4", "--output", f"{moved}/n.png"])
        for page in written:
            text = page.read_text()
            assert str(trained) not in text
            assert str(copy) not in text
        assert reports.keys() == {"best", "last"}
        limits = ["--trainer.max_epochs", "3", "--trainer.limit_train_batches", "2"]
        cli.main(["fit", *options, *limits, "--resume", "true"])
        assert last(moved)["images_seen"] == 3200 + 128
        recorded = yaml.safe_load((moved / "config.yaml").read_text())
        assert recorded["trainer"]["default_root_dir"] == str(moved)
        assert {file: file.stat().st_mtime_ns for file in trained.rglob("*")} == before


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files; TensorBoard's are dated back where the next one has the same second."""
    files = [file for file in folder.rglob("*.*") if file.is_file()]
    return {re.sub(r"tfevents\.\d+", "tfevents", str(f)): f.read_bytes() for f in files}


class TestNothing:
    def test_a_trial_leaves_nothing(self, fit, tmp_path):
        trial = ["--trainer.fast_dev_run", "true"]
        fit("dcgan_digits", *trial)
        assert list(tmp_path.iterdir()) == []
        folder = fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2")
        before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
        fit("dcgan_digits", *trial, "--resume", "true")
        assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before

    def test_no_batches(self, fit, tmp_path, monkeypatch):
        for limit in (
            "--trainer.max_steps",
            "--trainer.max_epochs",
            "--trainer.limit_train_batches",
        ):
            with pytest.raises(SystemExit, match="nothing was trained"):
                fit("dcgan_digits", limit, "0")
        begin = GANModule.on_train_batch_start
        monkeypatch.setattr(GANModule, "on_train_batch_start", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit("dcgan_digits", *SHORT, "--resume", "true")
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr(GANModule, "on_train_batch_start", begin)
        fit("dcgan_digits", *SHORT, "--trainer.max_steps", "1")

    def test_what_is_refused_before_the_first_log_leaves_nothing(self, fit, tmp_path, monkeypatch):
        def refuse(*_):
            raise UserError("no")

        short = [*SHORT, "--trainer.max_steps", "9"]
        monkeypatch.setattr(GANModule, "on_train_batch_end", refuse)
        with pytest.raises(SystemExit, match="no"):
            fit("dcgan_digits", *short)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(SystemExit, match="no"):
            fit("dcgan_digits", *short, "--trainer.log_every_n_steps", "1")
        assert (tmp_path / "run" / "config.yaml").is_file()

    def test_an_epoch_of_which_no_batch_is_left(self, run, fit):
        """Nothing is trained, and all files stay unchanged, also if the clock was set back."""
        (events,) = run.glob("events.out.tfevents.*")
        _, second, rest = re.split(r"tfevents\.(\d+)", events.name)
        events.rename(run / f"events.out.tfevents.{int(second) + 1000}{rest}")
        before = contents(run)
        more = ["--data.init_args.batch_size", "1600", "--trainer.max_epochs", "1"]
        with pytest.raises(SystemExit, match="nothing was trained"):
            fit("dcgan_digits", *SHORT, "--resume", "true", *more)
        assert contents(run) == before

    def test_a_finished_run_is_left_as_it_is(self, run, fit, capsys, tmp_path):
        before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
        rate = ["--resume", "true", f"{MODEL}.generator_optimizer.init_args.lr", "1e-5"]
        fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2", *rate)
        assert "Nothing is left to train: " in capsys.readouterr().out
        with pytest.raises(SystemExit, match=r"after 2 batches \(128 images\).*max_steps is 1"):
            fit("dcgan_digits", *SHORT, "--trainer.max_steps", "1", *rate)
        other = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
        other += ["--trainer.default_root_dir", str(tmp_path / "other")]
        with pytest.raises(SystemExit, match=r"nothing is left to train.*Give more"):
            fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2", *other)
        assert not (tmp_path / "other").exists()
        assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


class TestClasses:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        noise = np.random.default_rng(0)
        for name in ("cat", "dog"):
            (tmp_path / "data" / name).mkdir(parents=True)
            for number in range(12):
                pixels = noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
        return tmp_path / "data"

    def options(self, folder: Path) -> list[str]:
        data = ["--data.init_args.root", str(folder), "--data.init_args.batch_size", "4"]
        return [*data, "--trainer.limit_val_batches", "0", "--trainer.max_steps"]

    def test_of_a_conditional_model(self, folder, fit, config, tmp_path):
        options = ["--config", config("data/folder"), *self.options(folder)]
        run = fit("acgan_cifar10", *options, "2")
        before = (run / "checkpoints" / "last.ckpt").read_bytes()
        checkpoint = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
        ways = {"fit": ["--resume", "true", "--trainer.default_root_dir", str(run)]}

        def refused(words: str, *more: str, command: str = "fit") -> None:
            given = ["--config", config("acgan_cifar10"), *options, "4", *more]
            with pytest.raises(SystemExit, match=words):
                cli.main([command, *given, *ways.get(command, checkpoint)])

        order = r'\["cat", "dog"\], but the data has \["dog", "cat"\].*Add --data.init_args.classes'
        for command in ("fit", "test"):
            refused(order, "--data.init_args.classes", "[dog, cat]", command=command)
        (folder / "cat").rename(folder / "tabby")
        refused(r'\["cat", "dog"\], but the data has \["dog", "tabby"\]')
        (folder / "tabby").rename(folder / "cat")
        shutil.copytree(folder / "dog", folder / "ant")
        refused(r'but the data has \["ant", "cat", "dog"\].*Add')
        assert (run / "checkpoints" / "last.ckpt").read_bytes() == before
        kept = ["--data.init_args.classes", '["cat", "dog"]', "--resume", "true"]
        fit("acgan_cifar10", *options, "3", *kept)
        assert last(run)["class_names"] == ["cat", "dog"]

    def test_of_a_model_that_does_not_know_them(self, folder, fit, capsys):
        options = ["--data", "datamodules.ImageFolder", *self.options(folder)]
        run = fit("dcgan_digits", *options, "2")
        (folder / "cat").rename(folder / "tabby")
        fit("dcgan_digits", *options, "3", "--resume", "true")
        assert (
            'classes ["cat", "dog"], but the data has ["dog", "tabby"]' in capsys.readouterr().out
        )
        assert last(run)["class_names"] == ["dog", "tabby"]


def test_a_checkpoint_that_is_not_resumed_is_said(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run's own comes first, wherever it began."""
    shutil.copytree(trained, tmp_path / "run")
    own = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    with caplog.at_level("INFO"):
        assert to_go_on_from(tmp_path / "run", own, resume=True) == own
        assert to_go_on_from(tmp_path / "run", None, resume=True) == own
        assert to_go_on_from(tmp_path / "run", "last", resume=True) == own
    assert not caplog.text
    for other in (str(trained / "checkpoints" / "last.ckpt"), "nowhere.ckpt"):
        with caplog.at_level("INFO"):
            assert to_go_on_from(tmp_path / "run", other, resume=True) == own
        assert f"--ckpt_path {other} began this run, or would; now it goes on" in caplog.text
