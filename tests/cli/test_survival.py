"""Runs that are killed, stopped, diverge or meet a full disk, and go on."""

import errno
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cli
from gan_modules import GANModule
from minmax.callbacks import WholeCheckpoints
from minmax.checkpoints.reading import read_checkpoint
from tests.cli.conftest import SMALL
from tests.cli.processes import Command
from tests.conftest import FLOAT32

ROOT = Path(__file__).parents[2]
TRICKS = [
    *("--model.init_args.game.label_flips", "LabelFlips"),
    *("--model.init_args.game.label_flips.probability", "0.1"),
    *("--model.init_args.augment", "InstanceNoise"),
    *("--model.init_args.augment.std", "0.1"),
]


def command(folder: Path, *options: str) -> list[str]:
    """A training of three epochs of 25 batches, saved after every five batches."""
    return [
        *("fit", "--config", "configs/dcgan_digits.yaml", *TRICKS, *SMALL, *FLOAT32),
        *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "3", "--quality.count", "100"),
        *("--quality.features", "pixels", "--trainer.check_val_every_n_epoch", "1"),
        *("--trainer.log_every_n_steps", "5", "--checkpoint_last.every_images", "320"),
        *("--trainer.default_root_dir", str(folder), "--resume", "true", *options),
    ]


def start(folder: Path, *options: str, **variables: str) -> Command:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MINMAX_CACHE": str(folder.parent)}
    return Command(command(folder, *options), environment | variables)


def start_ranks(folder: Path, *options: str) -> list[Command]:
    """As the command starts its ranks itself, but each with torch imported, which takes seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [start(folder, *options, **place, LOCAL_RANK=rank) for rank in "01"]


def wait_for_images(process: Command, folder: Path, images: int) -> None:
    """Wait for a whole checkpoint after that many images."""
    file, end = folder / "checkpoints" / "last.ckpt", time.monotonic() + 100
    while time.monotonic() < end and process.poll() is None:
        with suppress(FileNotFoundError):  # a moment between the moves of two files
            if load(file)["images_seen"] >= images:
                return
        time.sleep(0.02)
    pytest.fail(f"ended before {images} images were seen: {process.communicate()}")


def load(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def values(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All scalars except the speed."""
    events = EventAccumulator(str(folder)).Reload()
    names = [name for name in events.Tags()["scalars"] if not name.startswith("time/")]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def differences(one: object, other: object, path: str = "") -> list[str]:
    """Where two nested states differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [line for key in one for line in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for key, (a, b) in pairs for line in differences(a, b, f"{path}.{key}")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [path]


def interrupt(folder: Path, number: signal.Signals, images: int) -> str:
    """Send a signal after that many images, and check the run's end; return its output."""
    process = start(folder)
    wait_for_images(process, folder, images)
    process.send_signal(number)
    output, errors = process.communicate()
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return output
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    seen = load(folder / "checkpoints" / "last.ckpt")["images_seen"]
    assert images <= seen < 4800
    assert f"Stopped by {number.name} after {seen:,} images" in output
    assert output.strip().splitlines()[-1].startswith(f"Run: {folder}  Last checkpoint: {folder}")
    return output


def assert_same_end(folder: Path, uninterrupted: Path, images: int = 4800) -> None:
    ends = [load(run / "checkpoints" / "last.ckpt") for run in (folder, uninterrupted)]
    assert ends[1]["images_seen"] == images
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "images_seen", "global_step"):
        assert differences(ends[0][name], ends[1][name], name) == []
    assert values(folder) == values(uninterrupted)


