"""Untrusted checkpoints and configurations run no code."""

import copy
import json
import os
import re
import socket
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import cli
from minmax import documents
from minmax.checkpoints.reading import load_model
from minmax.studying.runs import as_text
from minmax.training.changes import shown
from tests.cli.payloads import CONFIG, MODEL, NETWORK, PROOF, spec
from tests.conftest import EVERY


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


@pytest.fixture
def proof(tmp_path):
    """A file that exists if untrusted code was run."""
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
    "part": ({"game": PROCESS}, "subprocess.Popen"),
    "function": ({"generator_optimizer": "os.system"}, "os.system"),
    "older loss": ({"generator_loss": "os.system"}, "generator_loss"),
    "instantiator": ({"_instantiator": "builtins.print"}, "builtins.print"),
    "other instantiator": ({"_instantiator": "cli.main"}, "cli.main"),
    "no GAN": ({"_class_path": "gan_modules.networks.Critic32"}, "no GAN of this project"),
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


def test_a_malicious_config(config, tmp_path, proof):
    file = tmp_path / "a.yaml"
    file.write_text(f"model: !!python/object/apply:pathlib.Path.touch [{proof}]")
    arguments = ["fit", "--config", config("dcgan_digits"), "--config", str(file)]
    with pytest.raises(SystemExit, match=r"^error: "):
        cli.main([*arguments, "--trainer.default_root_dir", str(tmp_path / "run")])
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("value", ["strangers", ["strangers"], ""])
def test_a_config_admits_nothing(value, config, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cli.py"])
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({"trust": value}))
    given = ["fit", "--config", config("dcgan_digits"), "--config", str(file)]
    assert "a config can't admit code" in refused([*given, "--dry_run", "true"])


def filled(value: Any, proof: Path) -> Any:
    """A payload with the proof's name where it belongs."""
    return json.loads(json.dumps(value).replace(PROOF, str(proof)))


STRANGERS = """
from pathlib import Path

from datamodules import Digits
from gan_modules import GAN as Known
from gan_modules.networks import DCGAN32Generator
from gan_modules.parts import Wasserstein
from lightning import Callback as Base
from torch.optim import SGD, Optimizer

Path({proof!r}).touch()


class GAN(Known):
    pass


class Generator(DCGAN32Generator):
    pass


class Data(Digits):
    pass


class Callback(Base):
    pass


class Game(Wasserstein):
    pass


def optimizer(parameters: object) -> Optimizer:
    return SGD(parameters, lr=0.001)


borrowed = Path
"""


@pytest.fixture
def strangers(tmp_path, proof, monkeypatch) -> Iterator[Path]:
    """A package in the working folder that makes the proof when it is imported."""
    folder = tmp_path / "work"
    (folder / "strangers").mkdir(parents=True)
    (folder / "strangers" / "__init__.py").write_text(STRANGERS.format(proof=str(proof)))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["cli.py"])
    yield folder
    sys.modules.pop("strangers", None)


