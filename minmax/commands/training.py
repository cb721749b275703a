"""`python cli.py fit`, `validate` and `test`: train a GAN, and score it."""

import logging
import re

from minmax import trust
from minmax.kept_memory import keep_freed_memory
from minmax.parent import children_follow
from minmax.training import command_line
from minmax.training.tuples import read_tuples

IDLE = "Tip:|`weights_only` was not set"
"""Lightning's repeated messages that nobody can act on."""


@trust.enforced()
def main(arguments: list[str] | None = None) -> None:
    """Run Lightning's command line with these arguments; None: those of the process."""
    keep_freed_memory()
    read_tuples()
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        messages = logging.getLogger(f"lightning.pytorch.{name}")
        messages.addFilter(lambda record: not re.search(IDLE, record.getMessage()))
    with children_follow():
        command_line.run(arguments, __doc__)
