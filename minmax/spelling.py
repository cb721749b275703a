"""Guesses what a misspelt name was meant to be."""

from difflib import get_close_matches


def likely(wrong: str, known: list[str]) -> str:
    """A question with the most similar known name; empty if none is similar."""
    by_lower = {name.lower(): name for name in known}
    similar = get_close_matches(wrong.lower(), by_lower, 1)
    return f". Did you mean {by_lower[similar[0]]}?" if similar else ""
