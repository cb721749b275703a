"""Exported generators draw the checkpoint's images, also without this project."""

import hashlib
import json
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

import cli
from gan_modules import ACGAN, GAN
from gan_modules.networks import (
    ACGAN32Generator,
    DCGAN32Generator,
    DCGAN96Generator,
    FCGenerator,
    R3GANGenerator,
    SAGANGenerator,
    StackedGenerator,
    StyleGAN2Generator,
)
from minmax.checkpoints.reading import load_model
from minmax.commands.export import SUFFIXES
from minmax.generation.exporting import contract_of, example
from minmax.generation.formats import FORMATS, Drawing, write_safetensors
from minmax.generation.model_card import loading
from minmax.reporting.metrics_file import write_report
from tests.cli.processes import Command
from tests.gan_modules.helpers import TinyClassifier, make_model

NETWORKS = {
    "FCGenerator": (FCGenerator, 8),
    "DCGAN32Generator": (DCGAN32Generator, 32),
    "DCGAN96Generator": (DCGAN96Generator, 96),
    "ACGAN32Generator": (ACGAN32Generator, 32),
    "StackedGenerator": (StackedGenerator, 16),
    "R3GANGenerator": (partial(R3GANGenerator, width=8), 32),
    "SAGANGenerator": (partial(SAGANGenerator, width=8), 32),
    "StyleGAN2Generator": (
        partial(StyleGAN2Generator, base=64, width=8, conditional=True, fused=True),
        32,
    ),
}
# What the cards' lines come to where this project is not to be had.
ALONE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OWN:
            raise ImportError(name)

OWN = ("gan_modules", "minmax", "datamodules", "cli")
for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
    del sys.modules[name]
