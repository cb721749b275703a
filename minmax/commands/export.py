"""`python cli.py export`: a trained generator as one file, to be used without this project."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from minmax.admission import add_option
from minmax.errors import UserError, files_named

SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torch_export": ".pt2"}


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(prog="cli.py export", description=__doc__, allow_abbrev=False)
    options.add_argument("--checkpoint", required=True, help="a .ckpt file of a run")
    options.add_argument("--format", required=True, choices=SUFFIXES)
    options.add_argument("--output", required=True, help="the file; a model card stands beside it")
    options.add_argument("--overwrite", action="store_true", help="replace what is at --output")
    add_option(options)
    chosen = options.parse_args(arguments)
    output, suffix = Path(chosen.output), SUFFIXES[chosen.format]
    if output.suffix.lower() != suffix:
        raise UserError(f"--output {output} must end in {suffix} for --format {chosen.format}")
    card = output.with_name(f"{output.name}.md")  # each format has its own
    for file in (output, card):
        with files_named():
            there = file.exists()
        if there and not chosen.overwrite:
            raise UserError(f"--output: {file} exists. Choose another, or add --overwrite")
    # This import takes seconds, so wrong options are refused first.
    from minmax.generation.exporting import export

    largest = export(Path(chosen.checkpoint), chosen.format, output, card)
    print(f"Largest difference from the checkpoint's pixels (-1 to 1): {largest:.2g}")
    print(f"The generator is in {output}, its model card in {card}")
