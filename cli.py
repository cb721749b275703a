"""Command line: train GANs, score them, and draw from them."""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "fit": "train a GAN",
    "validate": "score a checkpoint as in training",
    "test": "score a run's best and last checkpoint; keep the scores with their protocol",
    "sample": "draw images from a trained generator",
    "study": "train and score what a plan compares, each change with each seed",
    "report": "make a page of runs or of a study: pictures, curves, scores",
    "explore": "open a page in the browser to move through a generator's images",
    "export": "write a generator for other runtimes: safetensors, ONNX, torch.export",
    "compare": "put the test scores of runs side by side",
    "curves": "draw the curves of runs",
    "benchmark": "time a training beside plain loops of the same",
    "completion": "print the completion script of a shell (bash, say)",
}
TRAINING = ("fit", "validate", "test", "completion")  # Lightning's; a module each for the others


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command of the command line; wrong input ends it with one line and exit code 1.

    Only the command's own module is imported: Lightning alone takes seconds.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for expected in (
        *(".*LeafSpec.*", ".*in eval mode at the start of training.*"),
        "Checkpoint directory .* exists and is not empty",  # of a run that is resumed
    ):
        warnings.filterwarnings("ignore", expected)
    try:
        if not given or given[0] in ("-h", "--help"):
            print(overview())
        elif given[0] in COMMANDS and given[0] not in TRAINING:
            import_module(f"minmax.commands.{given[0]}").main(given[1:])
        elif given[0] in COMMANDS or given[0].startswith("-"):
            # Lightning starts the processes of further devices with this one's sys.argv.
            import_module("minmax.commands.training").main(None if arguments is None else given)
        else:
            raise ValueError(f"there is no command {given[0]}: choose from {', '.join(COMMANDS)}")
    except (ValueError, OSError) as error:
        if os.environ.get("MINMAX_TRACEBACK"):
            raise
        sys.exit(f"error: {' '.join(str(error).split())}")


def overview() -> str:
    """All commands, a line each."""
    lines = [f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python cli.py COMMAND ...\n",
            f"{__doc__}\n",
            *lines,
            "\nEach has a --help of its own. To begin: fit --config configs/dcgan_digits.yaml",
        ]
    )


if __name__ == "__main__":
    main()
