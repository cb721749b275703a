"""Writes generators for other runtimes, checks what these make of them, and describes them."""

import copy
import hashlib
import re
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from gan_modules import GANModule
from minmax import strict_json
from minmax.commands.checkpoint import load_model, read_checkpoint
from minmax.commands.groups import config_of
from minmax.commands.scores import plain, reports_of, run_folder, score_table
from minmax.errors import UserError

Draw = Callable[..., Tensor]
"""Images `[N, C, H, W]` of latents `[N, latent_dim]` and, if conditional, labels int64 `[N]`."""

TOLERANCE = 1e-4
"""Greatest difference of a pixel in [-1, 1]: other runtimes sum in another order."""
COUNTS = (1, 2, 7)
"""Images of the check: a file must take any number of them."""


class Drawing(nn.Module):
    """The generator that `sample` draws with, as a function of latents and labels."""

    def __init__(self, model: GANModule) -> None:
        super().__init__()
        averaged = model.generator if model.generator_ema is None else model.generator_ema
        self.network = copy.deepcopy(averaged).eval().requires_grad_(False)
        self.num_classes = model.num_classes

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images `[N, C, H, W]` in [-1, 1]."""
        if labels is not None:
            # one_hot checks its input's values, which no exporter can follow.
            classes = torch.arange(self.num_classes, device=labels.device)
            hot = (labels[:, None] == classes).to(latent.dtype)
            latent = torch.cat([latent, hot], dim=1)
        images: Tensor = self.network(latent)
        return images.contiguous()


def checked_export(checkpoint: Path, form: str, file: Path) -> tuple[dict[str, Any], float]:
    """Export a checkpoint's generator, and compare what the file draws.

    Returns:
        The contract that stands in the file, and the largest difference of a pixel.

    Raises:
        UserError: a package is missing, or the difference is larger than `TOLERANCE`.
    """
    model, class_names = load_model(checkpoint)
    drawing = Drawing(model)
    contract = contract_of(model, class_names, read_checkpoint(checkpoint))
    write, load = {
        "safetensors": (write_safetensors, load_safetensors),
        "onnx": (write_onnx, load_onnx),
        "torch_export": (write_torch_export, load_torch_export),
    }[form]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(drawing, example(model, 2), contract, file)
            other = load(file, drawing)
    except ImportError as error:
        raise UserError(f'--format {form} needs {error.name}: pip install ".[export]"') from error
    largest = 0.0
    for count in COUNTS:
        inputs = example(model, count)
        largest = max(largest, float((other(*inputs) - model.sample(*inputs)).abs().max()))
    if not largest <= TOLERANCE:
        raise UserError(
            f"--format {form}: what the file draws differs from the checkpoint's images by "
            f"{largest:.2g}, more than {TOLERANCE}. Nothing was written: choose another --format"
        )
    return contract, largest


def example(model: GANModule, count: int) -> tuple[Tensor, ...]:
    """Inputs of the exported function."""
    latents, labels = model.seeded_latents(count), torch.arange(count) % model.num_classes
    return (latents, labels) if model.conditional else (latents,)


def contract_of(
    model: GANModule, class_names: list[str], checkpoint: dict[str, Any]
) -> dict[str, Any]:
    """What a user of the file must know, in words and numbers."""
    shape = list(model.sample(*example(model, 1)).shape[1:])
    inputs = {"latent": f"float32 [N, {model.latent_dim}], drawn from N(0, 1)"}
    if model.conditional:
        inputs["labels"] = f"int64 [N], 0 to {model.num_classes - 1}"
    return {
        "inputs": inputs,
        "output": f"float32 [N, {', '.join(map(str, shape))}] in [-1, 1]; "
        "to bytes: round((x + 1) * 127.5)",
        "latent_dim": model.latent_dim,
        "image_shape": shape,
        "value_range": [-1, 1],
        "classes": class_names if model.conditional else [],
        "variant": type(model).__name__,
        "network": f"{type(model.generator).__module__}.{type(model.generator).__name__}",
        "network_options": network_options(model, shape, checkpoint["hyper_parameters"]),
        "weights": "generator" if model.generator_ema is None else "averaged generator",
        "images_seen": checkpoint["images_seen"],
        "made_by": f"minmax-gans {version('minmax-gans')}, torch {torch.__version__}",
    }


def network_options(
    model: GANModule, shape: list[int], hyperparameters: dict[str, Any]
) -> dict[str, Any]:
    """All that the generator is built of."""
    chosen = hyperparameters.get("generator")
    own = chosen.get("init_args", {}) if isinstance(chosen, Mapping) else {}
    latent_dim = model.latent_dim + (model.num_classes if model.conditional else 0)
    return {"latent_dim": latent_dim, "channels": shape[0], "image_size": shape[-1], **own}


def write_safetensors(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """The network's weights under their own names."""
    from safetensors.torch import save

    weights = {name: t.contiguous() for name, t in drawing.network.state_dict().items()}
    file.write_bytes(save(weights, {"contract": strict_json.dumps(contract)}))


