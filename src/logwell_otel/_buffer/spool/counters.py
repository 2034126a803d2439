"""What a spool has counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SpoolCounters:
    """Entries by what became of them, for one process, since its spool began.

    At any moment `came_in == went_out + entries_held`; no field is ever below
    zero. A size counter that drifted below zero and blocked the writer is a
    known defect of other disk buffers, so the tests hold every step to this.

    Attributes:
        stored: Entries that `store` took.
        adopted: Entries found in the files of dead processes and taken over.
        done: Entries settled by the caller: delivered, or refused for good.
        dropped_overflow: Entries dropped, oldest first, to stay under the size cap.
        dropped_age: Entries dropped because they were older than the age cap.
        set_aside: Entries that could not be read back: half-written, corrupt, or
            in a format this version does not know.
        gone: Entries whose file was no longer ours when we came for it: deleted
            by somebody, or taken over by another process after our lease ran out.
        entries_held: Entries on disk in the hands of this process.
        bytes_held: Their files' bytes.
        set_aside_files: Set-aside files lying on disk now.
        set_aside_bytes: Their bytes. They count against the size cap.
    """

    stored: int = 0
    adopted: int = 0
    done: int = 0
    dropped_overflow: int = 0
    dropped_age: int = 0
    set_aside: int = 0
    gone: int = 0
    entries_held: int = 0
    bytes_held: int = 0
    set_aside_files: int = 0
    set_aside_bytes: int = 0

    @property
    def came_in(self) -> int:
        """Entries that ever came into the hands of this process."""
        return self.stored + self.adopted

    @property
    def went_out(self) -> int:
        """Entries that left them, by whatever way."""
        return self.done + self.dropped_overflow + self.dropped_age + self.set_aside + self.gone

    @property
    def bytes_used(self) -> int:
        """What counts against the size cap: held and set-aside files."""
        return self.bytes_held + self.set_aside_bytes
