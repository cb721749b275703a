"""The heads of configs/ state measured results, and their commands use different run folders."""

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli
import datamodules
from datamodules import ImageDataModule

ROOT = Path(__file__).parents[1]
COMPLETE = sorted((ROOT / "configs").glob("*.yaml"))
DATA = sorted((ROOT / "configs" / "data").glob("*.yaml"))
RESULTS = (ROOT / "docs" / "results.md").read_text()
MODES = (ROOT / "docs" / "modes.md").read_text()
NOT_MEASURED = "not measured"
FIGURE = re.compile(r"\d[\d.,]*\d|\d")


def head(path: Path) -> tuple[list[str], dict[str, str]]:
    """The commands in a file's first lines, and the named entries after them."""
    lines = path.read_text().splitlines()
    commands = [line[len("# python cli.py ") :] for line in lines if "# python cli.py " in line]
    said = [line[2:].partition(": ") for line in lines[len(commands) : len(commands) + 3]]
    assert all(line.startswith("# python cli.py ") for line in lines[: len(commands)])
    return commands, {name: text for name, _, text in said}


def rows(name: str) -> list[list[str]]:
    """The cells of the rows of docs/results.md that are about a configuration."""
    tables = [line.strip("| ").split(" | ") for line in RESULTS.splitlines() if line[:1] == "|"]
    return [cells for cells in tables if cells[0].split(",")[0] == name]


def resolved(command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All options of a command of a training, as it would run."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*shlex.split(command), "--print_config"])
    assert not ended.value.code, ended.value.code
    options: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return options


@pytest.mark.parametrize("path", [*COMPLETE, *DATA], ids=lambda path: path.stem)
def test_the_head_says_command_time_machine_and_score(path: Path) -> None:
    commands, said = head(path)
    own = path.relative_to(ROOT)
    assert commands
    assert all(f"--config {own}" in command for command in commands)
    assert list(said) == ["time", "machine", "score"]
    assert all(said.values())
    missing = [text == NOT_MEASURED for text in said.values()]
    assert all(missing) == any(missing), "measured in part"
    if path in COMPLETE and "docs/modes.md" not in said["score"]:
        assert all(missing) == (not rows(path.stem)), "docs/results.md knows otherwise"


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_what_the_head_says_was_measured(path: Path) -> None:
    _, said = head(path)
    if said["score"] == NOT_MEASURED:
        return
    if "docs/modes.md" in said["score"]:
        figures = FIGURE.findall(said["score"] + said["time"])
        assert set(figures) <= set(FIGURE.findall(MODES))
        assert f"configs/{path.name}" in MODES or f"| {path.stem}" in MODES
        return
    cells = rows(path.stem)
    score = re.match(r"fid_domain (\S+(?: ± \S+)?) then", said["score"])
    assert score
    named = re.findall("best|last", said["score"])
    scores = [found[2] for found in cells if re.match("|".join(named), found[1])]
    assert set(scores) == {score[1]}
    assert ("3 seeds" in said["score"]) == ("3 seeds" in cells[0][0])
    own_row = "\n".join(map(" ".join, cells)) if " to " in said["time"] else RESULTS
    assert set(FIGURE.findall(said["time"])) <= set(FIGURE.findall(own_row))
    machine = re.search(r"AMD EPYC \(Zen 4\)|Intel Xeon with AMX", said["machine"])
    assert machine
    begin, _, sections = RESULTS.partition("## Scores")
    tables = [*begin.split("Three more "), *sections.split("\n## ")]
    assert any(machine[0] in table and f"| {path.stem}" in table for table in tables)


def test_every_data_module_has_a_file() -> None:
    named = {yaml.safe_load(path.read_text())["data"]["class_path"] for path in DATA}
    classes = inspect.getmembers(datamodules, inspect.isclass)
    kinds = {n for n, kind in classes if issubclass(kind, ImageDataModule)} - {"ImageDataModule"}
    assert named == {f"datamodules.{name}" for name in kinds}


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
def test_a_data_file_changes_the_data_and_keeps_the_networks_size(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    own = yaml.safe_load(path.read_text())
    assert own.keys() <= {"trainer", "data", "pictures", "quality"}
    for command in head(path)[0]:
        base = yaml.safe_load((ROOT / shlex.split(command)[2]).read_text())
        whole = resolved(command, capsys)
        assert whole["data"]["class_path"] == own["data"]["class_path"]
        assert whole["data"]["init_args"].get("classes") is None
        for name in {"image_size", "batch_size"} & base["data"]["init_args"].keys():
            assert whole["data"]["init_args"][name] == base["data"]["init_args"][name]
        assert whole["model"]["class_path"] == base["model"]["class_path"]


def test_no_two_commands_train_into_the_same_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even if a command with a data file names no folder."""
    folders = [yaml.safe_load(p.read_text())["trainer"]["default_root_dir"] for p in COMPLETE]
    for path in DATA:
        folders.append(yaml.safe_load(path.read_text())["trainer"]["default_root_dir"])
        for command in head(path)[0]:
            folders.append(shlex.split(command)[-1])
            assert shlex.split(command)[-2] == "--trainer.default_root_dir"
    assert len(folders) == len(set(folders))


def test_the_pages_commands_name_files_that_are_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "studies").glob("*.yaml")]
    for page in pages:
        for name in re.findall(r"\bconfigs/[\w/]+\.yaml", page.read_text()):
            written_by_the_reader = name in (
                "configs/my_lsgan_mnist.yaml",
                "configs/NAME_DATA.yaml",
            )
            assert written_by_the_reader or (ROOT / name).is_file(), (page.name, name)
    options = (ROOT / "docs" / "options.md").read_text()
    for path in DATA:
        for command in head(path)[0]:
            assert f"python cli.py {command}" in options, command