sys.meta_path.insert(0, Gone())
{code}
print(tuple(images.shape), float(images.min()) >= -1, float(images.max()) <= 1)
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Runs of two batches, whose generators have options of their own."""
    made = {}
    for name, option in (("dcgan_digits", "width=8"), ("acgan_mnist", "project_relu=false")):
        folder = tmp_path_factory.mktemp(name)
        made[name] = folder / "checkpoints" / "last.ckpt"
        arguments = ["fit", "--config", f"configs/{name}.yaml", "--trainer.accelerator", "cpu"]
        arguments += ["--data", "datamodules.Digits", "--data.init_args.batch_size", "8"]
        arguments += ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "0"]
        arguments += [f"--model.init_args.generator.init_args.{option}"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(Path(cli.__file__).parent)
            patch.setattr("sys.argv", ["cli.py"])
            cli.main([*arguments, "--trainer.default_root_dir", str(folder)])
    return made


def code_of(card: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert found is not None
    assert found[1].count("\n") == 3
    return found[1]


SIMPLE = ("StackedGenerator", "DCGAN96Generator")
"""Only exported by torch, on which ONNX builds."""


@pytest.mark.parametrize(
    ("form", "network"),
    [
        *(("torch_export", network) for network in ("FCGenerator", *SIMPLE)),
        *(("onnx", network) for network in NETWORKS if network not in SIMPLE),
    ],
)
def test_every_generator(form, network, tmp_path):
    class_, side = NETWORKS[network]
    variant, adversary = (GAN, {}) if network != "ACGAN32Generator" else (ACGAN, TinyClassifier)
    options = {"discriminator": adversary} if adversary else {}
    model = make_model(variant, generator=class_, image_size=side, **options).eval()
    if not isinstance(class_, type):  # at first these draw by their blocks, or noise, not at all
        for name, weights in model.generator.named_parameters():
            if "third" in name or "strength" in name:
                torch.nn.init.normal_(weights, std=0.1)
    file, drawing = tmp_path / "generator", Drawing(model)
    write, load = FORMATS[form]
    write(
        drawing, example(model, 2), {"inputs": ["latent", "labels"][: 1 + model.conditional]}, file
    )
    other = load(file, drawing)
    for count in (1, 5):
        inputs = example(model, count)
        sampled = model.sample(inputs[0], torch.arange(count) % model.num_classes)
        torch.testing.assert_close(other(*inputs), sampled, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "name"), [("onnx", "dcgan_digits"), ("torch_export", "acgan_mnist")]
)
def test_a_file_is_used_without_the_project(name, form, checkpoints, tmp_path, capsys):
    file = tmp_path / f"drawing{SUFFIXES[form]}"
    arguments = ["export", "--checkpoint", str(checkpoints[name]), "--format", form]
    cli.main([*arguments, "--output", str(file)])
    largest = re.search(r"Largest difference .*: (\S+)\n", capsys.readouterr().out)
    assert float(largest[1]) < 1e-5
    script = tmp_path / "alone.py"
    script.write_text(ALONE.format(code=code_of(tmp_path / f"{file.name}.md")))
    alone = Command([], dict(os.environ), str(script), tmp_path)
    assert alone.communicate()[0] == "(16, 1, 32, 32) True True\n", alone.communicate()
    script.unlink()
    with pytest.raises(SystemExit, match=r"drawing.* exists. Choose another, or add --overwrite"):
        cli.main([*arguments, "--output", str(file)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, f"{file.name}.md"]


def test_every_format_has_a_suffix():
    assert SUFFIXES.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", ["dcgan_digits", "acgan_mnist"])
def test_weights_alone_and_the_lines_that_build_their_network(name, checkpoints, tmp_path):
    from safetensors import safe_open

    file = tmp_path / "drawing.safetensors"
    options = ["--format", "safetensors", "--output", str(file)]
    cli.main(["export", "--checkpoint", str(checkpoints[name]), *options])
    held: dict = {}
    exec(code_of(tmp_path / "drawing.safetensors.md").replace(file.name, str(file)), held)
    model, classes = load_model(checkpoints[name])
    inputs = model.seeded_latents(5), torch.arange(5) % model.num_classes
    assert torch.equal(held["generator"](*inputs), model.sample(*inputs))
    with safe_open(file, "pt") as opened:
        contract = json.loads(opened.metadata()["contract"])
    assert contract["image_shape"] == [1, 32, 32]
    assert contract["classes"] == (classes if model.conditional else [])
    assert contract["weights"] == "averaged generator"
    card = (tmp_path / "drawing.safetensors.md").read_text()
    assert "max_steps: 2" in card  # the run's settings
    assert "null" not in card, "what is not set"
    assert "MIT licence" in card


@pytest.mark.parametrize(("difference", "shown"), [(0.001, r"0\.001"), (float("nan"), "nan")])
def test_a_file_that_draws_something_else_is_not_kept(
    difference, shown, checkpoints, tmp_path, monkeypatch
):
    def wrong(file: Path, drawing: Drawing):
        return lambda *inputs: drawing(*inputs) + difference

    monkeypatch.setitem(FORMATS, "safetensors", (write_safetensors, wrong))
    options = ["--format", "safetensors", "--output", str(tmp_path / "new" / "a.safetensors")]
    with pytest.raises(SystemExit, match=f"differs from the checkpoint's images by {shown}"):
        cli.main(["export", "--checkpoint", str(checkpoints["dcgan_digits"]), *options])
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize("form", ["onnx", "torch_export"])
def test_the_lines_of_a_card_give_labels_though_no_class_has_a_name(form):
    model = make_model(ACGAN)
    contract = contract_of(model, [], {"hyper_parameters": {}, "images_seen": 0})
    assert "arange(16) % 3" in loading(contract, form, "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onnx", "--output", "x.pt"], "x.pt must end in .onnx for --format onnx"),
        (["--format", "onnx", "--output", "x.onnx"], "there is no checkpoint at nowhere"),
    ],
)
def test_wrong_input(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=re.escape(message)):
        cli.main(["export", "--checkpoint", "nowhere", *options])
    assert os.listdir() == []


FENCED = re.compile(r"^(`{3,})\w*\n.*?^\1$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"note": "one\n```\n<script>alert(1)</script>\n````` \n# two"}, "alert(1)"),
        ("trainer: [", "The run's config.yaml was damaged."),
        ("", "The run's config.yaml was damaged."),
        (b"\xff\xfe", "The run's config.yaml was damaged."),
    ],
)
def test_a_card_is_text_whatever_the_run_holds(config, expected, checkpoints, tmp_path):
    (tmp_path / "metrics.json").write_text('{"last": {')
    held = config if isinstance(config, bytes | str) else yaml.safe_dump(config)
    (tmp_path / "config.yaml").write_bytes(held if isinstance(held, bytes) else held.encode())
    checkpoint, file = tmp_path / "last.ckpt", tmp_path / "a`b<i>.safetensors"
    shutil.copy(checkpoints["dcgan_digits"], checkpoint)
    options = ["--format", "safetensors", "--output", str(file)]
    with pytest.warns(UserWarning, match="is damaged"):
        cli.main(["export", "--checkpoint", str(checkpoint), *options])
    card = (tmp_path / f"{file.name}.md").read_text()
    assert expected in card
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card
    outside = FENCED.sub("", card)
    assert "```" not in outside
    assert not re.search(r"(?<!\\)<", outside)
    assert [line for line in outside.splitlines() if line.startswith("#")] == [
        *("# GAN after 16 images", "## Use", "## Scores", "## Training", "## Licence"),
    ]


def test_a_card_leaves_out_the_scores_of_an_earlier_checkpoint(checkpoints, tmp_path):
    checkpoint, file = tmp_path / "last.ckpt", tmp_path / "drawing.safetensors"
    shutil.copy(checkpoints["dcgan_digits"], checkpoint)
    report = {"scores": {"fid_domain": 1.25}, "references": {}, "protocol": {"images_seen": 16}}
    write_report(checkpoint, report)
    options = ["--format", "safetensors", "--output", str(file), "--overwrite"]
    for images, score in ((16, True), (24, False)):
        saved = torch.load(checkpoint, weights_only=True)
        if images != saved["images_seen"]:
            torch.save(saved | {"images_seen": images}, checkpoint)
        cli.main(["export", "--checkpoint", str(checkpoint), *options])
        card = (tmp_path / f"{file.name}.md").read_text()
        assert ("1.25" in card, "not tested since it was saved" in card) == (score, not score)


@pytest.mark.parametrize(("tested", "shown"), [("averaged generator", True), ("generator", False)])
def test_a_card_shows_the_scores_of_the_weights_it_describes(tested, shown, checkpoints, tmp_path):
    checkpoint, file = tmp_path / "last.ckpt", tmp_path / "drawing.safetensors"
    shutil.copy(checkpoints["dcgan_digits"], checkpoint)
    protocol = {"images_seen": 16, "weights": tested}
    write_report(
        checkpoint, {"scores": {"fid_domain": 1.25}, "references": {}, "protocol": protocol}
    )
    options = ["--format", "safetensors", "--output", str(file)]
    cli.main(["export", "--checkpoint", str(checkpoint), *options])
    card = (tmp_path / f"{file.name}.md").read_text()
    assert ("1.25" in card, "The generator was tested, and this is" in card) == (shown, not shown)


def test_a_missing_package_is_named(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    options = ["--format", "onnx", "--output", str(tmp_path / "a.onnx")]
    with pytest.raises(SystemExit, match=r'needs onnxruntime: pip install "\.\[export\]"'):
        cli.main(["export", "--checkpoint", str(checkpoints["dcgan_digits"]), *options])
    assert list(tmp_path.iterdir()) == []
