"""An instance: the one directory of a pool that one living process writes to."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from logwell_otel._buffer.spool import lease, paths
from logwell_otel._buffer.spool.segment import Kind, Name

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")


class Home:
    """This process' instance, from taking its lease to leaving it.

    Attributes:
        directory: `<pool>/<process id>-<random>`.
    """

    def __init__(self, directory: Path, held: lease.Lease) -> None:
        self.directory = directory
        self._lease = held
        self._sequence = itertools.count(1)
        self._touched: float | None = None

    @classmethod
    def create(cls, pool: Path, about: paths.About) -> Home:
        """Makes a new instance, and the directories above it if they are missing.

        Raises:
            SpoolError: A directory is not safe to use.
            OSError: The disk says no.
        """
        paths.prepare_root(pool.parent)
        paths.prepare_below(pool)
        _describe(pool, about)
        while True:
            # The process id is for people; random, because containers all
            # have the same few ids.
            directory = pool / f"{os.getpid()}-{secrets.token_hex(4)}"
            held = lease.create(directory)
            if held is not None:
                break
        try:
            paths.prepare_below(directory)
        except BaseException:
            held.release(remove=True)
            raise
        return cls(directory, held)

    def held(self) -> bool:
        """Whether the files in it are still ours to delete."""
        return self._lease.held()

    def beat(self, now: float) -> None:
        """Touches the lease when it is time to.

        Args:
            now: Seconds on the monotonic clock.

        Raises:
            OSError: The disk says no.
        """
        if self._touched is None or now - self._touched >= lease.HEARTBEAT_SECONDS:
            self._lease.touch()
            self._touched = now

    def name(self, created_ms: int, kind: Kind, entries: int = 0) -> Name:
        """Returns a file name not used before in this directory."""
        return Name(created_ms, next(self._sequence), kind, entries)

    def leave(self) -> None:
        """Lets go of the lease; removes the directory if nothing is left in it."""
        # Any failure means that it is not empty or not ours to remove: whoever
        # adopts it, or finds it empty, does the same again.
        empty = False
        if self.held():
            with contextlib.suppress(OSError):
                self.directory.rmdir()
                empty = True
        self._lease.release(remove=empty)

    def forget(self) -> None:
        """Drops this process' copy of the lease and leaves everything as it is."""
        self._lease.forget()


def instances(pool: Path) -> Iterator[Path]:
    """Yields the directories of all instances in a pool, dead or alive, oldest name first.

    Also those of which only the lease's file is left. Names that are not a
    spool's and symbolic links are passed over: they are somebody else's.

    Raises:
        OSError: The pool cannot be read.
    """
    found = set()
    with os.scandir(pool) as listing:
        for item in listing:
            path = Path(item.path)
            base = path if item.is_dir(follow_symlinks=False) else lease.base_of(path)
            if base is not None and _NAME.fullmatch(base.name):
                found.add(base)
    yield from sorted(found)


def files(directory: Path) -> list[tuple[Path, Name, int]]:
    """Returns path, name and size of each of a spool's own files in an instance.

    In the order they were begun. Whatever is not a plain file of ours, or does
    not have one of our names, is passed over and never touched. An instance
    without a directory has none.

    Raises:
        OSError: The directory cannot be read.
    """
    found = []
    try:
        with os.scandir(directory) as listing:
            for item in listing:
                name = Name.parse(item.name)
                if name is None:
                    continue
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # just delivered, or renamed
                if item.is_file(follow_symlinks=False) and paths.owner_is_us(status):
                    found.append((Path(item.path), name, status.st_size))
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda file: file[1])


def _describe(pool: Path, about: paths.About) -> None:
    path = pool / paths.ABOUT
    if path.exists():
        return
    # For people only, so no reason to refuse entries: a spool that cannot
    # write it is listed by its directory's name.
    draft = pool / f"{paths.ABOUT}.{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):
        try:
            draft.write_bytes(msgspec.json.encode(about) + b"\n")
            draft.chmod(0o600)
            draft.replace(path)
        except OSError:
            draft.unlink()
