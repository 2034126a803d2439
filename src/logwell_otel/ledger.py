"""What became of every entry.

    handed over + recovered = accepted + refused + dropped + held

where recovered is what an earlier process had left in the spool.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec


class Ledger(msgspec.Struct):
    """Every entry is counted once where it came in and once where it ended.

    Attributes:
        handed_over: Given to the exporter, what was left out on purpose included.
        recovered: Taken over from the spool of a process that is no more.
        accepted: Stored by the server.
        refused: Refused by the server for good.
        dropped: By reason.
    """

    handed_over: int = 0
    recovered: int = 0
    accepted: int = 0
    refused: int = 0
    dropped: Counter[str] = msgspec.field(default_factory=Counter)

    def copy(self) -> Ledger:
        """A copy that later events do not change."""
        return Ledger(
            self.handed_over, self.recovered, self.accepted, self.refused, Counter(self.dropped)
        )


class Holdings(NamedTuple):
    """The ledger and what is held, at one moment."""

    ledger: Ledger
    entries_in_memory: int
    bytes_in_memory: int
    entries_on_disk: int
    bytes_on_disk: int

    @property
    def entries(self) -> int:
        """All of them."""
        return self.entries_in_memory + self.entries_on_disk
