"""What a spool raises."""

from __future__ import annotations


class SpoolError(Exception):
    """The spool directory cannot be used as it is; the message says what to do."""


class SpoolWriteError(SpoolError):
    """Entries could not be written just now; nothing of them was kept.

    A full disk, a file system gone read-only, permissions taken away. The
    caller still owns the entries. The next `Spool.store` tries afresh, so
    trouble that passes needs no new spool. The `OSError`, where there was one,
    is the `__cause__`.
    """
