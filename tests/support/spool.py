"""A directory of spools, entries known by number, a disk that fails."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from logwell_otel._buffer.spool import Disk, Spool, SpooledChunk, lease

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ENDPOINT = "https://logs.example.com"
SERVICE = "checkout"


def entry(number: int, size: int = 0) -> bytes:
    """An entry that `numbers` knows again, of at least `size` bytes."""
    start = b'{"level":"info","message":"%d' % number
    return start + b" " * (size - len(start) - 2) + b'"}'


def entries(first: int, count: int, size: int = 0) -> list[bytes]:
    return [entry(number, size) for number in range(first, first + count)]


def numbers(chunk_or_entries: SpooledChunk | Iterable[bytes] | None) -> list[int]:
    assert chunk_or_entries is not None
    found = chunk_or_entries
    if isinstance(found, SpooledChunk):
        found = found.entries
    return [int(one.split(b'"message":"')[1].rstrip(b' "}')) for one in found]


def drain(spool: Spool) -> list[int]:
    """Delivers everything there is and returns its numbers."""
    found = []
    while (chunk := spool.take()) is not None:
        found += numbers(chunk)
        spool.done(chunk)
    return found


def check_sum(spool: Spool) -> None:
    counters = spool.counters
    assert counters.came_in == counters.went_out + counters.entries_held, counters
    assert min(vars(counters).values()) >= 0, counters


class World:
    """One spool directory, a clock, and the processes (or what stands for them) that use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "spool"
        self.wall = 1_800_000_000.0
        self.mono = 1_000.0
        self._spools: list[Spool] = []

    def __enter__(self) -> World:  # noqa: PYI034 - typing.Self came with 3.11
        return self

    def __exit__(self, *error: object) -> None:
        for spool in self._spools:
            spool.close()

    def open(self, *, service: str = SERVICE, disk: Disk | None = None, **caps: Any) -> Spool:
        spool = Spool(
            self.directory,
            endpoint=ENDPOINT,
            service=service,
            clock=lambda: self.wall,
            monotonic=lambda: self.mono,
            disk=disk,
            **caps,
        )
        self._spools.append(spool)
        return spool

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds

    def kill(self) -> None:
        """Ends every spool as a kill would: locks are let go, nothing is tidied up."""
        lease.forget_all()

    def restart(self, **caps: Any) -> Spool:
        """Kills, and returns a new spool that has looked for what was left."""
        self.kill()
        spool = self.open(**caps)
        spool.adopt()
        return spool

    def files(self, pattern: str = "*/*/*") -> list[Path]:
        return sorted(self.directory.glob(pattern))

    def file(self, pattern: str) -> Path:
        (found,) = self.files(pattern)
        return found


class FailingDisk(Disk):
    """A disk that refuses the operations named in `failing`, with an error for each."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.write_at_most = sys.maxsize

    def _ask(self, operation: str, path: object = None) -> None:
        if operation in self.failing:
            code = self.failing[operation]
            raise OSError(code, os.strerror(code), path)

    def create(self, path: Path) -> int:
        self._ask("create", path)
        return super().create(path)

    def write(self, fd: int, data: bytes) -> None:
        if "write" in self.failing:
            super().write(fd, data[: self.write_at_most])
        self._ask("write")
        super().write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        self._ask("truncate")
        super().truncate(fd, size)

    def read(self, path: Path, limit: int) -> bytes:
        self._ask("read", path)
        return super().read(path, limit)

    def rename(self, source: Path, target: Path) -> None:
        self._ask("rename", source)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._ask("unlink", path)
        super().unlink(path)
