"""What a search for images leaves out."""

from collections import Counter, defaultdict

from datamodules.names import few, short

NAMED = 5


class LeftOut:
    """Files and folders that are not read, counted by kind and named."""

    def __init__(self) -> None:
        self._names: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, kind: str, name: str) -> None:
        """Count one more of a kind."""
        self._names[kind][short(name)] += 1

    def __str__(self) -> str:
        """A line with all kinds; empty if nothing was left out."""
        return "; ".join(f"{kind}: {_counted(names)}" for kind, names in self._names.items())


def _counted(names: Counter[str]) -> str:
    shown = [name if count == 1 else f"{name} x {count:,}" for name, count in names.most_common()]
    return f"{names.total():,} ({few(shown, NAMED)})"
