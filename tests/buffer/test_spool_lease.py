"""Who holds an instance, with the system's locks and on file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import SpoolCounters, SpoolWriteError, lease, list_spools, oslock
from support.process import Child, say
from support.spool import World, check_sum, drain, entries, entry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(fd: int) -> bool:
        raise oslock.LocksUnsupported

    monkeypatch.setattr(oslock, "try_lock", unsupported)


def age(path: Path, seconds: float) -> None:
    """Makes a lease look as if nobody had touched it for so long."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_recognised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    held = lease.create(tmp_path / "1-00000000")
    assert held is not None
    assert held.path.suffix == ".lease"
    assert [path.name for path in tmp_path.iterdir()] == ["1-00000000.lease"]
    held.release(remove=True)


def test_other_trouble_with_locking_is_raised_and_leaks_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    left = tmp_path / "1-00000000"
    left.with_suffix(".lock").touch()
    before = os.listdir("/dev/fd")  # noqa: PTH208 - names are all that is wanted
    with pytest.raises(OSError, match="broken"):
        lease.create(tmp_path / "2-00000000")
    with pytest.raises(OSError, match="broken"):
        lease.take_over(left)
    assert lease.is_live(left)  # cannot be told
    assert os.listdir("/dev/fd") == before  # noqa: PTH208


def test_a_name_that_is_taken_or_just_being_looked_at_is_not_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "1-00000000"
    held = lease.create(base)
    assert held is not None
    assert lease.create(base) is None
    assert lease.take_over(base) is None
    held.release(remove=True)
    monkeypatch.setattr(oslock, "try_lock", lambda fd: False)
    assert lease.create(base) is None
    (tmp_path / "2-00000000.lock").touch()
    assert lease.take_over(tmp_path / "2-00000000") is None
    assert lease.is_live(tmp_path / "2-00000000")


def test_a_lock_on_a_file_that_is_no_longer_there_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another rescuer was between opening it and locking it.
    base = tmp_path / "1-00000000"
    path = tmp_path / "1-00000000.lock"

    def deleted_meanwhile(fd: int) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr(oslock, "try_lock", deleted_meanwhile)
    assert lease.create(base) is None
    path.touch()
    assert lease.take_over(base) is None


def test_a_forgotten_lease_is_not_held(tmp_path: Path) -> None:
    held = lease.create(tmp_path / "1-00000000")
    assert held is not None
    assert held.held()
    held.forget()
    held.forget()
    assert not held.held()
    assert not lease.is_live(tmp_path / "1-00000000")
    assert not lease.is_live(tmp_path / "2-00000000")


