"""Where a spool may lie, who may read it, and what is never in it."""

from __future__ import annotations

import errno
import functools
import os
import re
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel import _storage
from logwell_otel._buffer.spool import Spool, names
from logwell_otel._config.address import base_url
from logwell_otel._storage import StorageError
from support.spool import ENDPOINT, World, chunk, drain

if TYPE_CHECKING:
    from collections.abc import Iterator

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def opened(directory: Path, endpoint: str = ENDPOINT, service: str = "s") -> Spool:
    return Spool(directory, endpoint=endpoint, service=service, project=lambda: "p")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_are_0700_and_files_0600_whatever_the_umask(world: World, umask: int) -> None:
    old = os.umask(umask)
    try:
        world.open().store([chunk(0, 100)])
        files = list(world.directory.iterdir())
        assert {path.name.rpartition(".")[2] for path in files} == {
            "db",
            "db-wal",
            "db-shm",
            "owner",
        }
        for path in files:
            assert mode(path) == 0o600, path
        assert mode(world.directory) == 0o700
    finally:
        os.umask(old)


def test_missing_parents_are_made_for_us_alone(tmp_path: Path) -> None:
    opened(tmp_path / "a" / "b" / "c")
    assert {mode(tmp_path / path) for path in ("a", "a/b", "a/b/c")} == {0o700}


def test_the_directory_may_be_reached_by_a_link(world: World, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    world.directory.symlink_to(real)
    spool = world.open()
    assert spool.path.parent == real
    spool.store([chunk(0)])
    assert drain(spool) == [0]


@pytest.mark.parametrize("there", [False, True])
def test_a_link_below_the_directory_is_refused(world: World, tmp_path: Path, there: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.write_bytes(b"")
    path = world.open().path
    path.unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(StorageError, match=r"symbolic link.*Remove the link"):
        world.open()
    assert not there or elsewhere.read_bytes() == b""


def test_a_directory_everybody_may_write_to_is_refused(world: World) -> None:
    world.open()
    world.directory.chmod(0o777)
    with pytest.raises(StorageError, match=r"writable by every user \(mode 0777\).*logwell"):
        world.open()


def test_the_advice_to_name_a_directory_below_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Kubernetes emptyDir has mode 0777, and is a volume of its own.
    volume = world.directory
    volume.mkdir()
    volume.chmod(0o777)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == volume)
    world.directory = volume / "logwell"
    spool = world.open()
    spool.store([chunk(0)])
    assert drain(spool) == [0]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_parent_in_which_everybody_could_put_another_one_is_refused(
    world: World, depth: int
) -> None:
    world.directory.mkdir()
    shared, world.directory = world.directory, world.directory.joinpath(*"abc"[:depth])
    world.directory.parent.mkdir(exist_ok=True)
    shared.chmod(0o777)
    text = rf"{shared} is writable by every user \(mode 0777\), any"
    with pytest.raises(StorageError, match=text):
        world.open()
    shared.chmod(0o1777)  # as /tmp: who owns a directory keeps it
    world.open()


@root_only
def test_a_parent_of_another_user_is_refused(world: World) -> None:
    world.directory.mkdir()
    os.chown(world.directory, 12345, -1)
    theirs, world.directory = world.directory, world.directory / "ours"
    with pytest.raises(StorageError, match=rf"{theirs} belongs to user id 12345, who could put"):
        world.open()


def test_what_kubernetes_opens_to_a_group_is_closed_again(world: World) -> None:
    # kubelet adds g+rwx and setgid to everything in a volume with an fsGroup,
    # at each mount. Refusing would strand what is in it.
    world.open().store([chunk(0, 3)])
    world.kill()
    for path in [world.directory, *world.directory.rglob("*")]:
        path.chmod(mode(path) | (0o2770 if path.is_dir() else 0o660))
    spool = world.open()
    assert mode(spool.path) == 0o600
    assert mode(world.directory) & 0o7777 == 0o2770  # the user's own: left as it is
    assert world.look(spool) == {"recovered": 3}
    assert drain(spool) == [0, 1, 2]


@root_only
@pytest.mark.parametrize("where", ["root", "database"])
def test_what_is_somebody_elses_is_refused(world: World, where: str) -> None:
    spool = world.open()
    os.chown(world.directory if where == "root" else spool.path, 12345, -1)
    with pytest.raises(StorageError, match="belongs to user id 12345, not to 0"):
        world.open()


def test_a_file_in_the_directorys_place_and_a_directory_in_the_files(
    world: World, tmp_path: Path
) -> None:
    spool = world.open()
    spool.path.unlink()
    spool.path.mkdir()
    with pytest.raises(StorageError, match="is not a file"):
        world.open()
    world.directory = tmp_path / "file"
    world.directory.write_text("")
    with pytest.raises(StorageError, match=r"cannot be created \(File exists\)"):
        world.open()


def test_a_directory_that_cannot_be_written_to_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match=r"not readable and writable.*mode 0700"):
        world.open()


