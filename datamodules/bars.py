"""Progress bars of work that every rank does, and one shows."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm


def bar_of(description: str, unit: str, total: int | None = None) -> "tqdm[Any]":
    """A bar that is shown on rank 0, if the work takes a second."""
    silent = getattr(rank_zero_only, "rank", 0) not in (0, None)
    return tqdm(total=total, desc=description, unit=unit, delay=1, disable=silent)
