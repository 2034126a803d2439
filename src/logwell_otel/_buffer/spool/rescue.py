"""Taking over the files of processes that died."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logwell_otel._buffer.spool import lease, paths, segment
from logwell_otel._buffer.spool.disk import SHORTAGES, Disk
from logwell_otel._buffer.spool.home import Home, files, instances
from logwell_otel._buffer.spool.segment import HEADER, MAX_FILE_BYTES, Name
from logwell_otel._wire import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Found:
    """A file that now lies in our own instance."""

    path: Path
    name: Name
    size: int


def dead(pool: Path, own: Path | None) -> Iterator[Orphan]:
    """Yields the instances whose processes are dead, each with its lease taken.

    The caller must `leave` each of them.

    Raises:
        OSError: The pool cannot be read.
    """
    for instance in instances(pool):
        if instance == own or (instance.exists() and not paths.is_safe(instance)):
            continue
        held = None
        # One that cannot be asked for its lease is somebody else's to rescue.
        with contextlib.suppress(OSError):
            held = lease.take_over(instance)
        if held is not None:
            yield Orphan(instance, held)


class Orphan:
    """An instance without a process, held by us while we empty it."""

    def __init__(self, directory: Path, held: lease.Lease) -> None:
        self._directory = directory
        self._lease = held

    def empty(self) -> bool:
        """Whether there is nothing of a spool's in it."""
        return not files(self._directory)

    def move_to(self, home: Home, disk: Disk) -> list[Found]:
        """Moves its files to our own instance, one atomic rename each.

        So no two rescuers can ever get the same file, and one that is killed
        half-way leaves each file in one place or the other. A file that cannot
        be moved stays for the next look.
        """
        found = []
        for path, name, size in files(self._directory):
            with contextlib.suppress(OSError):
                target = self._identify(path, name, size, home, disk)
                if target is None:
                    disk.unlink(path)
                    continue
                disk.rename(path, home.directory / str(target))
                found.append(Found(home.directory / str(target), target, size))
        return found

    def delete(self, disk: Disk) -> list[tuple[int, int]]:
        """Deletes its files; returns entries and size of each.

        Raises:
            OSError: The disk says no.
        """
        deleted = []
        for path, name, size in files(self._directory):
            entries = entries_in(path, name, size, disk)
            disk.unlink(path)
            deleted.append((entries, size))
        return deleted

    def leave(self) -> None:
        """Removes what is empty and lets go of the lease. Never raises."""
        try:
            self._directory.rmdir()
        except FileNotFoundError:
            empty = True
        except OSError:
            empty = False
        else:
            empty = True
        self._lease.release(remove=empty)

    @staticmethod
    def _identify(path: Path, name: Name, size: int, home: Home, disk: Disk) -> Name | None:
        """Returns the name a file gets in our instance, None if it is to be deleted."""
        if name.kind == "tmp":
            return None  # a rewrite that was cut short; the file itself is still there
        if name.kind == "corrupt":
            return home.name(name.created_ms, "corrupt")
        if name.kind == "ndjson":
            return home.name(name.created_ms, "ndjson", min(name.entries, MAX_ENTRIES))
        if size > MAX_FILE_BYTES:
            return home.name(name.created_ms, "corrupt")
        try:
            data = disk.read(path, MAX_FILE_BYTES)
        except OSError as error:
            if error.errno in SHORTAGES:
                raise
            return home.name(name.created_ms, "corrupt")
        if HEADER.startswith(data):
            return None  # killed before its first entry was written
        entries = segment.count(data)
        return home.name(name.created_ms, "ndjson" if entries else "corrupt", entries)


def entries_in(path: Path, name: Name, size: int, disk: Disk) -> int:
    """Returns how many entries to deliver a file holds, damage not considered.

    By its name; only one that was still being filled is read.

    Raises:
        OSError: It cannot be read.
    """
    if name.kind == "open" and size <= MAX_FILE_BYTES:
        return segment.count(disk.read(path, MAX_FILE_BYTES))
    return name.entries
