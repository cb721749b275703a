"""A limit on what threads use together."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """An amount that threads share: each waits until its part is free.

    Args:
        total: the amount, in any unit. A larger part is given when all is free.
    """

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._changed = Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Wait for an amount, and hold it until the block ends."""
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
