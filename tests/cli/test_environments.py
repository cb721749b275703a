"""Trainings in threads, in clusters and under a parent that ends; tuples among the options."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

import cli
from gan_modules import GANModule
from minmax.checkpoints.reading import load_model
from minmax.generation import writing
from minmax.parent import NAME

ROOT = Path(__file__).parents[2]
SLURM = {
    **{"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "5", "SLURM_PROCID": "0"},
    **{"SLURM_NODELIST": "n1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
}
TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9", "TORCHELASTIC_USE_AGENT_STORE": "True"},
}
LIGHTNING = "lightning.fabric.plugins.environments.LightningEnvironment"
BRIEF = ("--trainer.max_steps", "2", "--trainer.limit_val_batches", "0")


def images_of(folder: Path) -> int:
    file = folder / "checkpoints" / "last.ckpt"
    return int(torch.load(file, weights_only=True)["images_seen"])


def test_in_a_thread(fit):
    """It trains, and warns that it receives no signals; its processes would know their parent."""
    folders, parents = [], []
    begin = GANModule.on_train_start

    def note(self: GANModule) -> None:
        begin(self)
        parents.append(os.environ[NAME])

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GANModule, "on_train_start", note)
            folders.append(fit("dcgan_digits", *BRIEF))

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.warns(UserWarning, match="main thread.* will not save it"):
        thread.join()
    assert images_of(folders[0]) == 2 * 64
    assert parents == [str(os.getpid())]
    assert NAME not in os.environ


@pytest.mark.parametrize("plugin", [(), ("--trainer.plugins", LIGHTNING)])
def test_slurms_variables_without_srun(plugin, fit, monkeypatch, capsys):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    folder = fit("dcgan_digits", *BRIEF, *plugin)
    assert images_of(folder) == 2 * 64
    said = "This SLURM job has 4 tasks, but srun did not start this one"
    assert (said in capsys.readouterr().out) == (plugin == ())


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        (SLURM, ("--trainer.num_nodes", "2"), "num_nodes 2 .*put srun before"),
        (SLURM | {"SLURM_STEP_ID": "0"}, (), "--ntasks-per-node=4"),
        (
            SLURM | {"SLURM_STEP_ID": "0", "SLURM_NTASKS_PER_NODE": "4"},
            (),
            "devices=4",
        ),
        (TORCHRUN, ("--trainer.devices", "4"), "no torchrun answers at 127.0.0.1:9 "),
        ({"TORCHELASTIC_RUN_ID": "none"}, (), "RANK is not: start the training with torchrun"),
        (TORCHRUN | {"MASTER_PORT": "x"}, (), "variable MASTER_PORT is 'x', which is no number"),
        ({"SLURM_NTASKS": ""}, (), "variable SLURM_NTASKS is '', which is no number: unset it"),
        ({"LOCAL_RANK": "x"}, (), "variable LOCAL_RANK is 'x', which is no number"),
        ({}, ("--trainer.plugins", LIGHTNING.replace("Lightning", "SLURM")), "'SLURM_NTASKS'"),
    ],
)
def test_variables_of_what_is_not_there(variables, options, message, fit, monkeypatch, tmp_path):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=message):
        fit("dcgan_digits", *BRIEF, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_left_in_the_environment(fit, monkeypatch):
    """Ranks other than the first log and draw nothing."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    folder = fit("dcgan_digits", *BRIEF)
    assert (folder / "pictures" / "fake_last.png").is_file()
    assert list(folder.glob("events.out.tfevents*"))


def test_float64_from_training_to_samples(fit, tmp_path):
    options = ("--trainer.precision", "64-true", "--quality.count", "50")
    folder = fit("dcgan_digits", *BRIEF, *options)
    last = folder / "checkpoints" / "last.ckpt"
    weights = torch.load(last, weights_only=True)["state_dict"].values()
    assert {value.dtype for value in weights if value.is_floating_point()} == {torch.float64}
    cli.main(["test", "--config", str(folder / "config.yaml")])
    cli.main(["sample", "--checkpoint", str(last), "--output", str(tmp_path / "grid.png")])
    assert next(load_model(last)[0].parameters()).dtype == torch.float32


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("text", ["(0.5, 0.9)", "[0.5, 0.9]", "!!python/tuple [0.5, 0.9]"])
def test_tuples(text, config, capsys, monkeypatch, tmp_path):
    """On the command line, and in a config with and without quotes."""
    monkeypatch.setattr("sys.argv", ["cli.py"])
    content = Path(config("dcgan_digits")).read_text()
    assert "betas: [0.5, 0.999]" in content
    (tmp_path / "c.yaml").write_text(content.replace("[0.5, 0.999]", text, 1))
    option = "--model.init_args.discriminator_optimizer.init_args.betas"
    with pytest.raises(SystemExit):
        cli.main(["fit", "--config", str(tmp_path / "c.yaml"), option, text, "--print_config"])
    assert capsys.readouterr().out.count("betas:\n        - 0.5\n        - 0.9\n") == 2


CHILD = "import minmax, time; print('child', flush=True); time.sleep(60)"
PARENT = f"""
import subprocess, sys
from minmax.parent import children_follow
with children_follow():
    subprocess.run([sys.executable, "-c", {CHILD!r}])
"""


def test_a_process_ends_with_its_parent():
    """At any time: the watch begins with the first import of the package."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "child\n"
        parent.send_signal(signal.SIGKILL)
        start = time.monotonic()
        parent.stdout.read()  # until the child too has closed it
        assert time.monotonic() - start < 10


def test_processes_that_draw_follow(trained, tmp_path, monkeypatch):
    begun = []

    def spawn(*_: object, nprocs: int) -> None:
        begun.append((nprocs, os.environ.get(NAME)))

    monkeypatch.setattr(writing, "spawn", spawn)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    last = trained / "checkpoints" / "last.ckpt"
    given = ["sample", "--checkpoint", str(last), "--count", "60", "--batch-size", "25"]
    cli.main([*given, "--output", str(tmp_path / "images"), "--devices", "100000"])
    assert begun == [(3, str(os.getpid()))], "more processes than batches"