def refused(arguments: list[str]) -> str:
    """The error of a command; empty for a command that only prints a config."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    message = caught.value.code
    if message in (0, None):
        assert "--print_config" in arguments
        return ""
    assert str(message).startswith("error: ")
    return str(message)


def harmless(folder: Path, proof: Path, *kept: Path) -> None:
    """Assert that a payload has left no trace."""
    assert not proof.exists()
    assert not {"strangers", "antigravity"} & sys.modules.keys(), "it was imported"
    assert sorted(folder.parent.iterdir()) == sorted([folder, *kept])
    assert [file.name for file in folder.iterdir()] == ["strangers"]


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def through(command: str, checkpoint: Path) -> list[str]:
    """A command that loads a model."""
    return [
        *(command, "--checkpoint", str(checkpoint)),
        *{
            "sample": ["--output", "x.png"],
            "export": ["--output", "x.onnx", "--format", "onnx"],
            "explore": ["--port", port(), "--no-browser"],
        }[command],
    ]


def options_of(trained: Path) -> dict[str, Any]:
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(content["hyper_parameters"])


LOADING = ("sample", "export", "explore")


@pytest.mark.parametrize("name", MODEL)
def test_payloads_of_checkpoints(name, trained, tmp_path, strangers, proof, monkeypatch):
    monkeypatch.syspath_prepend(strangers)
    sys.modules.pop("antigravity", None)
    options = options_of(trained) | filled(MODEL[name], proof)
    file = tmp_path / "a.ckpt"
    torch.save({"images_seen": 0, "state_dict": {}, "hyper_parameters": options}, file)
    names = list(MODEL)
    commands = LOADING if EVERY else [LOADING[names.index(name) % 3]]
    for command in commands:
        assert "a.ckpt" in refused(through(command, file))
        harmless(strangers, proof, file)


ENDS = {
    "fit": [],
    "validate": [],
    "test": [],
    "dry run": ["--dry_run", "true"],
    "print": ["--print_config"],
}


def config_of(payload: dict[str, Any]) -> dict[str, Any]:
    """The options of a checkpoint as a config."""
    options = dict(payload)
    class_path = options.pop("_class_path", "gan_modules.GAN")
    return {"model": spec(class_path, **options)}


CONFIGS = {**{name: config_of(payload) for name, payload in MODEL.items()}, **CONFIG}


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("name", CONFIGS)
def test_payloads_of_configs(name, config, tmp_path, strangers, proof, monkeypatch):
    monkeypatch.syspath_prepend(strangers)  # so that it could be imported
    sys.modules.pop("antigravity", None)
    file = tmp_path / "a.yaml"
    payload = filled(CONFIGS[name], proof)
    file.write_text(yaml.safe_dump(payload))
    number = list(CONFIGS).index(name)
    given = ["--config", config("dcgan_digits")]
    for command in ENDS if EVERY else [list(ENDS)[number % len(ENDS)]]:
        form = "fit" if command in ("dry run", "print") else command
        refused([form, *given, "--config", str(file), *ENDS[command]])
        harmless(strangers, proof, file)
    if EVERY or number % len(ENDS) == 0:
        values = payload.get("model", {}).get("init_args", payload)
        start = "--model.init_args." if "model" in payload else "--"
        options = [f"{start}{name}={as_text(value)}" for name, value in values.items()]
        if values:
            refused(["fit", *given, *options])
        harmless(strangers, proof, file)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("lightning.pytorch.loggers.utilities._scan_checkpoints", "doesn't belong"),
        ("gan_modules.base.GANModule.sample_latent", "top of a module"),
    ],
)
def test_functions_of_allowed_modules(function, why, config, strangers):
    """jsonargparse would accept them, since any function may be named there."""
    given = ["fit", "--config", config("dcgan_digits"), "--dry_run", "true"]
    given += ["--trainer.callbacks", "LambdaCallback", "--trainer.callbacks.setup", function]
    assert why in refused(given)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"variants": {"a": {"trust": "strangers"}}}, "option trust"),
        ({"variants": {"a": {"trust=strangers --x": 1}}}, "option trust=strangers"),
        ({"forms": {"quick": {"trust": "strangers"}}}, "option trust"),
        ({"config": "--trust=strangers"}, "--trust=strangers"),
        ({"variants": {"../../a": {}}}, "variant ../../a"),
        ({"seeds": ["../0"]}, "seed ../0"),
        ({"config": "!!python/object/apply:os.system [touch {proof}]"}, "constructor"),
    ],
)
def test_payloads_of_plans(changes, what, config, strangers, proof, tmp_path):
    plan = {"title": "t", "claim": "c", "config": config("dcgan_digits"), "seeds": [0]}
    plan |= {"variants": {"a": {}}, "forms": {"quick": {}}} | filled(changes, proof)
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(plan).replace("'!!python", "!!python").replace("]'", "]"))
    if plan["config"] == "--trust=strangers":
        (strangers / plan["config"]).touch()
    assert what in refused(["study", str(file)])
    assert not proof.exists()
    assert not (strangers / "runs").exists()


@pytest.mark.parametrize(
    "how", [["--ckpt_path", "hpc"], ["--ckpt_path=hpc", "--weights_only=false"]]
)
def test_pickles_that_lightning_finds_itself(how, config, tmp_path, proof, monkeypatch):
    """In a folder of a run, where clusters leave them."""
    monkeypatch.setattr("sys.argv", ["cli.py"])
    torch.save({"state_dict": {}, "epoch": Malicious(proof)}, tmp_path / "hpc_ckpt_1.ckpt")
    given = ["fit", "--config", config("dcgan_digits"), "--trainer.accelerator", "cpu", *how]
    given += ["--quality.features", "pixels", "--quality.count", "100"]
    message = refused([*given, "--trainer.default_root_dir", str(tmp_path)])
    assert "hpc_ckpt_1.ckpt is refused" in message
    assert not proof.exists()


@pytest.mark.parametrize(
    "plugin",
    [
        spec("lightning.pytorch.plugins.io.TorchCheckpointIO"),
        spec(
            "lightning.pytorch.plugins.io.AsyncCheckpointIO",
            checkpoint_io=spec("lightning.fabric.plugins.TorchCheckpointIO"),
        ),
    ],
)
def test_a_config_that_has_pickles_read(plugin, config, tmp_path, proof, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cli.py"])
    torch.save({"state_dict": {}, "epoch": Malicious(proof)}, tmp_path / "hpc_ckpt_1.ckpt")
    payload = {"trainer": {"plugins": [plugin]}, "ckpt_path": "hpc", "weights_only": False}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(payload))
    given = ["fit", "--config", config("dcgan_digits"), "--config", str(tmp_path / "a.yaml")]
    given += ["--quality.features", "pixels", "--quality.count", "100"]
    message = refused([*given, "--trainer.default_root_dir", str(tmp_path)])
    assert not proof.exists()
    assert "doesn't belong at trainer.plugins" in message


def test_a_strangers_run_names_data(trained, tmp_path, strangers, proof):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    file = run / "checkpoints" / "a.ckpt"
    file.write_bytes((trained / "checkpoints" / "last.ckpt").read_bytes())
    for data in (spec("strangers.Data"), spec("subprocess.Popen", args=["touch", str(proof)])):
        (run / "config.yaml").write_text(yaml.safe_dump({"data": data}))
        assert data["class_path"] in refused([*through("sample", file), "--nearest"])
        harmless(strangers, proof, run)


class TestTrust:
    def test_packages_that_the_user_admits(self, fit, strangers, proof, monkeypatch):
        admit = ["--trust", "strangers", "--model", "strangers.GAN", "--data", "strangers.Data"]
        admit += ["--model.init_args.generator", "strangers.Generator"]
        admit += ["--model.init_args.game", "strangers.Game"]
        admit += ["--model.init_args.generator_optimizer", "strangers.optimizer"]
        admit += ["--trainer.callbacks", "strangers.Callback", "--trainer.max_steps", "2"]
        run = fit("dcgan_digits", *admit)
        assert proof.exists()
        file = run / "checkpoints" / "last.ckpt"
        assert "strangers" in (run / "config.yaml").read_text()
        refused(through("sample", file))
        cli.main([*through("sample", file), "--nearest", "--trust=strangers"])
        assert "--trust strangers" in refused(["fit", "--config", str(run / "config.yaml")])
        monkeypatch.setenv("MINMAX_TRUST", "other strangers")
        load_model(file)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (["--trust", "os"], "never"),
            (["--trust", "torch.hub"], "never"),
            (["--trust=jsonargparse"], "never"),
            (["--trust", "a-b"], "mylab"),
            (["--trust"], "mylab"),
            (["--trust", "--overwrite"], "mylab"),
        ],
    )
    def test_what_can_not_be_admitted(self, given, said):
        assert said in refused(["sample", "--checkpoint", "a", "--output", "a.png", *given])

    def test_what_an_admitted_package_borrows(self, config, strangers):
        given = ["fit", "--config", config("dcgan_digits"), "--trust", "strangers"]
        message = refused([*given, "--model.init_args.generator_optimizer", "strangers.borrowed"])
        assert "pathlib" in message


ALIASES = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
BOMBS = {
    "aliases": ALIASES,
    "merged": "a0: &a0 {b: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
    "within a text": "trainer:\n  callbacks: |\n    " + ALIASES.replace("\n", "\n    "),
    "itself": "model: &a {b: *a}",
    "deep": "a: " + "[" * 5000 + "]" * 5000,
    "deep, not too deep for the parser": "a: " + "[" * 900 + "]" * 900,
    "indented": "\n".join(f"{' ' * n}a:" for n in range(800)),
    "long": "a: [" + "1," * 600_000 + "1]",
    "number": "seed_everything: " + ":".join(["59"] * 200_000),
}


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("name", BOMBS)
def test_yaml_that_would_take_all_memory(name, config, tmp_path, monkeypatch):
    """Through each command that reads YAML, in seconds."""
    run, file = tmp_path / "run", tmp_path / "bomb.yaml"
    (run / "checkpoints").mkdir(parents=True)
    for place in (file, run / "config.yaml"):
        place.write_text(BOMBS[name])
    (tmp_path / "study.yaml").write_text(BOMBS[name])
    monkeypatch.setattr("sys.argv", ["cli.py"])
    start = time.perf_counter()
    given = ["fit", "--config", config("dcgan_digits")]
    for arguments in (
        [*given, "--config", str(file)],
        [*given, f"--trainer.callbacks={BOMBS[name]}"],
        ["study", str(file)],
        ["report", str(tmp_path)],
    ):
        assert len(refused(arguments)) < 5000
    with pytest.warns(UserWarning, match=r"left out"):
        cli.main(["report", str(run)])
    assert (run / "report.html").stat().st_size < 100_000
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALIASES, "counting what aliases repeat"),
        (BOMBS["itself"], "contains itself"),
        (BOMBS["deep, not too deep for the parser"], "nested more than"),
        (BOMBS["long"], "more than 1,048,576 characters"),
        (BOMBS["number"], "more than 1,048,576|more than 10,000 characters"),
        ("a: " + "1" * 20_000, "a value of it has more than 10,000"),
        ("a: 2001-99-99", "month"),
        ("a: 1\nb: 2\n'a': 3", "the key a stands twice, again in line 3"),
        ("- a: {b: 1,\n  c: 2, b: 1}", "the key b stands twice, again in line 2"),
    ],
)
def test_yaml_that_is_refused(text, said):
    with pytest.raises(yaml.YAMLError, match=said):
        documents.load(text)


def test_files_that_are_refused(tmp_path):
    (tmp_path / "long.yaml").write_bytes(b"#" * 5 * 2**20)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(yaml.YAMLError, match="has more than"):
        documents.check_size(tmp_path / "long.yaml")
    for read in (documents.check_size, documents.read):
        with pytest.raises(yaml.YAMLError, match="is no file"):
            read(tmp_path / "pipe.yaml")


def test_yaml_with_aliases_that_repeat_little():
    text = "a: &a {lr: 0.1}\nb: *a\nc:\n  <<: *a\n  d: [1, 2]"
    assert documents.load(text) == {
        "a": {"lr": 0.1},
        "b": {"lr": 0.1},
        "c": {"lr": 0.1, "d": [1, 2]},
    }


def test_yaml_whose_keys_are_merged_or_no_text():
    text = "a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, <<: *b, x: 3, 1: 4, '1': 5, ? [x] : 6}"
    assert documents.load(text.replace(", ? [x] : 6", ""))["c"] == {
        **{"x": 3, "y": 2},
        **{1: 4, "1": 5},
    }
    with pytest.raises(yaml.YAMLError, match="unhashable key"):
        documents.load(text)


LARGE: dict[str, tuple[dict[str, Any], str]] = {
    "latent": ({"latent_dim": 10**12}, "the model's is"),
    "number": ({"latent_dim": 10**30}, "latent_dim is more than"),
    "width": ({"generator": spec(NETWORK, width=10**6)}, "the model's is"),
    "network": ({"generator": "gan_modules.networks.FCGenerator"}, "the model's is"),
    "size": (
        {"image_size": 2**40, "generator": spec("gan_modules.networks.FCGenerator")},
        "can't be built",
    ),
    "depth": (
        {
            "image_size": 2**50,
            "generator": spec("gan_modules.networks.StackedGenerator", depth=10**11),
        },
        "can't be built",
    ),
    "classes": ({"num_classes": 10**12}, "num_classes is more than"),
    "text": ({"generator": "x" * 100_000}, "generator has more than"),
    "many": ({"labels": [*range(20_000)]}, "more than 10,000 options"),
}


@pytest.mark.parametrize("name", LARGE)
def test_numbers_that_would_take_all_memory(name, trained, tmp_path):
    changes, said = LARGE[name]
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"] |= changes
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=rf"a\.ckpt .*{re.escape(said)}"):
        load_model(tmp_path / "a.ckpt")


def endless() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


def doubled() -> list[Any]:
    held: list[Any] = [0]
    for _ in range(40):
        held = [held, held]
    return held


def deep() -> list[Any]:
    held: list[Any] = []
    for _ in range(100):
        held = [held]
    return held


def state(**values: Any) -> dict[str, Any]:
    return {"callbacks": {"a": values}}


CONTENTS: dict[str, tuple[dict[str, Any], str]] = {
    "tensor of one value": ({"state_dict": {"a": torch.zeros(1).expand(10**12)}}, "would take"),
    "tensor without values": ({"state_dict": {"a": torch.zeros(3, device="meta")}}, "without"),
    "sparse": ({"state_dict": {"a": torch.eye(3).to_sparse()}}, "without values"),
    "optimizer": ({"optimizer_states": [torch.zeros(1).expand(10**12)]}, "would take"),
    "endless": ({"loops": endless()}, "contain themselves"),
    "endless options": ({"hyper_parameters": {"a": endless()}}, "contain themselves"),
    "deep": ({"hyper_parameters": {"a": deep()}}, "nested too deep"),
    "doubled": (state(b=doubled()), "repeats"),
    "images": ({"images_seen": "many"}, "no checkpoint of this project"),
    "no tensors": ({"state_dict": {"a": 1}}, "no checkpoint of this project"),
    "names": ({"class_names": 5}, "class_names is a int"),
    "no checkpoint": (state(dirpath="/c", last_model_path="/c/x"), "/c/x, which is no checkpoint"),
    "file outside": (state(dirpath="/c", kth_best_model_path="/x.ckpt"), "/x.ckpt outside of /c"),
    "file above": (state(dirpath="/c", best_k_models={"/c/../x.ckpt": 1.0}), "outside of /c"),
    "file of no folder": (state(kth_best_model_path="x.ckpt"), "x.ckpt without a folder"),
    "file of no name": (state(dirpath="/c", best_model_path=5), "5 without a folder"),
    "file a tensor": (state(dirpath="/c", best_model_path=torch.zeros(2)), "is refused, since"),
    "file elsewhere": (state(dirpath="s3://c", last_model_path="s3://c/x.ckpt"), "without a"),
}
"""What a checkpoint holds, and what is said."""


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_are_no_checkpoints(name, trained, tmp_path):
    changes, said = CONTENTS[name]
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(content | changes, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=rf"a\.ckpt .*{re.escape(said)}"):
        load_model(tmp_path / "a.ckpt")


def test_a_file_that_unpacks_into_more(tmp_path):
    torch.save({"images_seen": 0, "state_dict": {"a": torch.zeros(10**6)}}, tmp_path / "b.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "b.ckpt") as source,
        zipfile.ZipFile(tmp_path / "a.ckpt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    with pytest.raises(ValueError, match=r"a\.ckpt .*would unpack"):
        load_model(tmp_path / "a.ckpt")


STATES: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "no settings": (("settings",), 5, "settings is a int"),
    "settings of nothing": (("settings",), {}, "settings lacks options"),
    "settings that are tensors": (("settings", "options"), {"a": torch.ones(2)}, "is a Tensor"),
    "long settings": (("settings", "options"), {"a": "x" * 20_000}, "more than 10,000"),
    "no name": (("settings", "facts"), {1: 2}, "name that is no text"),
    "optimizers": (("settings", "optimizers"), [{"class": 1}], "class is a int"),
    "no loops": (("loops",), [], "loops is a list"),
    "loops of nothing": (("loops",), {}, "loops lacks fit_loop"),
    "position": (("loops", "fit_loop", "state_dict", "combined_loader"), [{"epoch": 0}], "lacks"),
    "no counter": (("loops", "fit_loop", "epoch_progress", "total", "started"), "1", "is a str"),
    "truth": (("loops", "fit_loop", "epoch_progress", "total", "started"), True, "is a bool"),
    "below 0": (("global_step",), -1, "out of all bounds"),
    "beyond": (("images_seen",), 10**30, "out of all bounds"),
    "callbacks": (("callbacks", "Finite"), 5, "Finite is a int"),
    "no optimizer": (("optimizer_states",), [{"state": {}}], "lacks param_groups"),
    "state": (("optimizer_states",), [{"state": {0: 5}, "param_groups": []}], "state.0 is a int"),
    "one optimizer": (("optimizer_states",), [], "states of 0 optimizers"),
    "names": (("class_names",), [1], "class_names is a int"),
    "missing": (("lr_schedulers",), None, "lacks lr_schedulers"),
}
"""Where in a checkpoint, what stands there (None: nothing), and what is said."""


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("name", STATES)
def test_states_that_no_training_goes_on_from(name, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cli.py"])
    (*place, key), value, said = STATES[name]
    content = held = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    for part in place:
        held = held[part]
    held[key] = value
    if value is None:
        del held[key]
    torch.save(content, tmp_path / "a.ckpt")
    config = ["--config", str(trained / "config.yaml"), "--ckpt_path", str(tmp_path / "a.ckpt")]
    config += ["--trainer.default_root_dir", str(tmp_path / "run"), "--trainer.max_epochs", "3"]
    config += ["--quality.features", "pixels", "--quality.count", "100"]
    assert said in refused(["fit", *config])


def test_settings_that_a_terminal_would_obey():
    assert shown("\x1b[2J\x9b") == "\\x1b[2J\\x9b"
    assert (
        shown({"class_path": "a.\x1bB", "init_args": {"\x1bc": "\x1b"}}) == "a.\\x1bB(\\x1bc=\\x1b)"
    )
    assert shown({"class_path": 5, "init_args": [1]}) == '{"class_path": 5, "init_args": [1]}'
