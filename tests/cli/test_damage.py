"""Damaged files of a run are named, and skipped where possible; the others are read."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning  # noqa: F401  (its log keeps the first error stream that it sees)
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

import cli
from minmax.errors import UserError
from minmax.run_config import OPENING, read_run_config
from minmax.scalars import read_scalars
from minmax.studying.runs import Run
from tests.cli.test_report import make_run, report

SHORT = (
    *("--trainer.limit_val_batches", "0", "--trainer.log_every_n_steps", "1"),
    *("--data", "datamodules.Digits", "--data.init_args.batch_size", "8"),
)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: b"\xff\xfe\x00 no more" * 200,
}
READ = ("pictures/fake_last.png", "pictures/real.png", "metrics.json", "config.yaml")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_report_names_what_is_damaged_and_goes_on(damage: str, tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "run"), make_run(tmp_path / "other")
    (run / "pictures" / "fake_12b.png").write_bytes(b"of somebody else")
    events = next(run.glob("events*"))
    for file in (*(run / name for name in READ), events):
        file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.warns(UserWarning, match="left out") as warned:
        page = report(run, other, output=tmp_path / "page.html")
    told = "\n".join(str(warning.message) for warning in warned)
    for name in READ if damage != "half" else READ[:3]:  # half of a config may still be YAML
        assert str(run / name) in told
    assert damage == "empty" or str(events) in told
    assert str(other) not in told.replace(str(other / "page.html"), "")
    assert [row[:2] for row in page.rows[1:3]] == [["other", "1"], ["run", "0"]]
    assert "after 640 images" in page.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_other_commands_name_what_is_damaged(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    for name, command in (
        (next(run.glob("events*")).name, ["curves", str(run), "--output", str(tmp_path / "x.png")]),
        ("metrics.json", ["compare", str(run)]),
        ("study.yaml", ["report", str(run)]),
    ):
        file = run / name
        content = file.read_bytes() if file.is_file() else b"variants: {a: {}, b: {}}\nseeds: [1]\n"
        file.write_bytes(DAMAGE[damage](content))
        try:
            with pytest.warns(UserWarning, match="is damaged after|"):
                cli.main(command)
        except SystemExit as error:
            message = str(error.code)
            assert message.startswith("error: ")
            assert str(run if name.startswith("events") else file) in message
        file.write_bytes(content)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["trainer:", "trainer: {default_root_dir: 5}", "[trainer]"])
def test_a_configuration_that_holds_other_things(text: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "config.yaml").write_text(f"{OPENING}2.5\n{text}\n")
    with pytest.raises(UserError, match=r"config\.yaml is damaged: its trainer and default_root"):
        read_run_config(tmp_path / "config.yaml")


def test_scores_of_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "metrics.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"metrics\.json is damaged: delete it"):
        cli.main(["compare", str(run)])


def test_a_study_tests_a_run_again_whose_scores_are_damaged(tmp_path: Path) -> None:
    run = Run("base", 0, make_run(tmp_path / "run"), ())
    assert run.state == "done"
    (run.folder / "metrics.json").write_text('{"last": {')
    with pytest.warns(UserWarning, match=r"metrics\.json is damaged.*tested again"):
        assert run.state == "begun"


def test_what_has_no_number_is_shown_as_a_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in files that hold NaN or Infinity."""
    run = make_run(tmp_path / "run")
    text = (
        (run / "metrics.json")
        .read_text()
        .replace('"recall_pixels": 0.01', '"is_pixels": NaN, "density_pixels": null')
    )
    (run / "metrics.json").write_text(text.replace("9.0", "-Infinity"))
    cli.main(["compare", str(run), "--format", "csv"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "run,best,1,-,-",
        "run,last,1,-,-",
        "noise,reference,-,-,-",
    ]
    assert report(run, output=tmp_path / "page.html").rows[1] == ["run", "1", "1", "-", "-"]


def test_names_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    reports = json.loads((run / "metrics.json").read_text())
    for held in reports.values():
        held["classes"] = {"caf\udce9": {"fid_pixels": 1.0}}
        held["protocol"]["class_names"] = ["caf\udce9"]
    (run / "metrics.json").write_text(json.dumps(reports))
    assert "caf\\udce9" in report(run, output=tmp_path / "page.html").text
    named = shutil.copytree(run, tmp_path / "a|b*c`<i>_")
    cli.main(["compare", str(named), "--format", "markdown"])
    assert r"| a\|b\*c\`\<i\>\_ | last |" in capsys.readouterr().out


class TestClock:
    def test_a_clock_that_is_set_back_loses_no_row(
        self, fit: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time
        for steps, days in ((2, 0), (4, 9)):
            monkeypatch.setattr(time, "time", lambda days=days: now() - days * 86_400)
            options = ("--trainer.max_steps", str(steps), "--resume", "true")
            folder = fit("dcgan_digits", *SHORT, *options)
        images, values = read_scalars(folder)["loss/generator"]
        assert images == [8 * step for step in range(1, 5)]
        events = EventAccumulator(str(folder)).Reload().Scalars("loss/generator")
        assert [event.step for event in events] == images
        assert [event.value for event in events] == values

    @pytest.mark.parametrize("names", ["012", "210", "120", "000"])
    def test_files_that_do_not_know_their_start(self, names: str, tmp_path: Path) -> None:
        """Three starts: the second replaces 6 to 9, the third 8 to 12, with steps of two."""
        for start, steps in enumerate((range(10), range(6, 13), range(8, 20, 2))):
            place = tmp_path / f"{start}"
            with SummaryWriter(str(place), purge_step=steps[0] or None) as writer:
                for step in steps:
                    writer.add_scalar("loss", start, step)
            name = f"events.out.tfevents.{names[start]}.host.{2 - start}"
            next(place.iterdir()).rename(tmp_path / name)
        images, values = read_scalars(tmp_path)["loss"]
        assert images == [*range(8), *range(8, 20, 2)]
        assert values == [0.0] * 6 + [1.0] * 2 + [2.0] * 6


class TestDisk:
    @pytest.mark.parametrize(
        ("when", "error", "remedy"),
        [
            (1, OSError(28, "No space left on device"), "Make room there"),
            (12, OSError(28, "No space left on device"), "Make room there"),
            (12, FileNotFoundError(2, "No such file or directory"), r"\S+run was moved or removed"),
        ],
    )
    def test_events_on_a_full_one_or_in_a_folder_that_is_gone(
        self,
        when: int,
        error: OSError,
        remedy: str,
        fit: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        original, written = RecordWriter.write, []

        def full(writer: RecordWriter, data: bytes) -> None:
            written.append(1)
            if len(written) >= when:
                raise error
            original(writer, data)

        monkeypatch.setattr(RecordWriter, "write", full)
        with pytest.raises(
            SystemExit, match=rf"^error: .*run/events\S+ can't be written \(No .*\. {remedy}"
        ):
            fit("dcgan_digits", *SHORT, "--trainer.max_steps", "6")
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize("name", ["config.yaml", "hparams.yaml"])
    def test_other_files_of_a_run(
        self, name: str, fit: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        original = os.replace

        def full(part: Any, place: Any) -> None:
            if Path(place).name == name:
                raise OSError(28, "No space left on device")
            original(part, place)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(SystemExit, match=rf"^error: .*{name} can't be written \(No space"):
            fit("dcgan_digits", *SHORT, "--trainer.max_steps", "2")
        assert not [path for path in tmp_path.rglob("*") if path.name in (name, ".part-")]


def test_scores_of_images_that_are_all_the_same(fit: Callable[..., Path], tmp_path: Path) -> None:
    for index in range(60):
        place = tmp_path / "data" / "cat" / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), "teal").save(place)
    data = ("--data", "ImageFolder", "--data.init_args.root", str(tmp_path / "data"))
    options = ("--data.init_args.batch_size", "8", "--quality.count", "20")
    folder = fit("dcgan_digits", *data, *options, "--trainer.max_steps", "2")
    cli.main(["test", "--config", str(folder / "config.yaml")])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    held = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)["last"]
    assert held["scores"].keys() == {"fid_pixels", "kid_pixels"}
    assert held["references"]["training images"]["fid_pixels"] == pytest.approx(0, abs=1e-6)
    cli.main(["compare", str(folder)])


class TestCheckpointsNames:
    def test_numbers_stand_for_names_that_do_not_fit(
        self, conditional: Path, tmp_path: Path
    ) -> None:
        checkpoint = torch.load(conditional, weights_only=True) | {"class_names": ["one"]}
        torch.save(checkpoint, tmp_path / "last.ckpt")
        arguments = ["--checkpoint", str(tmp_path / "last.ckpt"), "--output"]
        with pytest.warns(UserWarning, match=r"last\.ckpt has 1 names for 10 classes"):
            cli.main(["sample", *arguments, str(tmp_path / "folder"), "--count", "10"])
        drawn = sorted(path.name for path in (tmp_path / "folder").iterdir())
        assert drawn == [f"{number:06d}_{number}.png" for number in range(10)]

    @pytest.fixture(scope="class")
    def conditional(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("conditional")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(Path(cli.__file__).parent)
            patch.setattr("sys.argv", ["cli.py"])
            options = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "1", *SHORT]
            place = ["--trainer.default_root_dir", str(folder)]
            cli.main(["fit", "--config", "configs/acgan_mnist.yaml", *options, *place])
        return folder / "checkpoints" / "last.ckpt"
