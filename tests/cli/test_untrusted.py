"""Checkpoints and configurations of strangers run no code."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cli


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


@pytest.fixture
def proof(tmp_path):
    """A file that is there if a stranger's code was run."""
    return tmp_path / "proof"


def commands(checkpoint: Path, trained: Path, folder: Path) -> dict[str, list[str]]:
    config = ["--config", str(trained / "config.yaml"), "--ckpt_path", str(checkpoint)]
    config += ["--trainer.default_root_dir", str(folder / "run")]
    return {
        "sample": ["sample", "--checkpoint", str(checkpoint), "--output", str(folder / "x.png")],
        **{name: [name, *config] for name in ("fit", "validate", "test")},
    }


@pytest.mark.parametrize("command", ["sample", "fit", "validate", "test"])
def test_a_malicious_pickle(command, trained, tmp_path, proof):
    honest = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    file = tmp_path / "a.ckpt"
    torch.save(honest | {"epoch": Malicious(proof)}, file)
    with pytest.raises(SystemExit, match=r"^error: .*a.ckpt is refused"):
        cli.main(commands(file, trained, tmp_path)[command])
    assert sorted(tmp_path.iterdir()) == [file]
    torch.load(file, weights_only=False)
    assert proof.exists(), "the pickle is harmless, and the test worth nothing"


PROCESS = {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "{proof}"]}}
FOREIGN = {
    "variant": ({"_class_path": "antigravity.GAN"}, "antigravity.GAN"),
    "generator": ({"generator": PROCESS}, "subprocess.Popen"),
    "optimizer": ({"generator_optimizer": PROCESS}, "subprocess.Popen"),
    "trick": ({"labels": PROCESS}, "subprocess.Popen"),
    "loss": ({"generator_loss": "os.system"}, "os.system"),
    "instantiator": ({"_instantiator": "builtins.print"}, "builtins.print"),
    "other instantiator": ({"_instantiator": "cli.main"}, "cli.main"),
    "no GAN": ({"_class_path": "gan_modules.networks.Critic32"}, "no GAN of this project"),
    "no optimizer": ({"generator_optimizer": "torch.load"}, "torch.load"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_malicious_class_path(case, trained, tmp_path, proof):
    changes, expected = copy.deepcopy(FOREIGN[case])
    for change in changes.values():
        if isinstance(change, dict):
            change["init_args"]["args"][1] = str(proof)
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] |= changes
    file = tmp_path / "a.ckpt"
    torch.save(checkpoint, file)
    sys.modules.pop("antigravity", None)
    with pytest.raises(SystemExit) as caught:
        cli.main(commands(file, trained, tmp_path)["sample"])
    message = str(caught.value)
    assert message.startswith("error: ")
    assert "a.ckpt" in message
    assert expected in message
    assert "antigravity" not in sys.modules, "it was imported, which runs its code"
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:pathlib.Path.touch [{proof}]",
        "model: {{class_path: subprocess.Popen, init_args: {{args: [touch, {proof}]}}}}",
        "model: {{init_args: {{generator: {{class_path: subprocess.Popen,"
        " init_args: {{args: [touch, {proof}]}}}}}}}}",
        "data: {{class_path: subprocess.Popen, init_args: {{args: [touch, {proof}]}}}}",
    ],
)
def test_a_malicious_config(text, config, tmp_path, proof):
    file = tmp_path / "a.yaml"
    file.write_text(text.format(proof=proof))
    arguments = ["fit", "--config", config("dcgan_digits"), "--config", str(file)]
    with pytest.raises(SystemExit, match=r"^error: "):
        cli.main([*arguments, "--trainer.default_root_dir", str(tmp_path / "run")])
    assert sorted(tmp_path.iterdir()) == [file]
