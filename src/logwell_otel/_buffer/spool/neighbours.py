"""What the other processes hold of a pool, and what that leaves for this one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import home

if TYPE_CHECKING:
    from pathlib import Path

_SHARE_WRITTEN = 1 / 32
"""When all processes may have written this part of the cap since the last look, it is time for a
new one: by so much may they pass it together. Walking a directory at every write is a known defect
of other disk buffers; this is 32 looks of each process while they fill the cap."""


class Neighbours:
    """How the processes of one pool share its size cap without talking.

    The cap is the pool's. Each process looks now and then what the others have
    on disk. It may use what they leave, and never less than an equal part: so
    a process that holds much makes room, and one that has just begun gets in.

    Args:
        pool: The pool's directory.
        max_bytes: The cap for all processes together.
    """

    def __init__(self, pool: Path, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._bytes = 0
        self._processes = 0
        self._written: float = float("inf")

    def allowance(self) -> int:
        """Returns the bytes this process may use, by what was last seen."""
        equal_part = self._max_bytes // (self._processes + 1)
        return max(self._max_bytes - self._bytes, equal_part)

    def writing(self, size: int, own: Path | None) -> None:
        """Looks again if enough was written since the last look."""
        self._written += size
        if self._written * (self._processes + 1) > self._max_bytes * _SHARE_WRITTEN:
            self.look(own)

    def look(self, own: Path | None) -> None:
        """Adds up what the others hold. What cannot be read now is left as it was.

        Args:
            own: This process' instance, which is not counted.
        """
        self._written = 0
        with contextlib.suppress(OSError):
            sizes = [
                sum(size for _, _, size in home.files(instance))
                for instance in home.instances(self._pool)
                if instance != own
            ]
            self._bytes, self._processes = sum(sizes), len(sizes)