def test_a_file_system_without_locks_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_storage, "_lock", refuse)
    with pytest.raises(StorageError, match=r"no locks.*name a directory on a local disk"):
        world.open()
    assert list(world.directory.iterdir()) == []


def test_a_network_file_system_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_storage, "network_file_system", lambda _: "nfs4")
    with pytest.raises(StorageError, match=r"\(nfs4, a network file system\).*local disk"):
        world.open()


def test_the_kind_of_file_system_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _storage.network_file_system(tmp_path) is None
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    line = f"36 35 {number} / /srv rw,relatime - nfs4 host:/srv rw,vers=4\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: line)
    assert _storage.network_file_system(tmp_path) == "nfs4"


def test_without_proc_the_file_system_is_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", missing)
    assert _storage.network_file_system(world.directory.parent) is None
    with pytest.raises(StorageError, match=r"write-ahead log \(locking protocol\).*local disk"):
        world.open(connect=failing("locking protocol"))
    world.open().store([chunk(0)])


def failing(message: str, name: str = "") -> Any:
    """Connections on a file system that cannot share memory."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorname = name

    class Failing(sqlite3.Connection):
        def executescript(self, sql: str, /) -> sqlite3.Cursor:
            raise error

    return functools.partial(sqlite3.connect, factory=Failing)


@pytest.mark.parametrize("service", ["s", None])
@pytest.mark.parametrize(
    ("message", "name"),
    [("locking protocol", ""), ("disk I/O error", "SQLITE_IOERR_SHMMAP")],
)
def test_a_file_system_that_cannot_share_memory_is_refused(
    world: World, service: str | None, message: str, name: str
) -> None:
    with pytest.raises(StorageError, match=rf"cannot keep a write-ahead log \({message}\)"):
        world.open(service=service, connect=failing(message, name))
    assert list(world.directory.iterdir()) == []


@pytest.mark.parametrize("service", ["s", None])
@pytest.mark.parametrize(
    "message", ["database or disk is full", "attempt to write a readonly database"]
)
def test_a_disk_that_is_full_or_read_only_is_no_reason_to_refuse(
    world: World, service: str | None, message: str
) -> None:
    world.open(service=service, connect=failing(message))
    assert list(world.directory.iterdir()) == []


@pytest.mark.parametrize("service", ["s", None])
def test_a_file_system_without_a_write_ahead_log_is_refused(
    world: World, service: str | None
) -> None:
    class NoLog(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("= WAL", "= DELETE"), *parameters)

    with pytest.raises(StorageError, match=r"cannot keep a write-ahead log \(it offers 'delete'\)"):
        world.open(service=service, connect=functools.partial(sqlite3.connect, factory=NoLog))


def test_a_python_without_sqlite_is_told_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_storage, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(StorageError, match=r"has SQLite 3\..*needs 99\.0\.0 or later"):
        world.open()
    monkeypatch.setattr(_storage, "sqlite3", None)
    with pytest.raises(StorageError, match="built without the module sqlite3"):
        world.open()


@pytest.mark.parametrize(
    ("endpoint", "canonical"),
    [
        ("https://Logs.Example.com/", "https://logs.example.com"),
        ("https://logs.example.com:443", "https://logs.example.com"),
        ("http://logs.example.com:80/x/", "http://logs.example.com/x"),
        ("https://logs.example.com:8443", "https://logs.example.com:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_spellings_of_one_endpoint_are_one_pool(endpoint: str, canonical: str) -> None:
    assert base_url(endpoint) == canonical


def test_a_service_name_from_a_broken_environment_is_no_obstacle(world: World) -> None:
    spool = world.open(service="caf\udce9")
    spool.store([chunk(0)])
    assert drain(spool) == [0]


def test_the_name_is_the_same_at_every_start() -> None:
    # Entries must be found again after an upgrade: this name may never change.
    assert names.pool_name(ENDPOINT, "checkout") == "logs.example.com-checkout-31a62e8035d9"


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_service_name_gives_a_plain_directory_name_of_its_own(one: str, other: str) -> None:
    name = names.pool_name(ENDPOINT, one)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,80}", name)
    assert (name == names.pool_name(ENDPOINT, other)) is (one == other)
