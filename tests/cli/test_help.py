"""Help, and how soon it comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from minmax import admission

ROOT = Path(cli.__file__).parent
OWN = ("gan_modules/__init__.py", "datamodules/__init__.py")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_names_all_commands(arguments: list[str], capsys) -> None:
    cli.main(arguments)
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in cli.COMMANDS)


def test_commands_that_offer_trust_heed_it():
    files = (ROOT / "minmax" / "commands").glob("*.py")
    offering = {file.stem for file in files if "add_option(" in file.read_text()}
    assert offering == set(admission.COMMANDS) - set(cli.TRAINING)


def test_options_and_scores_are_shown_before_torch_is_imported() -> None:
    """Importing torch takes seconds, and Lightning longer."""
    commands = sorted(cli.COMMANDS.keys() - set(cli.TRAINING))
    program = f"""
import sys, cli
for command in {commands}:
    try:
        cli.main([command, "--help"])
    except SystemExit as ended:
        assert not ended.code
    assert not {{"torch", "lightning"}} & sys.modules.keys(), command
import minmax.reporting.page
assert not {{"torch", "lightning"}} & sys.modules.keys(), "report"
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert all(f"usage: cli.py {command} " in ended.stdout for command in commands)


def test_training_has_options_of_its_own(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--help"])
    assert ended.value.code == 0
    assert "--data" in capsys.readouterr().out


def test_modules_of_a_users_own_have_any_name(tmp_path: Path) -> None:
    """They come before the installed project on the path, and aren't mistaken for its modules."""
    for name in ("cli", "gan_modules", "datamodules", "callbacks", "commands", "metrics"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for the own one')")

    def told(*program: str) -> str:
        path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        return subprocess.check_output(
            [sys.executable, *program], cwd=tmp_path, env=os.environ | path, text=True
        )

    assert "--checkpoint" in told("-m", "minmax", "sample", "--help")
    origins = "print(*(find_spec(name).origin for name in ('cli', 'gan_modules', 'datamodules')))"
    code = f"import minmax.__main__\nfrom importlib.util import find_spec\n{origins}"
    files = [str(ROOT / name) for name in ("cli.py", *OWN)]
    assert told("-c", code).split() == files