def load_safetensors(file: Path, drawing: Drawing) -> Draw:
    """The weights in a network whose own are gone."""
    from safetensors.torch import load_file

    other = copy.deepcopy(drawing)
    for weight in other.state_dict().values():
        weight.zero_()
    other.network.load_state_dict(load_file(file))
    return other


def write_onnx(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """A graph for any number of images."""
    import onnx
    import onnxruntime  # noqa: F401  (before the work, since the check needs it)

    names = list(contract["inputs"])
    several = torch.export.Dim("N", min=1, max=2**20)
    program = torch.onnx.export(
        drawing,
        inputs,
        input_names=names,
        output_names=["images"],
        dynamic_shapes=tuple({0: several} for _ in inputs),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    graph = program.model_proto
    onnx.helper.set_model_props(graph, {"contract": strict_json.dumps(contract)})
    onnx.save(graph, file)


def load_onnx(file: Path, drawing: Drawing) -> Draw:
    """The graph in ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [taken.name for taken in session.get_inputs()]

    def draw(*inputs: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return draw


def write_torch_export(
    drawing: Drawing, inputs: tuple[Tensor, ...], contract: dict[str, Any], file: Path
) -> None:
    """A program for any number of images."""
    several = torch.export.Dim("N", min=1, max=2**20)
    shapes = tuple({0: several} for _ in inputs)
    program = torch.export.export(drawing, inputs, dynamic_shapes=shapes)
    content = BytesIO()  # a full disk would abort the process
    text = strict_json.dumps(contract)
    torch.export.save(program, content, extra_files={"contract.json": text})
    file.write_bytes(content.getbuffer())


def load_torch_export(file: Path, drawing: Drawing) -> Draw:
    """The program, as torch alone runs it."""
    module: Draw = torch.export.load(file).module()
    return module


def model_card(
    checkpoint: Path, contract: dict[str, Any], form: str, file: Path, largest: float
) -> str:
    """What the file is, how to load it, how it was trained and scored; in Markdown."""
    run = run_folder(checkpoint)
    settings = "The run's config.yaml was not there."
    if (run / "config.yaml").is_file():
        config = config_of(run)
        settings = as_yaml(config) if config else "The run's config.yaml was damaged."
    scores = "It was not tested: `python cli.py test` makes scores."
    report = reports_of(run, "its scores are left out").get(checkpoint.stem)
    if report is not None:
        scores = f"{fenced(score_table(report))}\n\n{as_yaml(report['protocol'])}"
    title = f"{contract['variant']} after {contract['images_seen']:,} images"
    return f"""# {title}

{plain(file.name)} draws images from latents. Largest difference from the checkpoint, of a pixel in
[-1, 1]: {largest:.2g}. A copy of it that is whole has the SHA-256 (`sha256sum`)
`{hashlib.sha256(file.read_bytes()).hexdigest()}`.

{as_yaml(contract)}

## Use

{fenced(loading(contract, form, file.name), "python")}

## Scores

{scores}

## Training

{settings}

## Licence

The code that made this file is under the MIT licence. What the images of the training data allow is
for you to find out: it is not known here.
"""


def as_yaml(values: dict[str, Any]) -> str:
    """A block of YAML in Markdown, without what is not set."""

    def given(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: given(held) for key, held in value.items() if held is not None}
        return value

    text = yaml.safe_dump(given(values), sort_keys=False, default_flow_style=None, width=100)
    return fenced(text.rstrip("\n"), "yaml")


def fenced(text: str, language: str = "") -> str:
    """A block of code in Markdown, whose fence is longer than any that stands in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def loading(contract: dict[str, Any], form: str, name: str) -> str:
    """Three lines that draw sixteen images from the file."""
    latent, classes = f"(16, {contract['latent_dim']})", len(contract["classes"])
    if form == "onnx":
        labels = f', "labels": numpy.arange(16) % {classes}' if classes else ""
        return f"""import numpy, onnxruntime
inputs = {{"latent": numpy.random.randn{latent}.astype("float32"){labels}}}
images = onnxruntime.InferenceSession({name!r}).run(None, inputs)[0]"""
    if form == "torch_export":
        labels = f", torch.arange(16) % {classes}" if classes else ""
        return f"""import torch
generator = torch.export.load({name!r}).module()
images = generator(torch.randn{latent}{labels})"""
    module, _, network = contract["network"].rpartition(".")
    options = ", ".join(f"{key}={value!r}" for key, value in contract["network_options"].items())
    return f"""from {module} import {network}; from safetensors.torch import load_file
generator = {network}({options}).eval()
generator.load_state_dict(load_file({name!r}))"""
