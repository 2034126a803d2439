"""What a spool raises."""

from __future__ import annotations


class SpoolError(Exception):
    """The spool directory cannot be used as it is; the message says what to do."""


class SpoolDiskError(SpoolError):
    """The disk said no just now: full, read-only, no permission, an error of the device.

    Nothing of what was asked for was done. The next call tries afresh. The error of SQLite
    or of the operating system is the `__cause__`.
    """
