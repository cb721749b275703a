"""Shortens jsonargparse's long messages to one helpful line."""

import re
from inspect import getmembers, isclass

import datamodules
import gan_modules
from datamodules.classes import QUOTE
from gan_modules import networks, parts
from minmax.spelling import likely
from minmax.trust import reworded

CLASSES = [
    name
    for module in (datamodules, gan_modules, networks, parts)
    for name, _ in getmembers(module, isclass)
]
"""Classes that can be named without an import path."""
LONGEST = 4000
"""Characters of a message at most: it may repeat the user's whole value."""


def one_line(message: str) -> str:
    """The useful part of a message of jsonargparse, which lists every type that didn't fit."""
    noise = (
        "Does not validate against|Subtypes:|Errors:|Expected a <class 'NoneType'>|Given value|"
        "Expected a path but"
    )
    lines = [line.strip().removeprefix("- ") for line in reworded(message).splitlines()]
    kept = [line for line in lines if line and not re.match(noise, line)]
    text = re.sub(r'^Parser key "([\w.]+)":', r"--\1:", " ".join(kept))
    text = re.sub(r'Parser key "([\w.]+)":', r"\1:", text)
    text = re.sub(r"^--(data|model): (\w+): ", r"--\1.init_args.\2: ", text)
    text = re.sub(r"Expected a typing\.Literal\[(.*?)\]", r"choose from \1", text)
    if unknown := re.search(r"dot import path string: (\S+)$", text):
        wrong = unknown[1]
        text += ": it is of another kind" if wrong in CLASSES else likely(wrong, CLASSES)
    if re.search(r"\bclasses: Expected a", text):
        text = f"--data.init_args.classes must be a list of names or numbers.{QUOTE}"
    elif re.search(r"\bimage_size: Expected a", text):
        text = "--data.init_args.image_size must be a side in pixels, or '[height, width]'"
    elif "determine a constructor for the tag" in text:
        text += ". Quote what begins with =, <<, !, & or *"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return text.replace(
        "No supported gpu", "--trainer.accelerator auto takes what is there: no gpu"
    )
