"""After a fork the child has an empty spool of its own and lets the parent's alone."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pytest

from logwell_otel._storage import DiskError
from support.process import Child, say
from support.spool import (
    Disk,
    World,
    chunk,
    chunks,
    drain,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # What this is about: Python 3.12 warns of forks in processes with threads.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def fork_without_hooks() -> int:
    """Forks as a C library does: Python's at-fork hooks do not run."""
    return int(ctypes.PyDLL(None).fork())


def test_the_child_holds_nothing_and_keeps_its_own(world: World) -> None:
    spool = world.open()
    spool.store(chunks(0, 3))

    def work(out: int) -> None:
        assert spool.take() is None
        assert world.look(spool) == {}  # the parent lives
        spool.store(chunks(10, 2))
        assert spool.entries() == 2

    Child(work).join()
    spool.store([chunk(3)])
    assert spool.entries() == 4
    assert world.look(spool) == {"recovered": 2}
    assert sorted(drain(spool)) == [0, 1, 2, 3, 10, 11]


def test_a_child_of_a_spool_that_is_not_in_use_has_its_own_without_hooks_too(world: World) -> None:
    spool = world.open()

    def work(out: int) -> None:
        spool.store(chunks(0, 2))

    Child(work, fork_without_hooks).join()
    assert world.look(spool) == {"recovered": 2}


def test_a_child_without_hooks_does_not_touch_a_database_that_was_open(world: World) -> None:
    """SQLite believes that it has its parent's locks there, and would write without any."""
    spool = world.open()
    spool.store(chunks(0, 3))

    def work(out: int) -> None:
        with pytest.raises(DiskError, match="without Python's hooks"):
            spool.store([chunk(10)])
        spool.close()

    Child(work, fork_without_hooks).join()
    assert drain(spool) == [0, 1, 2]


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_what_a_child_opens_after_closing_all_descriptors_is_not_closed_by_us(
    world: World, fork: Callable[[], int]
) -> None:
    """Daemons close all they have and open files of their own, under the same numbers."""
    spool = world.open()
    spool.store(chunks(0, 3))

    def work(out: int) -> None:
        os.closerange(3, out)
        os.closerange(out + 1, 256)
        own = [os.open(os.devnull, os.O_RDONLY) for _ in range(32)]
        try:
            spool.store([chunk(10)])
        except DiskError:
            assert fork is fork_without_hooks
        spool.close()
        for fd in own:
            os.fstat(fd)

    Child(work, fork).join()
    assert spool.entries() == 3


def test_a_living_child_does_not_keep_the_dead_parents_rows(world: World) -> None:
    wait, go = os.pipe()

    def sleep(out: int) -> None:
        say(out, "lives")  # and so has let go of what it inherited
        os.read(wait, 1)

    def parent(out: int) -> None:
        world.open().store(chunks(0, 3))
        assert Child(sleep).line() == "lives"
        say(out, "forked")
        os.read(wait, 1)

    child = Child(parent)
    assert child.line() == "forked"
    spool = world.open()
    assert world.look(spool) == {}
    os.kill(child.pid, 9)
    os.waitpid(child.pid, 0)
    assert world.look(spool) == {"recovered": 3}
    os.write(go, b"!")
    child.rest()
    for fd in (wait, go):
        os.close(fd)


def test_a_child_ending_does_not_free_the_parents_rows(world: World) -> None:
    spool = world.open()
    spool.store(chunks(0, 3))
    Child(lambda _: spool.close()).join()
    Child(lambda _: None).join()

    def other(out: int) -> None:
        say(out, world.look(world.open()))

    assert Child(other).join() == ["{}"]
    assert drain(spool) == [0, 1, 2]


def test_a_fork_while_the_disk_hangs_takes_a_second_and_leaves_the_disk_alone(
    world: World,
) -> None:
    disk = Disk()
    spool = world.open(connect=disk.connect)
    spool.store(chunks(0, 3))

    def store() -> None:
        with spool.lock:
            spool.store([chunk(3)])

    disk.works.clear()
    thread = threading.Thread(target=store)
    thread.start()
    assert disk.waits.wait(10)

    def work(out: int) -> None:
        disk.works.set()
        with pytest.raises(DiskError, match="without Python's hooks"):
            spool.store([chunk(10)])

    began = time.monotonic()
    child = Child(work)
    assert time.monotonic() - began < 10  # and not until the disk works again
    child.join()
    disk.works.set()
    thread.join()
    assert drain(spool) == [0, 1, 2, 3]


def test_many_children_at_once_leave_a_sound_database(world: World) -> None:
    spool = world.open()
    spool.store(chunks(0, 3))

    def work(first: int) -> None:
        for number in range(first, first + 50):
            spool.store([chunk(number)])

    children = [Child(lambda _, n=n: work(n * 1000)) for n in range(1, 6)]  # type: ignore[misc]
    for number in range(3, 50):
        spool.store([chunk(number)])
    for child in children:
        child.join()
    while world.look(spool):
        pass
    assert sorted(drain(spool)) == [n * 1000 + number for n in range(6) for number in range(50)]
    db = sqlite3.connect(world.database)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert told(spool) == {}