def test_interrupted_again_and_again(tmp_path, monkeypatch):
    """The last signal comes from SLURM, whose command has a stand-in."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    whole = start(tmp_path / "whole")
    folder = tmp_path / "run"
    interrupt(folder, signal.SIGKILL, 320)
    interrupt(folder, signal.SIGTERM, 1280)
    interrupt(folder, signal.SIGINT, 2240)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    output = interrupt(folder, signal.SIGUSR1, 3200)
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"
    assert "SLURM job 77 is requeued." in output
    monkeypatch.delenv("SLURM_JOB_ID")
    for process in (whole, start(folder)):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert_same_end(folder, tmp_path / "whole")


def test_one_of_two_ranks_is_killed(tmp_path, monkeypatch):
    """The other ends within seconds, with one line; both can resume, with identical results."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # Lightning's ranks would have it, and others not
    options = ["--trainer.devices", "2", "--trainer.max_epochs", "2"]
    whole, folder = start_ranks(tmp_path / "whole", *options), tmp_path / "run"
    process = start(folder, *options)
    wait_for_images(process, folder, 768)
    children = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("error: another process of this training")
    for process in (*whole, *start_ranks(folder, *options)):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert_same_end(folder, tmp_path / "whole", images=2 * 12 * 128)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, fit):
    """First a bit of it has flipped; then both are cut off."""
    folder = tmp_path / "run"
    fit(
        *("dcgan_digits", "--trainer.max_steps", "10"),
        *("--checkpoint_last.every_images", "320"),
    )
    last, previous = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous"))
    assert (load(previous)["images_seen"], load(last)["images_seen"]) == (320, 640)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.warns(UserWarning, match=r"last.ckpt is passed over"):
        fit("dcgan_digits", "--trainer.max_steps", "12", "--resume", "true")
    assert load(last)["images_seen"] == 12 * 64
    for file in (last, previous):
        file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SystemExit, match=r"--resume: none of .* is whole"):
        fit("dcgan_digits", "--trainer.max_steps", "14", "--resume", "true")


class TestBits:
    """A disk or a copy may flip bits, which `torch.load` doesn't notice."""

    def test_one_that_flips_is_noticed(self, trained, tmp_path):
        """Unless nothing reads it: padding, or a name's length, which is stored twice."""
        original = trained / "checkpoints" / "last.ckpt"
        content, file = original.read_bytes(), tmp_path / "last.ckpt"
        held, random = load(original), np.random.default_rng(0)
        noticed = 0
        for position in random.integers(len(content), size=60).tolist():
            damaged = bytearray(content)
            damaged[position] ^= 1 << int(random.integers(8))
            file.write_bytes(damaged)
            try:
                assert differences(read_checkpoint(file), held) == []
            except ValueError as error:
                noticed += str(error).startswith(f"{file} is refused")
        assert noticed > 55

    def test_a_sector_of_zeros(self, trained, tmp_path):
        content = bytearray((trained / "checkpoints" / "last.ckpt").read_bytes())
        middle = len(content) // 2
        content[middle : middle + 4096] = bytes(4096)
        file = tmp_path / "last.ckpt"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"last.ckpt is damaged: the checksum"):
            WholeCheckpoints().load_checkpoint(file)
        with pytest.raises(SystemExit, match=r"last.ckpt is refused.*the checksum"):
            cli.main(["sample", "--checkpoint", str(file), "--output", str(tmp_path / "x.png")])


def test_the_last_checkpoint_by_name(fit):
    with pytest.raises(SystemExit, match="--ckpt_path last: there is no checkpoint"):
        fit("dcgan_digits", "--trainer.max_steps", "2", "--ckpt_path", "last")
    folder = fit("dcgan_digits", "--trainer.max_steps", "2")
    fit("dcgan_digits", "--trainer.max_steps", "4", "--ckpt_path", "last")
    assert load(folder / "checkpoints" / "last.ckpt")["images_seen"] == 4 * 64


def poison(monkeypatch: pytest.MonkeyPatch, *batches: int) -> None:
    """Make the latents of these batches not finite."""
    sample = GANModule.sample_latent

    def poisoned(self: GANModule, count: int) -> torch.Tensor:
        latent = sample(self, count)
        return latent * float("nan") if self.trainer.global_step + 1 in batches else latent

    monkeypatch.setattr(GANModule, "sample_latent", poisoned)


