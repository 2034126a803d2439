"""A record that goes no further, and why."""

from __future__ import annotations


class LeftOut(Exception):  # noqa: N818 - a decision, not an error
    """A record goes no further.

    Args:
        reason: The ledger's word for it.
        warning: What to tell people, None for nothing.
    """

    def __init__(self, reason: str, warning: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.warning = warning
