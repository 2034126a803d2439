"""Counts as people write them."""

from __future__ import annotations


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 entry`, `2 entries`; `many` is by default `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def entries(number: int) -> str:
    """`1 entry`, `2 entries`."""
    return count(number, "entry", "entries")


def was(number: int) -> str:
    """`was` or `were`."""
    return "was" if number == 1 else "were"