class TestDivergence:
    OPTIONS = (
        *("--data", "datamodules.Digits", "--data.init_args.batch_size", "8"),
        *("--trainer.log_every_n_steps", "5", "--checkpoint_last.every_images", "40"),
        *("--trainer.limit_val_batches", "0"),
    )

    @pytest.mark.parametrize("name", ["dcgan_digits", "wgan_gp_mnist"])
    def test_a_loss_that_is_not_finite(self, name, fit, monkeypatch):
        poison(monkeypatch, 7)
        with pytest.raises(SystemExit, match=r"finite since batch 7: .*--resume true") as caught:
            fit(name, *self.OPTIONS, "--trainer.max_steps", "20")
        assert re.match("error: loss(_class)?/", str(caught.value))

    def test_before_anything_was_saved(self, fit, monkeypatch, tmp_path):
        """The message doesn't send to a checkpoint that isn't there."""
        poison(monkeypatch, 2)
        with pytest.raises(SystemExit, match="Nothing was saved yet: ") as told:
            fit("dcgan_digits", *self.OPTIONS, "--trainer.max_steps", "20")
        assert "last.ckpt" not in str(told.value)
        assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()

    def test_the_run_returns_to_its_checkpoint(self, fit, monkeypatch):
        """Batches 7 and 12 are noticed with the logs of batches 10 and 15, just before saves."""
        poison(monkeypatch, 7, 12)
        scheduled = "--model.init_args.generator_schedule"
        options = [*self.OPTIONS, scheduled, "gan_modules.parts.OptimizerSchedule"]
        options += [f"{scheduled}.lr", "0.001", "--finite.returns", "2"]
        with pytest.warns(UserWarning, match=r"again those after 40 images, .*\(return 1 of 2\)"):
            folder = fit("dcgan_digits", *options, "--trainer.max_steps", "10")
        last, previous = (load(folder / "checkpoints" / f"{n}.ckpt") for n in ("last", "previous"))
        assert (previous["images_seen"], last["images_seen"]) == (40, 80)
        assert differences(last["state_dict"], previous["state_dict"]) == []
        rates = [state["param_groups"][0].pop("lr") for state in last["optimizer_states"]]
        before = [state["param_groups"][0].pop("lr") for state in previous["optimizer_states"]]
        assert rates == [rate / 2 for rate in before]
        assert differences(last["optimizer_states"], previous["optimizer_states"]) == []
        # The count of returns and the lower rates are in the checkpoint.
        options += ["--resume", "true"]
        fit("dcgan_digits", *options, "--trainer.max_steps", "11")
        resumed = load(folder / "checkpoints" / "last.ckpt")["optimizer_states"]
        assert [state["param_groups"][0]["lr"] for state in resumed] == rates
        with pytest.warns(UserWarning, match=r"after 88 images.*\(return 2 of 2\)"):
            fit("dcgan_digits", *options, "--trainer.max_steps", "16")
        last = load(folder / "checkpoints" / "last.ckpt")
        assert last["optimizer_states"][0]["param_groups"][0]["lr"] == before[0] / 4
        poison(monkeypatch, 18)
        with pytest.raises(SystemExit, match="finite since batch 18"):
            fit("dcgan_digits", *options, "--trainer.max_steps", "25")

    def test_a_save_between_logs_looks_first(self, fit, monkeypatch):
        poison(monkeypatch, 7)
        options = [*self.OPTIONS, "--trainer.log_every_n_steps", "50"]
        options += ["--finite.returns", "1"]
        with pytest.warns(UserWarning, match="again those after 40 images"):
            fit("dcgan_digits", *options, "--trainer.max_steps", "12")

    def test_a_validation_between_logs_looks_first(self, fit, monkeypatch):
        """Or the best checkpoint would be refused, and the run ended."""
        poison(monkeypatch, 7)
        options = [*self.OPTIONS, "--trainer.log_every_n_steps", "50", "--finite.returns", "1"]
        options += ["--trainer.limit_val_batches", "1", "--trainer.check_val_every_n_epoch", "null"]
        options += ["--trainer.val_check_interval", "8", "--checkpoint_last.every_images", "40"]
        options += ["--quality.features", "pixels", "--quality.count", "20"]
        with pytest.warns(UserWarning, match="again those after 40 images"):
            fit("dcgan_digits", *options, "--trainer.max_steps", "9")

    def test_it_returns_to_its_beginning(self, fit, monkeypatch, tmp_path):
        """Also where that is another run's checkpoint."""
        poison(monkeypatch, 2)
        options = [*self.OPTIONS, "--finite.returns", "2", "--trainer.max_steps"]
        with pytest.warns(UserWarning, match=r"those after 0 images, .*\(return 1 of 2\)"):
            folder = fit("dcgan_digits", *options, "5")
        last = folder / "checkpoints" / "last.ckpt"
        assert load(last)["images_seen"] == 40
        poison(monkeypatch, 7)
        options += ["8", "--checkpoint_last.every_images", "400", "--ckpt_path", str(last)]
        with pytest.warns(UserWarning, match=r"those after 40 images, .*\(return 2 of 2\)"):
            fit("dcgan_digits", *options, "--trainer.default_root_dir", str(tmp_path / "other"))

    def test_rates_that_no_return_makes_up_for(self, fit):
        rates = [
            part
            for network in ("generator", "discriminator")
            for part in (f"--model.init_args.{network}_optimizer.init_args.lr", "1e15")
        ]
        options = [*self.OPTIONS, *rates, "--finite.returns", "3", "--trainer.max_steps", "500"]
        with (
            pytest.warns(UserWarning, match=r"return 3 of 3"),
            pytest.raises(SystemExit, match=r"error: .* finite .*batch \d+: the training"),
        ):
            fit("dcgan_digits", *options)

    def test_gradients_whose_squares_are_infinite(self, fit, monkeypatch):
        """Losses and weights stay finite, but the weights no longer change."""
        step = torch.optim.Adam.step

        def large(self: torch.optim.Adam, closure: object = None) -> object:
            if GANModule.begun == 6:
                self.param_groups[0]["params"][0].grad.fill_(1e30)
            return step(self, closure)

        begin = GANModule.on_train_batch_start

        def counted(self: GANModule, batch: object, batch_idx: int) -> None:
            begin(self, batch, batch_idx)
            GANModule.begun = self.trainer.global_step + 1

        monkeypatch.setattr(GANModule, "begun", 0, raising=False)
        monkeypatch.setattr(GANModule, "on_train_batch_start", counted)
        monkeypatch.setattr(torch.optim.Adam, "step", large)
        name = r"exp_avg_sq of weight 0 in optimizer 0 is not finite after batch 10"
        with pytest.raises(SystemExit, match=name):
            fit("dcgan_digits", *self.OPTIONS, "--trainer.max_steps", "20")

    def test_weights_that_are_not_finite_are_not_saved(self, tmp_path):
        file = tmp_path / "last.ckpt"
        weights, average = torch.ones(3), torch.ones(3)
        checkpoint = {
            "state_dict": {"generator.weight": weights},
            "optimizer_states": [{"state": {0: {"exp_avg": average}}}],
            "images_seen": 64,
        }
        WholeCheckpoints().save_checkpoint(checkpoint, file)
        good = file.read_bytes()
        average[0] = torch.nan
        with pytest.raises(ValueError, match=r"exp_avg of weight 0 .* not finite after 64 images"):
            WholeCheckpoints().save_checkpoint(checkpoint, file)
        weights[1] = torch.inf
        with pytest.raises(ValueError, match=r"generator\.weight is not finite after 64 images"):
            WholeCheckpoints().save_checkpoint(checkpoint, file)
        assert file.read_bytes() == good
        assert list(tmp_path.iterdir()) == [file]


