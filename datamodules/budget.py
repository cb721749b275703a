"""A limit on what threads use together."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """So much may be taken at a time; who wants more waits, or has it alone.

    Args:
        total: in any unit.
    """

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._changed = Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Have an amount until the block ends."""
        amount = min(amount, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()
