"""Reading segments back, whatever has become of them, and writing them anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import segment as format_
from logwell_otel._buffer.spool.disk import SHORTAGES, Disk
from logwell_otel._buffer.spool.segment import HEADER, MAX_FILE_BYTES, Content, Segment
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel._buffer.spool.home import Home
    from logwell_otel._buffer.spool.remover import Remover
    from logwell_otel._buffer.spool.shelf import Shelf


class Reader:
    """Turns segments into entries; sets aside what cannot be read."""

    def __init__(self, shelf: Shelf, disk: Disk, remover: Remover) -> None:
        self._shelf = shelf
        self._disk = disk
        self._remover = remover

    def read(self, segment: Segment, home: Home) -> list[bytes] | None:
        """Reads a segment.

        A damaged file is never an error and never tried twice: its whole
        entries are delivered, the rest is set aside and counted.

        Returns:
            Its entries, None if there are none to deliver; it is no longer held then.

        Raises:
            OSError: The trouble is not this file's alone; it was left as it is.
        """
        if segment.rest is not None:
            return segment.rest
        try:
            data = self._disk.read(segment.path, MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            self._shelf.close(segment, "gone")
            return None
        except OSError as error:
            if error.errno in SHORTAGES:
                raise
            self._set_aside(segment, home)
            return None
        if not segment.recovered:
            # What lies behind was never acknowledged: a write that failed, on
            # a disk that would not even take it back.
            data = data[: segment.size]
        content = Content(known=False) if len(data) > MAX_FILE_BYTES else format_.parse(data)
        if not content.known or len(content.entries) > MAX_ENTRIES:
            self._set_aside(segment, home)
            return None
        self._shelf.found(segment, len(content.entries) + len(content.bad))
        if not content.entries:
            self._set_aside(segment, home)
            return None
        if content.bad:
            self._shelf.out(segment, "set_aside", len(content.bad))
            # In this order a crash in between repeats a set-aside line and
            # loses nothing.
            self._keep(content.bad, segment, home)
            self.rewrite(segment, content.entries, home)
        return content.entries

    def rewrite(self, segment: Segment, entries: list[bytes], home: Home) -> None:
        """Replaces a segment's files by one with only `entries`. Never raises.

        Where the disk refuses, they are kept in memory instead: the next
        process would then see the whole file again, and send some twice.
        """
        draft = segment.path.with_name(str(segment.name._replace(kind="tmp")))
        name = segment.name._replace(kind="ndjson", entries=len(entries))
        path = home.directory / str(name)
        data = HEADER + format_.encode(entries)
        try:
            self._write(draft, data)
            # The name first: killed in between, the next process finds more
            # entries than the name says and counts them. Never fewer, which
            # would look like a loss.
            if path != segment.path:
                self._disk.rename(segment.path, path)
                segment.path, segment.name = path, name
            self._disk.rename(draft, path)
        except OSError:
            self._remover.delete(draft)
            segment.rest = entries
            return
        segment.rest = None
        self._shelf.resized(segment, len(data))
        for covered in segment.covers:
            self._remover.delete(covered)
        segment.covers = []

    def _set_aside(self, segment: Segment, home: Home) -> None:
        name = home.name(segment.name.created_ms, "corrupt")
        path = home.directory / str(name)
        # If not even this works, the directory is in trouble and not the file:
        # raises, before anything is counted.
        self._disk.rename(segment.path, path)
        aside = Segment(path, name, segment.born, 0, segment.size)
        self._shelf.close(segment, "set_aside")
        self._shelf.aside(aside)

    def _keep(self, bad: list[bytes], segment: Segment, home: Home) -> None:
        name = home.name(segment.name.created_ms, "corrupt")
        path = home.directory / str(name)
        data = b"\n".join(bad)
        try:
            self._write(path, data)
        except OSError:
            # A full disk: they are counted, but nobody will see their bytes.
            self._remover.delete(path)
            return
        self._shelf.aside(Segment(path, name, segment.born, 0, len(data)))

    def _write(self, path: Path, data: bytes) -> None:
        fd = self._disk.create(path)
        try:
            self._disk.write(fd, data)
        finally:
            os.close(fd)
