"""Help, and how soon it comes."""

import subprocess
import sys
from pathlib import Path

import pytest

import cli

ROOT = Path(cli.__file__).parent


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_names_all_commands(arguments: list[str], capsys) -> None:
    cli.main(arguments)
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("command", sorted(cli.COMMANDS.keys() - set(cli.TRAINING)))
def test_options_are_shown_before_torch_is_imported(command: str) -> None:
    """It takes seconds, and Lightning more."""
    program = f"""
import sys, cli
try:
    cli.main(["{command}", "--help"])
finally:
    assert not {{"torch", "lightning"}} & sys.modules.keys()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"usage: cli.py {command}")


def test_training_has_options_of_its_own(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--help"])
    assert ended.value.code == 0
    assert "--data" in capsys.readouterr().out
