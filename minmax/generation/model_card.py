"""The model card of an exported generator, in Markdown."""

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from minmax.reporting.metrics_file import of_another, reports_of
from minmax.reporting.tables import plain, score_table
from minmax.run_config import config_of, run_folder


def model_card(
    checkpoint: Path, contract: dict[str, Any], form: str, file: Path, largest: float
) -> str:
    """What the file is, how to load it, how it was scored and trained; in Markdown."""
    run = run_folder(checkpoint)
    settings = "The run's config.yaml was not there."
    if (run / "config.yaml").is_file():
        config = config_of(run)
        settings = as_yaml(config) if config else "The run's config.yaml was damaged."
    drawn = contract["weights"]
    scores = "It was not tested: `python cli.py test` makes scores."
    report = reports_of(run, "its scores are left out").get(checkpoint.stem)
    if report is not None and of_another(checkpoint, report):
        scores = "It was not tested since it was saved anew: `python cli.py test` makes scores."
    elif report is not None and (tested := report["protocol"].get("weights", drawn)) != drawn:
        scores = (
            f"The {tested} was tested, and this is the {drawn}: `python cli.py test` makes scores."
        )
    elif report is not None:
        scores = f"{fenced(score_table(report))}\n\n{as_yaml(report['protocol'])}"
    title = f"{contract['variant']} after {contract['images_seen']:,} images"
    return f"""# {title}

{plain(file.name)} draws images from latents. Largest difference from the checkpoint, of a pixel
between -1 (black) and 1 (white): {largest:.2g}. A copy of it that is whole has the SHA-256
(`sha256sum`) `{hashlib.sha256(file.read_bytes()).hexdigest()}`.

{as_yaml(contract)}

## Use

{fenced(loading(contract, form, file.name), "python")}

## Scores

{scores}

## Training

{settings}

## Licence

The code that made this file is under the MIT licence. The licence of the training images is not
known here: check what it allows.
"""


def as_yaml(values: dict[str, Any]) -> str:
    """A block of YAML in Markdown, without values that are None."""

    def without_none(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_none(item) for key, item in value.items() if item is not None}
        return value

    tree = without_none(values)
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)
    return fenced(text.rstrip("\n"), "yaml")


def fenced(text: str, language: str = "") -> str:
    """A block of code in Markdown; its fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def loading(contract: dict[str, Any], form: str, name: str) -> str:
    """Three lines of Python that load the file, and draw sixteen images or build the network."""
    latent, options = f"(16, {contract['latent_dim']})", contract["network_options"]
    classes = options["num_classes"] if "labels" in contract["inputs"] else 0
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
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"""from {module} import {network}; from safetensors.torch import load_file
generator = {network}({given}).eval()
generator.load_state_dict(load_file({name!r}))"""