def test_beside_the_users_own_logger_plugins_and_callbacks(fit, monkeypatch, tmp_path):
    """Checkpoints are whole and in the run's folder, and signals are heard."""
    begin = GANModule.on_train_batch_start

    def interrupted(self: GANModule, batch: object, batch_idx: int) -> None:
        begin(self, batch, batch_idx)
        if self.trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(GANModule, "on_train_batch_start", interrupted)
    logs = tmp_path / "logs"
    options = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", str(logs)]
    options += ["--trainer.plugins", "lightning.fabric.plugins.environments.LightningEnvironment"]
    options += [
        "--trainer.callbacks+",
        "LearningRateMonitor",
        "--checkpoint_last.every_images",
        "64",
    ]
    with pytest.raises(SystemExit) as stopped:
        fit("dcgan_digits", *options, "--trainer.max_steps", "9")
    assert stopped.value.code == 128 + signal.SIGTERM
    checkpoints = tmp_path / "run" / "checkpoints"
    assert load(checkpoints / "last.ckpt")["images_seen"] == 4 * 64
    assert load(checkpoints / "previous.ckpt")["images_seen"] == 3 * 64
    assert list(logs.rglob("metrics.csv"))


class TestDisk:
    def test_a_full_one_loses_nothing(self, fit, monkeypatch, tmp_path):
        def full(descriptor: int) -> None:
            if ".ckpt" in os.readlink(f"/proc/self/fd/{descriptor}"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        folder = fit("dcgan_digits", "--trainer.max_steps", "2")
        file = folder / "checkpoints" / "last.ckpt"
        before = file.read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SystemExit, match=r"last.ckpt can't be written .*No space left.*resume"):
            fit("dcgan_digits", "--trainer.max_steps", "4", "--resume", "true")
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]

    def test_content_and_names_are_on_it_before_the_next_batch(self, monkeypatch, tmp_path):
        synchronised, fsync = [], os.fsync

        def noted(descriptor: int) -> None:
            synchronised.append(Path(f"/dev/fd/{descriptor}").resolve())
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", noted)
        checkpoint = {"state_dict": {"weight": torch.ones(2)}, "optimizer_states": []}
        WholeCheckpoints().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
        assert synchronised[0].name == "last.ckpt"
        assert synchronised[0].parent.parent == synchronised[1] == tmp_path

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_torchs_writer_on_a_full_one(self, monkeypatch, tmp_path):
        def full(**options: object) -> str:
            folder = mkdtemp(**options)
            Path(folder, "last.ckpt").symlink_to("/dev/full")
            return folder

        mkdtemp = tempfile.mkdtemp
        monkeypatch.setattr(tempfile, "mkdtemp", full)
        checkpoint = {
            "state_dict": {"weight": torch.ones(10**6)},
            "optimizer_states": [],
            "images_seen": 64,
        }
        with pytest.raises(ValueError, match=r"last.ckpt can't be written.*--resume true"):
            WholeCheckpoints().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
        assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_would_be_done(fit, capsys, tmp_path):
    fit("dcgan_digits", "--dry_run", "true", "--trainer.devices", "2", "--trainer.max_steps", "40")
    plan = dict(re.findall(r"^(\w+)  +(.*)$", capsys.readouterr().out, re.MULTILINE))
    assert plan["devices"].startswith("2 x cpu on 1 node(s)")
    assert plan["batch"] == "64 images a device, 128 in all"
    assert plan["epoch"] == "12 batches, 1,536 of 1,618 images"
    assert plan["training"] == "40 batches, 5,120 images"
    assert plan["work"].startswith("1.6 MFLOP an image, 205 MFLOP a batch, 8.22 GFLOP in all")
    assert plan["parameters"].startswith("generator 34,857, discriminator ")
    assert plan["run"] == f"{tmp_path / 'run'}, from the start"
    assert list(tmp_path.iterdir()) == []
