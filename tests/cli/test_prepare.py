"""The command `prepare`: it makes prepared sets, lists, checks and deletes them."""

from pathlib import Path

import pytest
from PIL import Image

import cli


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for number in range(20):
        Image.effect_noise((9, 9), 50).save(tmp_path / "data" / f"{number}.png")
    return tmp_path / "data"


def test_a_set_from_its_making_to_its_end(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = tmp_path / "sets"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model: GAN\ndata:\n  class_path: ImageFolder\n  init_args: {{root: {root}}}"
    )
    options = ["--data.init_args.image_size", "8", f"--data.init_args.prepared={sets}"]
    for _ in range(2):
        cli.main(["prepare", *options, "--config", str(config)])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert "training images of 8x8x3" in lines[0]
        assert "held-out images of 8x8x3" in lines[1]
    names = sorted(home.name for home in sets.iterdir())
    assert len(names) == 2

    (sets / f"{names[0][:-3]}abc.part").mkdir()
    cli.main(["prepare", "--list", "--folder", str(sets)])
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    assert "is unfinished" in shown
    assert "3 prepared set(s)" in shown

    cli.main(["prepare", "--check", *names, "--folder", str(sets)])
    with (sets / names[1] / "images.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    with pytest.raises(SystemExit, match=rf"1 set.* `prepare --delete {names[1]}`"):
        cli.main(["prepare", "--check", *names, "--folder", str(sets)])
    assert f"{names[1]}  is damaged" in capsys.readouterr().out

    (sets / names[0] / "labels.npy").write_bytes(b"")
    with pytest.raises(SystemExit, match=rf"1 set.* `prepare --delete {names[0]}`"):
        cli.main(["prepare", "--check", names[0], "--folder", str(sets)])
    assert "the labels in" in capsys.readouterr().out

    with pytest.raises(SystemExit, match=r"no prepared set \.\./data in"):
        cli.main(["prepare", "--delete", "../data", "--folder", str(sets)])
    cli.main(["prepare", "--delete", *names, "--folder", str(sets)])
    assert [home.suffix for home in sets.iterdir()] == [".part"]
    assert root.is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the data"),
        (["--data", "Digits"], "Digits needs no decoding"),
        (["--data", "ImageFolder", "--data.init_args.root", "nowhere"], "--data.init_args.root is"),
        (["--list", "--data", "Digits"], "--data can't be given with --list"),
        (["--folder", "x", "--data", "Digits"], "--data.init_args.prepared"),
        (["--data", "ImageFolder", "--data.init_args.rot", "x"], "Did you mean root"),
        (["--data", "os.system"], "refused"),
    ],
)
def test_wrong_options_are_refused_in_a_line(arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        cli.main(["prepare", *arguments])
