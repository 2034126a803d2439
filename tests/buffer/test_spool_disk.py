"""A disk that is full, read-only or failing: all of a store or none, and said."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import SpoolCounters, SpoolError, SpoolWriteError, paths
from support.process import Child, say
from support.spool import FailingDisk, World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.mark.parametrize("written", [0, 10, 30, 2000])
@pytest.mark.parametrize("before", [0, 1, 60])
def test_a_full_disk_keeps_nothing_of_the_store_and_all_of_the_earlier_ones(
    world: World, disk: FailingDisk, written: int, before: int
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, before))
    disk.failing["write"] = errno.ENOSPC
    disk.write_at_most = written
    with pytest.raises(SpoolWriteError, match="No space left on device") as caught:
        spool.store(entries(1000, 150))
    assert isinstance(caught.value.__cause__, OSError)
    assert spool.counters.stored == before
    check_sum(spool)
    disk.failing.clear()
    spool.store(entries(before, 10))
    assert drain(spool) == list(range(before + 10))
    assert world.files() == []


def test_a_full_disk_between_two_files_takes_the_first_back(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 50))
    disk.failing["create"] = errno.ENOSPC
    with pytest.raises(SpoolWriteError):
        spool.store(entries(50, 100))
    assert spool.counters.stored == 50
    assert drain(world.restart()) == list(range(50))


def test_what_cannot_even_be_taken_back_is_not_delivered_twice(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 3))
    disk.failing = {"write": errno.EIO, "truncate": errno.EIO}
    disk.write_at_most = 60
    with pytest.raises(SpoolWriteError):
        spool.store(entries(3, 3))
    disk.failing.clear()
    spool.store(entries(3, 3))
    assert drain(spool) == [0, 1, 2, 3, 4, 5]
    assert spool.counters == SpoolCounters(stored=6, done=6)


def test_a_file_begun_in_vain_that_cannot_be_deleted_is_deleted_later(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    disk.failing = {"write": errno.EIO, "unlink": errno.EIO}
    disk.write_at_most = 60
    with pytest.raises(SpoolWriteError):
        spool.store(entries(0, 3))
    assert len(world.files()) == 1
    disk.failing.clear()
    spool.expire()
    assert world.files() == []


def test_a_disk_gone_read_only_is_told_and_heals(world: World, disk: FailingDisk) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 100))
    disk.failing = dict.fromkeys(["create", "write", "truncate", "rename", "unlink"], errno.EROFS)
    with pytest.raises(SpoolWriteError, match="Read-only file system"):
        spool.store(entries(100, 50))
    # Delivering goes on; what cannot be deleted is at least not sent again.
    chunk = spool.take()
    assert numbers(chunk) == list(range(100))
    assert chunk is not None
    spool.done(chunk)
    assert spool.take() is None
    assert spool.expire() == 0
    assert len(world.files()) == 1
    disk.failing.clear()
    spool.expire()
    assert world.files() == []
    assert spool.counters == SpoolCounters(stored=100, done=100)


def test_a_file_somebody_else_deleted_meanwhile_is_not_tried_for_ever(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 3))
    disk.failing["unlink"] = errno.EBUSY
    drain(spool)
    world.file("*/*/*").unlink()
    disk.failing.clear()
    assert spool.expire() == 0
    spool.close()
    assert world.files("*/*") == world.files("*/pool.json")


def test_a_segment_that_cannot_be_renamed_is_delivered_under_its_old_name(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    disk.failing["rename"] = errno.EIO
    spool.store(entries(0, 250))
    assert len(world.files("*/*/*.open")) == 3
    assert drain(spool) == list(range(250))
    spool.store(entries(0, 250))
    disk.failing.clear()
    assert drain(world.restart()) == list(range(250))


@pytest.mark.parametrize("operation", ["create", "write", "rename"])
def test_a_rest_that_cannot_be_written_down_is_kept_in_memory(
    world: World, disk: FailingDisk, operation: str
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 100))
    chunk = spool.take()
    assert chunk is not None
    disk.failing[operation] = errno.ENOSPC
    disk.write_at_most = 100
    rest = spool.replace(chunk, chunk.entries[90:])
    spool.give_back(rest)
    assert numbers(spool.take()) == list(range(90, 100))
    check_sum(spool)
    # The next process sees the whole file: sent twice, in part, but not lost.
    assert drain(world.restart()) == list(range(100))


def test_a_rest_kept_in_memory_is_written_down_when_there_is_room_again(
    world: World, disk: FailingDisk
) -> None:
    spool = world.open(disk=disk)
    spool.store(entries(0, 100))
    chunk = spool.take()
    assert chunk is not None
    disk.failing["write"] = errno.ENOSPC
    rest = spool.replace(chunk, chunk.entries[80:])
    disk.failing.clear()
    rest = spool.replace(rest, rest.entries[10:])
    assert drain(world.restart()) == list(range(90, 100))


def test_a_rest_of_several_files_is_safe_in_them_until_it_is_written_down(
    world: World, disk: FailingDisk
) -> None:
    for number in range(3):
        spool = world.open()
        spool.store(entries(number * 10, 10))
        spool.close()
        world.sleep(1)
    spool = world.open(disk=disk)
    spool.adopt()
    chunk = spool.take()
    assert chunk is not None
    disk.failing["write"] = errno.ENOSPC
    rest = spool.replace(chunk, chunk.entries[5:])
    spool.give_back(rest)
    again = spool.take()
    assert numbers(again) == list(range(5, 30))
    assert again is not None
    assert len(world.files()) == 3
    assert spool.counters.bytes_held == sum(path.stat().st_size for path in world.files())
    disk.failing.clear()
    rest = spool.replace(again, again.entries[20:])
    assert spool.counters.bytes_held == world.file("*/*/*").stat().st_size
    spool.done(rest)
    assert world.files() == []
    assert spool.counters == SpoolCounters(adopted=30, done=30)


def test_a_rest_in_several_files_is_dropped_with_all_of_them(
    world: World, disk: FailingDisk
) -> None:
    for number in range(3):
        spool = world.open()
        spool.store(entries(number * 10, 10))
        spool.close()
    spool = world.open(disk=disk)
    spool.adopt()
    chunk = spool.take()
    assert chunk is not None
    disk.failing["create"] = errno.ENOSPC
    spool.give_back(spool.replace(chunk, chunk.entries[5:]))
    world.sleep(200_000)
    assert spool.expire() == 25
    assert world.files() == []
    assert spool.counters == SpoolCounters(adopted=30, done=5, dropped_age=25)


def test_a_file_that_cannot_be_read_now_does_not_keep_back_those_before_it(
    world: World,
) -> None:
    class Moody(FailingDisk):
        def read(self, path: Path, limit: int) -> bytes:
            if path.name.startswith("1800000001000-"):
                self._ask("second")
            return super().read(path, limit)

    for number in range(3):
        spool = world.open()
        spool.store(entries(number * 10, 10))
        spool.close()
        world.sleep(1)
    disk = Moody()
    spool = world.open(disk=disk)
    spool.adopt()
    disk.failing["second"] = errno.EMFILE
    assert numbers(spool.take()) == list(range(10))
    assert spool.last_error is None
    disk.failing.clear()
    assert numbers(spool.take()) == list(range(10, 30))


@pytest.mark.parametrize("operation", ["create", "write"])
def test_damage_found_on_a_full_disk_costs_only_what_is_damaged(
    world: World, disk: FailingDisk, operation: str
) -> None:
    world.open().store(entries(0, 3))
    file = world.file("*/*/*")
    file.write_bytes(file.read_bytes() + b"{half")
    world.kill()
    spool = world.open(disk=disk)
    assert spool.adopt() == 4
    disk.failing[operation] = errno.ENOSPC
    assert drain(spool) == [0, 1, 2]
    disk.failing.clear()
    assert spool.counters == SpoolCounters(adopted=4, done=3, set_aside=1)
    spool.expire()
    assert world.files() == []


def test_what_cannot_be_moved_now_is_adopted_later(world: World, disk: FailingDisk) -> None:
    world.open().store(entries(0, 3))
    world.kill()
    spool = world.open(disk=disk)
    disk.failing["rename"] = errno.ENOSPC
    assert spool.adopt() == 0
    disk.failing.clear()
    world.sleep(11)
    assert spool.adopt() == 3
    assert drain(spool) == [0, 1, 2]


def test_an_instance_that_cannot_be_made_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open().store(entries(0, 3))
    world.kill()
    spool = world.open()

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    with monkeypatch.context() as patch:
        patch.setattr(paths, "prepare_below", full)
        with pytest.raises(SpoolWriteError, match="No space left"):
            spool.store([entry(9)])
        assert spool.adopt() == 0
        assert spool.last_error is not None
        assert "No space left" in spool.last_error
        with pytest.raises(SpoolError, match="No space left"):
            world.open()
    world.sleep(11)
    spool.store([entry(9)])
    assert spool.adopt() == 3
    assert sorted(drain(spool)) == [0, 1, 2, 9]


def test_a_pool_that_became_unsafe_is_told_as_a_write_error(world: World, tmp_path: Path) -> None:
    spool = world.open()
    (spool.path).rmdir()
    spool.path.symlink_to(tmp_path)
    with pytest.raises(SpoolWriteError, match="symbolic link"):
        spool.store([entry(0)])
    assert spool.counters == SpoolCounters()


def test_a_pool_that_cannot_be_described_still_keeps_entries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ABOUT", "no/such/place.json")
    spool = world.open()
    spool.store([entry(0)])
    assert drain(spool) == [0]


def test_a_description_that_does_not_fit_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    spool = world.open()
    spool.store(entries(0, 3))
    assert [path.name for path in spool.path.iterdir() if "pool.json" in path.name] == []
    assert drain(spool) == [0, 1, 2]


def test_a_real_limit_of_the_system(world: World) -> None:
    def work(out: int) -> None:
        spool = world.open()
        spool.store(entries(0, 50))
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        try:
            spool.store(entries(1000, 100))
        except SpoolWriteError as error:
            say(out, error.__cause__ and error.__cause__.args[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        spool.store(entries(50, 100))
        check_sum(spool)

    assert Child(work).join() == [str(errno.EFBIG)]
    spool = world.open()
    assert spool.adopt() == 150
    assert drain(spool) == list(range(150))
