"""The README begins with its two commands; docs/add_a_variant.md works as described."""

import inspect
import json
import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import cli
import datamodules
import gan_modules
import gan_modules.networks as nets
from gan_modules import GANModule, parts
from minmax.callbacks import (
    Averages,
    BestCheckpoint,
    Finite,
    LastCheckpoint,
    Pictures,
    Progress,
    Quality,
)
from minmax.studying.plan_file import read_plan
from minmax.studying.runs import runs_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add_a_variant.md").read_text()
BRIEF = [
    *("--trainer.max_steps", "3", "--trainer.accelerator", "cpu", "--quality.features", "pixels"),
    *("--quality.count", "100", "--data.init_args.batch_size", "8", "--pictures.columns", "2"),
    *("--pictures.rows", "2"),
]


def test_two_commands_come_first():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "cli.py fit --config configs/dcgan_digits.yaml" in blocks[0]
    assert "pytest" in blocks[1]


@pytest.mark.usefixtures("one_parser")
def test_commands_of_the_notebook(capsys, monkeypatch):
    """The parser accepts them; only Jupyter can run the whole notebook."""
    notebook = json.loads((ROOT / "docs" / "first_hour.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    commands: list[list[str]] = []
    held = {"minmax": lambda *arguments: commands.append(list(arguments)), "runs": "runs"}
    held |= {"display": lambda _: None, "Image": lambda *_, **__: None}
    for cell in cells[1:]:
        exec(cell, held)
    assert [command[0] for command in commands] == ["fit", "sample", "fit", "curves", "report"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["cli.py"])
    for command in (commands[0], commands[2]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, "--print_config"])
        assert not ended.value.code, ended.value.code
    assert "lr: 1.0e-05" in capsys.readouterr().out


def test_the_live_notebook_trains_and_shows(monkeypatch, tmp_path):
    notebook = json.loads((ROOT / "docs" / "ring.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    shown: list[Any] = []
    stub = {"clear_output": lambda wait: None, "display": shown.append}
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(**stub))
    held: dict[str, Any] = {}
    brief = {"updates=600": "updates=4", "(50 *": "(2 *", "tempfile.mkdtemp()": repr(str(tmp_path))}
    for long, short in brief.items():
        assert long in cells[0]
        cells[0] = cells[0].replace(long, short)
    exec(cells[0], held)
    exec(cells[1], held)
    assert [picture.size for picture in shown] == [(480, 516)] * 2
    assert (tmp_path / "logistic" / "pictures" / "film.gif").is_file()
    others: list[Any] = []
    held["train"] = lambda *given: others.append(given)
    for cell in cells[2:]:
        exec(cell, held)
    assert [name for name, _, _ in others] == ["clipped", "r3gan"]


def test_the_script_of_the_readme(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = next(block for block in blocks if "minmax.trainer" in block)
    assert "max_epochs=80" in script
    monkeypatch.chdir(tmp_path)
    brief = 'max_steps=2, accelerator="cpu", quality=Quality(features="pixels", count=50)'
    script = "from minmax.callbacks import Quality\n" + script.replace("max_epochs=80", brief)
    exec(script, {})
    assert (tmp_path / "runs" / "mine" / "checkpoints" / "last.ckpt").is_file()


def test_files_to_touch_are_there():
    table = PAGE.partition("## Files to touch")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| a")]
    assert len(rows) == 7
    for _, outside, inside in rows:
        assert outside.strip().startswith("1")
        count, _, named = inside.strip().partition(": ")
        assert int(count) == len(named.split(";"))
        for file in re.findall(r"`(\S+/\S+)`", named):
            assert "NAME" in file or (ROOT / file).is_file(), file


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the page's files in their places; its modules can be imported."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name, text in re.findall(r"`(\w+/\S+\.\w+)`\W[^`]*```\w+\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("gan_modules", "gan_modules.networks", "datamodules"):
        package, own = import_module(name), tmp_path / name.replace(".", "/")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(own)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cli.py"])
    yield tmp_path
    for name in (
        *("gan_modules.lsgan", "gan_modules.networks.linear", "datamodules.stripes"),
        *("mylab", "mylab.games", "mylab.scores"),
    ):
        sys.modules.pop(name, None)


def test_commands_of_the_page(project):
    """Each `fit`, with three batches and digits instead of MNIST, and the commands after it."""
    commands = re.findall(r"^python cli\.py (.*)$", PAGE, re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        "fit",
        "fit",
        "test",
        "sample",
        *["fit"] * 3,
    ]
    for command in commands:
        arguments = shlex.split(command)
        if arguments[0] == "fit":
            arguments += BRIEF
        if any(argument.endswith("_mnist.yaml") for argument in arguments):
            arguments += ["--data", "datamodules.Digits"]
        cli.main(arguments)
    assert (project / "lsgan.png").is_file()
    for run in ("least_squares", "my_lsgan_mnist", "linear", "stripes", "contrast"):
        assert (project / "runs" / run / "checkpoints" / "last.ckpt").is_file()


def test_the_study_of_the_page(project):
    plan = read_plan(Path("studies/lsgan.yaml"))
    runs = runs_of(plan, "quick", Path("study"), ["--data", "datamodules.Digits"])
    assert [run.variant for run in runs[:2]] == ["dcgan", "lsgan"]
    cli.main(["fit", *runs[1].arguments, *BRIEF])
    assert (project / "study" / "lsgan" / "seed_0" / "checkpoints" / "last.ckpt").is_file()


def test_the_data_of_the_page(project):
    data = import_module("datamodules.stripes").Stripes(image_size=16)
    images, labels = data.split(train=True)
    assert images.shape == (2000, 1, 16, 16)
    bright = images.float().mean(dim=1) > 127
    for image, label in zip(bright, labels, strict=True):
        rows, columns = image.all(dim=1).any(), image.all(dim=0).any()
        assert (rows, columns) == ((True, False) if label else (False, True))
    assert torch.bincount(labels).min() > 900


def options_of(class_: type) -> list[tuple[str, str]]:
    """Options with their defaults, except those taken from the data."""
    linked = {"channels", "image_size", "num_classes", "latent_dim", "available_classes"}
    if "datamodules" in class_.__module__:
        linked = {"available_classes"}
    return [
        (name, "" if option.default is inspect.Parameter.empty else str(option.default))
        for name, option in inspect.signature(class_).parameters.items()
        if name not in linked
    ]


def rows_of(page: str) -> list[tuple[str, list[str]]]:
    """Rows of all tables of a page, each with the heading that it stands under."""
    rows = []
    for part in re.split(r"^#+ ", (ROOT / page).read_text(), flags=re.MULTILINE)[1:]:
        heading, *lines = part.splitlines()
        tables = [line.replace("`", "").strip("|").split("|") for line in lines if line[:1] == "|"]
        rows += [(heading, [cell.strip() for cell in cells]) for cells in tables]
    return rows


def test_every_option_of_a_variant_stands_in_its_page():
    """Shared options once, a variant's own options under its name."""
    rows = rows_of("docs/options.md")
    variants = [getattr(gan_modules, name) for name in gan_modules.__all__]
    variants = [kind for kind in variants if issubclass(kind, GANModule) and kind is not GANModule]
    assert len(variants) >= 3
    for heading, class_ in [("All variants", GANModule), *((v.__name__, v) for v in variants)]:
        held = {cells[0]: cells[1].split(":")[0] for place, cells in rows if place == heading}
        options = [(name, default) for name, default in options_of(class_) if name != "shared"]
        if class_ is GANModule:
            options += [("latent_dim", "100")]
        for name, default in options:
            assert held[name] == {"None": "none"}.get(default, default), (class_, name)
        assert held.keys() - {"option", "---"} == {name for name, _ in options}


def test_every_other_option_stands_in_its_page():
    rows = [cells for _, cells in rows_of("docs/options.md")]
    groups = {"quality": Quality, "pictures": Pictures, "progress": Progress, "finite": Finite}
    groups |= {"checkpoint_best": BestCheckpoint, "checkpoint_last": LastCheckpoint}
    groups |= {"averages": Averages}
    for group, class_ in groups.items():
        for name, default in options_of(class_):
            assert [f"--{group}.{name}", default] in [row[:2] for row in rows]
    for module in (parts, nets):
        for class_name, class_ in inspect.getmembers(module, inspect.isclass):
            is_contract = inspect.isabstract(class_) or class_ in (nets.Network, parts.Turn)
            if "gan_modules" not in class_.__module__ or is_contract:
                continue
            for name, default in options_of(class_):
                assert [class_name, name, default] in [row[:3] for row in rows]
    for class_name, class_ in inspect.getmembers(datamodules, inspect.isclass):
        for name, default in options_of(class_) if not inspect.isabstract(class_) else []:
            places = [re.findall(r"\w+", row[0]) for row in rows if row[1:3] == [name, default]]
            assert any((class_name in place) != ("all" in place) for place in places), (
                class_name,
                name,
            )