def test_a_lock_that_cannot_be_looked_at_just_now_is_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions taken away for a moment: all that was held once counted as gone."""
    held = lease.create(tmp_path / "1-00000000")
    assert held is not None

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as now:
        now.setattr(Path, "lstat", refuse)
        assert held.held()
    assert held.held()
    held.path.unlink()
    assert not held.held()
    held.forget()


def test_where_locks_are_the_process_own_locks_are_not_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Linux maps flock to locks of the whole process on NFS: trying one's own
    # succeeds, and closing the file afterwards loses it.
    spool, other = world.open(), world.open()
    spool.store(entries(0, 3))
    monkeypatch.setattr(oslock, "try_lock", lambda fd: True)
    assert other.adopt() == 0
    assert list_spools(world.directory)[0].instances[0].alive
    assert drain(spool) == [0, 1, 2]


def test_without_locks_a_living_process_keeps_its_own(world: World, no_locks: None) -> None:
    spool, other = world.open(), world.open()
    spool.store(entries(0, 3))
    assert world.file("*/*.lease").stat().st_size == 0
    age(world.file("*/*.lease"), lease.LEASE_SECONDS - 5)
    world.kill()
    assert other.adopt() == 0
    world.sleep(11)
    age(world.file("*/*.lease"), 10)
    assert other.adopt() == 3
    assert drain(other) == [0, 1, 2]


def test_without_locks_nothing_of_ones_own_is_taken_for_dead(world: World, no_locks: None) -> None:
    spool, other = world.open(), world.open()
    spool.store(entries(0, 3))
    age(world.file("*/*.lease"), 2 * lease.LEASE_SECONDS)
    assert other.adopt() == 0
    assert list_spools(world.directory)[0].instances[0].alive


def test_every_call_shows_that_the_holder_lives(world: World, no_locks: None) -> None:
    spool = world.open()
    spool.store([entry(0)])
    file = world.file("*/*.lease")
    chunk = spool.take()
    assert chunk is not None
    for call in (
        lambda: spool.store([entry(1)]),
        spool.expire,
        spool.adopt,
        spool.take,
        lambda: spool.give_back(chunk),
    ):
        age(file, 1000)
        before = file.stat().st_mtime
        call()
        assert file.stat().st_mtime == before  # not at every call
        world.sleep(lease.HEARTBEAT_SECONDS)
        call()
        assert file.stat().st_mtime > before


def test_who_stood_still_too_long_finds_out_before_deleting_anything(
    world: World, no_locks: None
) -> None:
    def stalled(out: int) -> None:
        spool = world.open()
        spool.store(entries(0, 150))
        first, second = spool.take(), spool.take()
        assert first is not None
        assert second is not None
        say(out, "stored")
        os.kill(os.getpid(), signal.SIGSTOP)
        spool.done(first)
        spool.give_back(second)
        spool.store([entry(1000)])
        check_sum(spool)
        assert spool.counters == SpoolCounters(
            stored=151, done=100, gone=50, entries_held=1, bytes_held=50
        )
        say(out, *drain(spool))

    child = Child(stalled)
    assert child.line() == "stored"
    os.waitpid(child.pid, os.WUNTRACED)
    age(world.file("*/*.lease"), lease.LEASE_SECONDS + 5)
    rescuer = world.open()
    assert rescuer.adopt() == 150
    os.kill(child.pid, signal.SIGCONT)
    assert child.join() == ["1000"]
    assert drain(rescuer) == list(range(150))


def test_what_waited_is_gone_with_the_lease(world: World, no_locks: None) -> None:
    stalled = world.open()
    stalled.store(entries(0, 250))
    chunk = stalled.take()
    assert chunk is not None
    world.file("*/*.lease").unlink()
    rest = stalled.replace(chunk, chunk.entries[10:])
    assert stalled.counters.gone == 150
    assert stalled.last_error is not None
    stalled.give_back(rest)
    check_sum(stalled)
    assert stalled.counters == SpoolCounters(stored=250, done=10, gone=240)
    # It left a directory without a lease, which anybody may adopt, it too.
    assert stalled.adopt() == 250


def test_a_rescue_that_ends_after_the_home_was_lost_is_left_for_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from logwell_otel._buffer.spool.rescue import Orphan

    world.open().store(entries(0, 3))
    world.kill()
    spool = world.open()
    spool.store([entry(9)])
    move = Orphan.move_to

    def move_and_lose(self: Orphan, *arguments: object) -> object:
        found = move(self, *arguments)  # type: ignore[arg-type]
        spool.close()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Orphan, "move_to", move_and_lose)
        assert spool.adopt() == 0
    assert sorted(drain(world.restart())) == [0, 1, 2, 9]


def test_a_spool_closed_while_it_looks_takes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from logwell_otel._buffer.spool.rescue import Orphan

    world.open().store(entries(0, 3))
    world.kill()
    spool = world.open()
    empty = Orphan.empty

    def close_and_look(self: Orphan) -> bool:
        spool.close()
        return empty(self)

    with monkeypatch.context() as patch:
        patch.setattr(Orphan, "empty", close_and_look)
        assert spool.adopt() == 0
    assert drain(world.restart()) == [0, 1, 2]


def test_two_looks_at_once_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from logwell_otel._buffer.spool import rescue

    world.open().store(entries(0, 3))
    world.kill()
    spool = world.open()
    dead = rescue.dead
    nested: list[int] = []

    def look(*arguments: object) -> object:
        nested.append(spool.adopt())
        return dead(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rescue, "dead", look)
    assert spool.adopt() == 3
    assert nested == [0]


def test_a_pool_that_cannot_be_looked_at_is_told(world: World) -> None:
    spool = world.open()
    spool.path.rmdir()
    assert spool.adopt() == 0
    assert spool.last_error is not None
    assert "No such file" in spool.last_error


def test_a_lease_that_cannot_be_touched_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.open()
    spool.store([entry(0)])

    def touch(self: lease.Lease) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(lease.Lease, "touch", touch)
    world.sleep(100)
    assert drain(spool) == [0]
    assert spool.last_error is not None
    assert "read-only" in spool.last_error


def test_another_hosts_lock_is_left_to_hosts_that_can_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open().store(entries(0, 3))
    world.kill()

    def unsupported(fd: int) -> bool:
        raise oslock.LocksUnsupported

    with monkeypatch.context() as patch:
        patch.setattr(oslock, "try_lock", unsupported)
        assert world.open().adopt() == 0
        assert list_spools(world.directory)[0].instances[0].alive
    assert world.open().adopt() == 3


def test_an_expired_lease_is_adopted_also_by_a_host_that_can_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(fd: int) -> bool:
        raise oslock.LocksUnsupported

    with monkeypatch.context() as patch:
        patch.setattr(oslock, "try_lock", unsupported)
        world.open().store(entries(0, 3))
    world.kill()
    spool = world.open()
    assert list_spools(world.directory)[0].instances[0].alive
    assert spool.adopt() == 0
    age(world.file("*/*.lease"), lease.LEASE_SECONDS + 1)
    assert not list_spools(world.directory)[0].instances[0].alive
    world.sleep(11)
    assert spool.adopt() == 3
    drain(spool)
    spool.close()
    assert [path.name for path in world.files("*/*")] == ["pool.json"]


def test_of_two_that_claim_an_expired_lease_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_locks: None
) -> None:
    base = tmp_path / "1-00000000"
    path = tmp_path / "1-00000000.lease"
    path.touch()
    age(path, lease.LEASE_SECONDS + 1)
    unlink = type(path).unlink

    def other_first(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok)
        if self == path:
            path.touch()

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "unlink", other_first)
        assert lease.take_over(base) is None
    age(path, lease.LEASE_SECONDS + 1)
    held = lease.take_over(base)
    assert held is not None
    held.release(remove=True)


def test_an_instance_gets_another_name_when_the_first_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.open()
    (spool.path / f"{os.getpid()}-aaaaaaaa.lock").touch()
    names = iter(["aaaaaaaa", "bbbbbbbb", "cccccccc"])
    monkeypatch.setattr(secrets, "token_hex", lambda size: next(names))
    spool.store([entry(0)])
    assert world.file("*/*/*").parent.name == f"{os.getpid()}-bbbbbbbb"


def test_an_instance_that_is_not_safe_is_not_used_and_leaves_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spool = world.open()
    monkeypatch.setattr(secrets, "token_hex", lambda size: "aaaaaaaa")
    (spool.path / f"{os.getpid()}-aaaaaaaa").symlink_to(tmp_path)
    with pytest.raises(SpoolWriteError, match="symbolic link"):
        spool.store([entry(0)])
    assert world.files("*/*.lock") == []


def test_an_instance_whose_lock_may_not_be_opened_counts_as_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1-00000000.lock").symlink_to("somewhere")
    assert lease.is_live(tmp_path / "1-00000000")


def test_a_process_id_that_changed_without_a_fork_hook_means_a_new_spool(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In one process, as test_spool_fork has it in two.
    spool = world.open()
    spool.store(entries(0, 3))
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert spool.counters == SpoolCounters()
    spool.store([entry(9)])
    assert spool.counters.entries_held == 1
    assert len(world.files("*/*/*.open")) == 2
