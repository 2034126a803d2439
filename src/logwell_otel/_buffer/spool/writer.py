"""Writing: entries go to the end of the open file, all of a call or none."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import segment
from logwell_otel._buffer.spool.segment import HEADER, MAX_BODY_BYTES, Segment
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logwell_otel._buffer.spool.disk import Disk
    from logwell_otel._buffer.spool.remover import Remover


class _File:
    """An open segment; what was written since the last commit can be taken back."""

    def __init__(self, disk: Disk, begun: Segment) -> None:
        self.segment = begun
        self.fd = disk.create(begun.path)
        self._disk = disk
        self._entries = self._size = 0

    def write(self, entries: Sequence[bytes]) -> None:
        data = segment.encode(entries)
        if not self.segment.size:
            # With the first entries, in one call: a file that holds only its
            # first line would be one more case for whoever finds it.
            data = HEADER + data
        self._disk.write(self.fd, data)
        self._entries, self._size = len(entries), len(data)

    def commit(self) -> None:
        self.segment.entries += self._entries
        self.segment.size += self._size
        self._entries = self._size = 0

    def roll_back(self) -> bool:
        self._entries = self._size = 0
        try:
            self._disk.truncate(self.fd, self.segment.size)
        except OSError:
            return False
        return True

    def close(self) -> None:
        # -1 before closing: a fork in between would otherwise make the child
        # close a number that is already somebody else's file.
        fd, self.fd = self.fd, -1
        # A network file system tells of failed writes here. Reading the file
        # back will find what is missing, and count it.
        with contextlib.suppress(OSError):
            os.close(fd)


class Writer:
    """Gathers entries in one open segment until that is full.

    So a trickle of single records in a long outage makes neither a file nor,
    afterwards, a request for each.

    Args:
        disk: What to write with.
        remover: Deletes files that were begun in vain.
        begin: Names the next segment.
    """

    def __init__(self, disk: Disk, remover: Remover, begin: Callable[[], Segment]) -> None:
        self._disk = disk
        self._remover = remover
        self._begin = begin
        self._file: _File | None = None
        self._sealed: list[Segment] = []

    @property
    def current(self) -> Segment | None:
        """The open segment, None if there is none."""
        return None if self._file is None else self._file.segment

    def parts(self, entries: Sequence[bytes]) -> list[Sequence[bytes]]:
        """Cuts entries to the files they go to. The first part, maybe empty, fills the open one."""
        parts = []
        if self._file is not None:
            now = self._file.segment
            taken = segment.fitting(
                entries,
                entries_free=MAX_ENTRIES - now.entries,
                bytes_free=MAX_BODY_BYTES + len(HEADER) - now.size,
            )
            parts.append(entries[:taken])
            entries = entries[taken:]
        while entries:
            taken = segment.fitting(entries, entries_free=MAX_ENTRIES, bytes_free=MAX_BODY_BYTES)
            parts.append(entries[:taken])
            entries = entries[taken:]
        return parts

    def append(self, parts: list[Sequence[bytes]]) -> int:
        """Writes what `parts` cut, handed to the operating system on return.

        Returns:
            The bytes by which files grew.

        Raises:
            OSError: Nothing was kept.
        """
        touched: list[_File] = []
        try:
            for part in parts:
                fresh = touched or self._file is None
                file = _File(self._disk, self._begin()) if fresh else self._file
                assert file is not None  # noqa: S101 - for the type checker
                touched.append(file)
                if part:
                    file.write(part)
        except OSError:
            for file in touched:
                self._take_back(file)
            raise
        before = sum(file.segment.size for file in touched)
        for file in touched:
            file.commit()
            self._file = file
            if file is not touched[-1]:
                self.seal()
        return sum(file.segment.size for file in touched) - before

    def seal(self) -> None:
        """Ends the open segment, if there is one; `collect` then has it. Never raises."""
        if self._file is None:
            return
        self._file.close()
        done, self._file = self._file.segment, None
        name = done.name._replace(kind="ndjson", entries=done.entries)
        path = done.path.with_name(str(name))
        # Under its old name it can be sent just as well, and found after a
        # crash: only its entries must be counted then.
        with contextlib.suppress(OSError):
            self._disk.rename(done.path, path)
            done.path, done.name = path, name
        self._sealed.append(done)

    def collect(self) -> list[Segment]:
        """Returns the segments that were sealed since the last call."""
        sealed, self._sealed = self._sealed, []
        return sealed

    def discard(self) -> Segment | None:
        """Closes the open segment and gives it up; its file is the caller's to delete."""
        if self._file is None:
            return None
        self._file.close()
        given_up, self._file = self._file.segment, None
        return given_up

    def deleted(self) -> bool:
        """Whether somebody deleted the open file: writing on would be writing to nowhere."""
        return self._file is not None and os.fstat(self._file.fd).st_nlink == 0

    def _take_back(self, file: _File) -> None:
        if not file.segment.entries:
            file.close()
            self._remover.delete(file.segment.path)
        elif not file.roll_back():
            # Bytes that nobody acknowledged stay behind its end. We read no
            # further than `size`; but nothing may be written after them.
            self.seal()
