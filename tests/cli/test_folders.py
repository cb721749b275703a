"""A user's own folders: a command says what it found, or refuses them in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import cli

DATA = "--data.init_args"
Say = Callable[..., str]


def draw(folder: Path, count: int) -> None:
    """Different images: the number is a colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, len(folder.name), 99)).save(folder / f"{number:03}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of images."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def say(
    root: Path,
    config: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Say:
    """What a command prints about the folder, or the line that refuses it."""
    monkeypatch.setattr("sys.argv", ["cli.py"])

    def run(*arguments: str, command: str = "fit", name: str = "dcgan_digits") -> str:
        given = [command, "--config", config(name), "--data", "ImageFolder"]
        given += [f"{DATA}.root", str(root), f"{DATA}.batch_size", "2", "--quality.count", "20"]
        given += ["--trainer.default_root_dir", str(root.parent / "run"), "--trainer.max_steps"]
        given += ["1", "--trainer.accelerator", "cpu", "--quality.features", "pixels", *arguments]
        try:
            cli.main(given)
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return run


DRY = ("--dry_run", "true", "--trainer.limit_val_batches", "0")


def test_splits_by_other_names(root: Path, say: Say) -> None:
    draw(root / "Train" / "cat", 4)
    draw(root / "Train" / "dog", 5)
    draw(root / "Test" / "cat", 3)
    counts = "9 training + 3 held-out images, by class: cat 4 + 3, dog 5 + 0\n"
    assert f"data        {counts}" in say(*DRY)
    assert f"Data: {counts}" in say("--trainer.limit_val_batches", "0")
    held = torch.load(root.parent / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["class_names"] == ["cat", "dog"]


def test_a_class_beside_a_split(root: Path, say: Say) -> None:
    for name in ("cat", "dog", "TEST"):
        draw(root / name, 4)
    refused = say(*DRY)
    assert "which holds TEST beside cat, dog" in refused
    assert """--data.init_args.classes '["TEST", "cat", "dog"]'""" in refused
    said = say(*DRY, f"{DATA}.classes", '["cat", "TEST"]')
    assert "7 training + 1 held-out images, by class: cat 4 + 0, TEST 3 + 1\n" in said


def test_many_classes_are_a_short_line(root: Path, say: Say) -> None:
    for number in range(60):
        draw(root / f"{'long' * 50}{number:02}", 1)
    (line,) = (line for line in say(*DRY).splitlines() if line.startswith("data"))
    assert "60 training + 0 held-out images" in line
    assert "and 40 more (each 1 to 1 + 0 to 0)" in line
    assert len(line) < 2000


def test_names_that_yaml_reads_otherwise(root: Path, say: Say) -> None:
    """On the command line, in a file, in the run's own config, and in its checkpoint."""
    for name in ("yes", "no", "1e3"):
        draw(root / name, 20)
    options = root.parent / "options.yaml"
    options.write_text("data:\n  init_args:\n    classes: [no, 1e3]\n")
    assert ": no 20 + 0, 1e3 19 + 1\n" in say("--config", str(options), *DRY)
    say(f"{DATA}.classes", '[yes, "no"]')
    run = root.parent / "run"
    cli.main(["test", "--config", str(run / "config.yaml")])
    cli.main(
        [
            "fit",
            "--config",
            str(run / "config.yaml"),
            "--resume",
            "true",
            "--trainer.max_steps",
            "2",
        ]
    )
    held = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["class_names"] == ["yes", "no"]
    draw(root / "on", 2)
    assert "holds True, as YAML reads what was written, and this can be on, yes: quote" in say(
        f"{DATA}.classes", "[yes, no]"
    )


def test_links_add_no_images(root: Path, say: Say) -> None:
    draw(root / "cat", 30)
    draw(root / "dog", 30)
    (root / "cat" / "up").symlink_to("..")
    (root / "dog" / "cat").symlink_to("../cat")
    assert ": cat 29 + 1, dog 29 + 1\n" in say(*DRY)


@pytest.mark.parametrize(
    ("count", "refused"),
    [
        (1, "--data.init_args.batch_size is 2 on 1 process(es), but there are only 1 training"),
        (2, "give at most 1, or add images"),
        (3, "scores need at least 2 held-out images, and this data has 1: add images"),
        (10, "--trainer.limit_val_batches 0"),
    ],
)
def test_few_images(count: int, refused: str, root: Path, say: Say) -> None:
    draw(root, count)
    assert refused in say("--dry_run", "true")
    if count == 10:
        assert refused in say()
    assert not (root.parent / "run").exists()


def test_few_images_are_trained_on_without_scores_but_not_tested(root: Path, say: Say) -> None:
    draw(root, 3)
    say("--trainer.limit_val_batches", "0")
    checkpoint = root.parent / "run" / "checkpoints" / "last.ckpt"
    refused = say("--ckpt_path", str(checkpoint), command="test")
    assert "scores need at least 2 held-out images, and this data has 1" in refused


def test_what_is_left_out_is_said(root: Path, say: Say, caplog: pytest.LogCaptureFixture) -> None:
    draw(root / "\033[31mcat", 4)
    draw(root / "\033[31mcat" / "@eaDir", 4)
    os.mkfifo(root / "\033[31mcat" / "pipe.png")
    (root / "notes.txt").touch()
    caplog.set_level("INFO")
    said = say(*DRY)
    (line,) = (message for message in caplog.messages if message.startswith("Left out"))
    assert "of the system: 1 (@eaDir)" in line
    assert "pipes, sockets and devices: 1 (\\x1b[31mcat/pipe.png)" in line
    assert "other files: 1 (.txt)" in line
    assert "by class: \\x1b[31mcat 3 + 1\n" in said
    assert "\033" not in said + line


def test_all_broken_files_in_one_line(root: Path, say: Say) -> None:
    draw(root / "train", 30)
    draw(root / "val", 3)
    broken = [root / "train" / f"{number:03}.png" for number in range(24)]
    for file in [*broken, root / "val" / "000.png", root / "train" / "\033[2J.png"]:
        file.write_bytes(b"\x89PNG")
    refused = say("--trainer.limit_val_batches", "0")
    assert refused.startswith("error: 26 image files: ")
    assert "\\x1b[2J.png" in refused
    assert "\033" not in refused
    assert refused.count("can't be read") == 1, "they share their reason"
    assert refused.count(".png") == 20
    assert "and 6 more can't be read" in refused
    for file in root.glob("train/*.png"):
        Image.new("RGB", (8, 8)).save(file)
    assert "Image file" in (refused := say())
    assert "val/000.png can't be read" in refused
    assert not (root.parent / "run").exists()
