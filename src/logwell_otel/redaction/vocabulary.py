"""Sets of words, written as texts: a list of fifty quoted words is hard to read."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())
