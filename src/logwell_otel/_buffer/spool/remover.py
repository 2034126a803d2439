"""Deleting files for good, also on a disk that says no at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel._buffer.spool.disk import Disk
    from logwell_otel._buffer.spool.segment import Segment


class Remover:
    """Deletes files; what could not be deleted is tried again later.

    A file whose entries are delivered or dropped must not stay: the next start
    would find it and send it once more.

    Attributes:
        pending: Files still to be deleted.
    """

    def __init__(self, disk: Disk) -> None:
        self.pending: set[Path] = set()
        self._disk = disk

    def delete(self, path: Path) -> None:
        """Deletes a file now or at the next `retry`. Never raises."""
        try:
            self._disk.unlink(path)
        except FileNotFoundError:
            self.pending.discard(path)
        except OSError:
            self.pending.add(path)
        else:
            self.pending.discard(path)

    def delete_segment(self, segment: Segment) -> None:
        """Deletes a segment's file and those that it covers. Never raises."""
        for path in (segment.path, *segment.covers):
            self.delete(path)

    def retry(self) -> None:
        """Tries again to delete what is pending. Never raises."""
        for path in list(self.pending):
            self.delete(path)
