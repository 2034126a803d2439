"""After a fork the child has an empty spool of its own and lets the parent's alone."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import SpoolCounters
from support.process import Child, say
from support.spool import FailingDisk, World, check_sum, drain, entries, entry, numbers

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


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_the_child_holds_nothing_and_keeps_its_own(world: World, fork: Callable[[], int]) -> None:
    spool = world.open()
    spool.store(entries(0, 3))

    def work(out: int) -> None:
        assert spool.counters == SpoolCounters()
        assert spool.take() is None
        assert spool.adopt() == 0  # the parent lives
        spool.store(entries(10, 2))
        assert spool.counters.entries_held == 2

    Child(work, fork).join()
    spool.store([entry(3)])
    assert spool.counters.entries_held == 4
    assert spool.adopt() == 2
    assert sorted(drain(spool)) == [0, 1, 2, 3, 10, 11]
    check_sum(spool)


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_the_child_cannot_settle_the_parents_chunk(world: World, fork: Callable[[], int]) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    chunk = spool.take()
    assert chunk is not None

    def work(out: int) -> None:
        spool.store([entry(10)])
        assert numbers(spool.take()) == [10]
        spool.done(chunk)
        spool.give_back(chunk)
        assert spool.counters.entries_held == 1
        spool.close()

    Child(work, fork).join()
    assert spool.adopt() == 1
    spool.give_back(chunk)
    assert sorted(drain(spool)) == [0, 1, 2, 10]


def test_a_living_child_does_not_keep_the_dead_parents_lock(world: World) -> None:
    # The lock belongs to the open file, which parent and child share: a child
    # that never logs must still let go of its copy.
    wait, go = os.pipe()

    def sleep(out: int) -> None:
        os.read(wait, 1)

    def parent(out: int) -> None:
        spool = world.open()
        spool.store(entries(0, 3))
        Child(sleep)
        say(out, "forked")
        os.read(wait, 1)

    child = Child(parent)
    assert child.line() == "forked"
    spool = world.open()
    assert spool.adopt() == 0
    os.kill(child.pid, 9)
    os.waitpid(child.pid, 0)
    world.sleep(11)
    assert spool.adopt() == 3
    os.write(go, b"!")
    child.rest()
    for fd in (wait, go):
        os.close(fd)


def test_a_child_ending_does_not_free_the_parents_lock(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 3))
    Child(lambda _: spool.close()).join()
    Child(lambda _: None).join()
    other = Child(lambda out: say(out, world.open().adopt()))
    assert other.join() == ["0"]
    assert drain(spool) == [0, 1, 2]


def test_a_fork_while_another_thread_writes_does_not_block_the_child(world: World) -> None:
    class SlowDisk(FailingDisk):
        def write(self, fd: int, data: bytes) -> None:
            if threading.current_thread() is not threading.main_thread():
                writing.set()
                assert go_on.wait(30)
            super().write(fd, data)

    writing, go_on = threading.Event(), threading.Event()
    spool = world.open(disk=SlowDisk())
    thread = threading.Thread(target=spool.store, args=(entries(0, 3),))
    thread.start()
    assert writing.wait(30)

    def work(out: int) -> None:
        spool.store(entries(10, 2))
        say(out, *drain(spool))
        spool.close()

    assert Child(work).join() == ["10 11"]
    go_on.set()
    thread.join()
    assert drain(spool) == [0, 1, 2]


def test_threads_of_a_child_agree_on_one_spool(world: World) -> None:
    spool = world.open()
    spool.store([entry(0)])

    def work(out: int) -> None:
        threads = [threading.Thread(target=spool.store, args=([entry(n)],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say(out, spool.counters.stored, *sorted(drain(spool)))
        spool.close()

    assert Child(work).join() == ["8 0 1 2 3 4 5 6 7"]
