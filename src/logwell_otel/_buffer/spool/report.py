"""What lies in a spool directory, for people, and clearing it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from logwell_otel._buffer.spool import lease, paths, rescue
from logwell_otel._buffer.spool.disk import Disk
from logwell_otel._buffer.spool.errors import SpoolError
from logwell_otel._buffer.spool.home import files, instances


@dataclass(frozen=True)
class InstanceReport:
    """What one process keeps, or has left.

    Attributes:
        path: Its directory.
        alive: True if a living process holds it, or that cannot be found out.
        entries: Entries to be delivered, by the files' names: damage shows only on reading.
        bytes: Their files' bytes.
        oldest: When the oldest was stored, in seconds since 1970; None without entries.
        set_aside_files: Files that could not be read.
        set_aside_bytes: Their bytes.
    """

    path: Path
    alive: bool
    entries: int
    bytes: int
    oldest: float | None
    set_aside_files: int
    set_aside_bytes: int


@dataclass(frozen=True)
class PoolReport:
    """What is kept for one endpoint and service.

    Attributes:
        path: The pool's directory.
        endpoint: The server's URL, None if the pool does not tell.
        service: The service name, likewise.
        instances: One for each process that has or had entries here.
    """

    path: Path
    endpoint: str | None
    service: str | None
    instances: tuple[InstanceReport, ...]

    @property
    def name(self) -> str:
        """The directory's name, by which `purge` takes it."""
        return self.path.name

    @property
    def entries(self) -> int:
        """Entries to be delivered, of all processes."""
        return sum(instance.entries for instance in self.instances)

    @property
    def bytes(self) -> int:
        """Bytes on disk, of all processes, set-aside files included."""
        return sum(instance.bytes + instance.set_aside_bytes for instance in self.instances)

    @property
    def oldest(self) -> float | None:
        """When the oldest entry was stored, in seconds since 1970; None without entries."""
        return min((one.oldest for one in self.instances if one.oldest is not None), default=None)


@dataclass(frozen=True)
class PurgeReport:
    """What `purge` deleted.

    Attributes:
        files: Files deleted, set-aside ones included.
        entries: Entries that were in them and are lost now.
        bytes: Their bytes.
        left: Instances left alone because a living process holds them.
    """

    files: int
    entries: int
    bytes: int
    left: tuple[Path, ...]


def list_spools(directory: str | os.PathLike[str]) -> list[PoolReport]:
    """Returns what lies in a spool directory, by pool name. Changes nothing.

    Raises:
        SpoolError: There is no such directory, or it cannot be read.
    """
    try:
        return [_describe(pool) for pool in _pools(directory)]
    except OSError as error:
        raise SpoolError(f"{directory} cannot be read: {error.strerror}.") from error


def purge(directory: str | os.PathLike[str], *, pool: str | None = None) -> PurgeReport:
    """Deletes what dead processes have left, delivered or not, and set-aside files.

    Args:
        directory: The spool directory.
        pool: The name of one pool; all of them by default.

    Raises:
        SpoolError: There is no such directory or pool, it is not safe to delete
            in, or the disk says no.
    """
    disk = Disk()
    deleted: list[tuple[int, int]] = []
    left: list[Path] = []
    try:
        pools = [path for path in _pools(directory) if pool in (None, path.name)]
        if pool is not None and not pools:
            raise SpoolError(f"{directory} has no pool named {pool}.")
        for path in pools:
            paths.prepare_below(path)
            for orphan in rescue.dead(path, None):
                try:
                    deleted += orphan.delete(disk)
                finally:
                    orphan.leave()
            living = [instance for instance in instances(path) if instance.exists()]
            left += living
            if not living:
                (path / paths.ABOUT).unlink(missing_ok=True)
                path.rmdir()
    except OSError as error:
        raise SpoolError(f"{directory} cannot be cleared: {error.strerror}.") from error
    return PurgeReport(
        files=len(deleted),
        entries=sum(entries for entries, _ in deleted),
        bytes=sum(size for _, size in deleted),
        left=tuple(left),
    )


def _pools(directory: str | os.PathLike[str]) -> list[Path]:
    root = Path(os.path.realpath(directory))
    with os.scandir(root) as listing:
        # A pool's name ends with a hash; other directories are not ours.
        return sorted(
            Path(item.path)
            for item in listing
            if item.is_dir(follow_symlinks=False) and paths.is_pool_name(item.name)
        )


def _describe(pool: Path) -> PoolReport:
    try:
        about = msgspec.json.decode((pool / paths.ABOUT).read_bytes(), type=paths.About)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        about = None  # for people only, so not worth an error
    return PoolReport(
        pool,
        None if about is None else about.endpoint,
        None if about is None else about.service,
        tuple(_look(instance) for instance in instances(pool) if instance.exists()),
    )


def _look(instance: Path) -> InstanceReport:
    found = files(instance)
    aside = [size for _, name, size in found if name.kind == "corrupt"]
    held = [
        (name, size, rescue.entries_in(path, name, size, Disk()))
        for path, name, size in found
        if name.kind in {"ndjson", "open"}
    ]
    return InstanceReport(
        instance,
        lease.is_live(instance),
        sum(entries for _, _, entries in held),
        sum(size for _, size, _ in held),
        min((name.created_ms / 1000 for name, _, _ in held), default=None),
        len(aside),
        sum(aside),
    )
