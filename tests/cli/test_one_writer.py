"""A folder in which one process trains is left alone by all others."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch

from minmax import lock
from minmax.reporting.metrics_file import write_report
from minmax.training.command_line import GANCLI

FEW = ("--trainer.max_steps", "2", "--trainer.limit_val_batches", "0")


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(f): f.read_bytes() if f.is_file() else None for f in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("options", [(), ("--resume", "true"), ("--ckpt_path", "last")])
def test_a_second_training_in_a_folder(options, trained, tmp_path, fit):
    """It ends with one line and changes nothing, with or without `--resume`."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    with lock.locked(folder / lock.NAME):
        before = contents(folder)
        line = (
            rf"^error: {folder} is in other hands: another process \(pid {os.getpid()} on [^\n]*$"
        )
        with pytest.raises(SystemExit, match=line):
            fit("dcgan_digits", *FEW, *options)
        assert contents(folder) == before


def test_a_dry_run_says_so(tmp_path, fit, capsys):
    with lock.locked(tmp_path / "run" / lock.NAME):
        fit("dcgan_digits", *FEW, "--dry_run", "true")
    assert f"in other hands: another process (pid {os.getpid()} on" in capsys.readouterr().out


def test_a_folder_that_can_not_be_made(tmp_path, fit):
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "run")
    with pytest.raises(SystemExit, match=f"default_root_dir {place} can't be written .Not a dir"):
        fit("dcgan_digits", *FEW, "--trainer.default_root_dir", place)


def test_no_lock_is_left(trained):
    assert lock.NAME not in [file.name for file in trained.iterdir()]


def test_a_lock_that_is_handed_on(tmp_path, fit, monkeypatch):
    file = tmp_path / "run" / lock.NAME
    with lock.locked(file) as held:
        monkeypatch.setenv(lock.INHERITED, str(os.dup(held.descriptor)))
        fit("dcgan_digits", *FEW)
        assert lock.owner(file) is not None
    assert (file.parent / "checkpoints" / "last.ckpt").is_file()


def test_another_training_ended_while_this_one_started(fit, monkeypatch):
    """It would resume a checkpoint that is no longer the newest."""
    folder = fit("dcgan_digits", *FEW)
    last = folder / "checkpoints" / "last.ckpt"
    instantiate = GANCLI.instantiate_trainer

    def meanwhile(self: GANCLI, **arguments: object) -> object:
        torch.save(torch.load(last, weights_only=True) | {"images_seen": 640}, last)
        return instantiate(self, **arguments)

    monkeypatch.setattr(GANCLI, "instantiate_trainer", meanwhile)
    with pytest.raises(SystemExit, match="was trained by another process while this one started"):
        fit("dcgan_digits", *FEW[:1], "4", *FEW[2:], "--resume", "true")
    assert torch.load(last, weights_only=True)["images_seen"] == 640


def test_two_tests_of_a_run(tmp_path):
    """Each keeps what the other has written meanwhile."""
    report = {"scores": {}, "references": {}, "protocol": {}}
    files = [tmp_path / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    with lock.locked(tmp_path / ".metrics.lock"):
        threads = [threading.Thread(target=write_report, args=[file, report]) for file in files]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert not (tmp_path / "metrics.json").exists()
        (tmp_path / "metrics.json").write_text(json.dumps({"other": report}))
    for thread in threads:
        thread.join(20)
    assert json.loads((tmp_path / "metrics.json").read_text()).keys() == {"other", "best", "last"}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
