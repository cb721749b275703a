"""Numbers in environment variables, as programs set them that start several processes."""

import os

from minmax.errors import UserError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Where Lightning looks for this process's number, most of them as soon as it is imported."""


def number_in(name: str, default: int = 0) -> int:
    """The number in an environment variable; the default if it is not set.

    Raises:
        UserError: it holds something else.
    """
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError as error:
        raise UserError(
            f"the environment variable {name} is {text!r}, which is no number: unset it"
        ) from error


def check_ranks() -> None:
    """Refuse numbers of this process that are none."""
    for name in RANKS:
        number_in(name)
