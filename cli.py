"""Command line: train GANs, score them, and draw from them."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from minmax.admission import admitting
from minmax.environment import check_ranks
from minmax.errors import FULL, UserError, beginning_of, lacks_memory
from minmax.paths import expanded_argument

COMMANDS = {
    "fit": "train a GAN",
    "validate": "score a checkpoint as in training",
    "test": "score a run's best and last checkpoint; keep the scores with their protocol",
    "sample": "draw images from a trained generator",
    "study": "train and score the changes of a plan, each with each seed",
    "report": "make a page of runs or of a study: pictures, curves, scores",
    "explore": "open a page in the browser to move through a generator's images",
    "export": "write a generator for other runtimes: safetensors, ONNX, torch.export",
    "average": "choose the width of a run's average after its training",
    "compare": "put the test scores of runs side by side",
    "curves": "draw the curves of runs",
    "prepare": "decode a data set once, for all later runs",
    "benchmark": "time a training beside other loops of the same networks",
    "completion": "print the completion script of a shell (bash, say)",
}
TRAINING = ("fit", "validate", "test", "completion")  # share a module; each other has its own


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command of the command line.

    Wrong input, a full disk and too little memory end it with one line and exit code 1. Any other
    error is a bug, here or in the user's code, and is raised.

    Only the command's own module is imported: Lightning alone takes seconds.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, TextIOWrapper):  # file names may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    for expected in (
        *(".*LeafSpec.*", ".*in eval mode at the start of training.*"),
        "Checkpoint directory .* exists and is not empty",  # when a run is resumed
    ):
        warnings.filterwarnings("ignore", expected)
    try:
        with admitting([expanded_argument(argument) for argument in given]) as given:
            run(given, of_process=arguments is None)
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (UserError, OSError, MemoryError, RuntimeError) as error:
        full = isinstance(error, OSError) and error.errno in FULL
        known = isinstance(error, UserError) or full or lacks_memory(error)
        if os.environ.get("MINMAX_TRACEBACK") or not known:
            raise
        line = " ".join(str(error).split())
        if lacks_memory(error):
            line = (
                f"the memory isn't enough ({beginning_of(error)}): lower the size of a batch "
                "(--data.init_args.batch_size, --batch-size), the networks' width, or what else "
                "is large"
            )
        if not line.isprintable():  # slow to import, and seldom needed
            line = import_module("datamodules.names").printable(line)
        sys.exit(f"error: {line}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning ends with 1
            sys.exit(128 + signal.SIGINT)
        raise


def run(given: list[str], of_process: bool) -> None:
    """Run a command.

    Args:
        given: the command and its arguments.
        of_process: whether they are those of `sys.argv`.
    """
    if not given or given[0] in ("-h", "--help"):
        print(overview())
        return
    check_ranks()
    if given[0] in COMMANDS and given[0] not in TRAINING:
        import_module(f"minmax.commands.{given[0]}").main(given[1:])
    elif given[0] in COMMANDS or given[0].startswith("-"):
        if of_process:  # Lightning starts the processes of more devices with these
            sys.argv[1:] = given
        import_module("minmax.commands.training").main(None if of_process else given)
    else:
        raise UserError(f"there is no command {given[0]}: choose from {', '.join(COMMANDS)}")


def overview() -> str:
    """All commands, a line each."""
    lines = [f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python cli.py COMMAND ...\n",
            f"{__doc__}\n",
            *lines,
            "\nEach has its own --help. To begin: fit --config configs/dcgan_digits.yaml",
        ]
    )


if __name__ == "__main__":
    main()
