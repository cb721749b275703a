"""The README's example is a whole variant: it trains, resumes and draws."""

import re
import sys
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture
def example(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "lsgan.py").write_text(code[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "lsgan.LSGAN"
    sys.modules.pop("lsgan", None)


def test_the_example_of_a_variant_trains_and_draws(example, tmp_path):
    run = tmp_path / "run"
    cli.main(
        [
            *("fit", "--config", str(ROOT / "configs" / "dcgan_digits.yaml")),
            *("--model", example, "--trainer.max_steps", "3", "--trainer.accelerator", "cpu"),
            *("--trainer.default_root_dir", str(run)),
        ]
    )
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    cli.main(["sample", "--checkpoint", checkpoint, "--output", str(tmp_path / "grid.png")])
    assert (tmp_path / "grid.png").exists()


def test_two_commands_come_first():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "cli.py fit --config configs/dcgan_digits.yaml" in blocks[0]
    assert "pytest" in blocks[1]
