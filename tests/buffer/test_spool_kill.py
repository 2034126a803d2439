"""kill -9 of real processes: what was acknowledged is found again, once."""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from support.nightly import nightly
from support.process import Child, say
from support.spool import World, chunk, chunks, drain, numbers, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PROCESSES = 8


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def writer(world: World, first: int) -> Child:
    """A process that stores, and claims, delivers and settles what others left.

    It says `s` and the numbers once they are stored, `d` and the numbers once they are
    deleted, and `t` before that: killed in between, they come twice, as from a connection
    that dies between the server and its answer.
    """

    def work(out: int) -> None:
        spool, number = world.open(), first
        chance = random.Random(first)
        while True:
            made = [chunk(number + n * 3, 3) for n in range(chance.randrange(1, 5))]
            spool.store(made)
            say(out, "s", *(n for one in made for n in numbers(one)))
            number += 3 * len(made)
            if chance.random() < 0.2:
                world.sleep(11)
                while spool.look():
                    pass
            if chance.random() < 0.5 and (taken := spool.take()) is not None:
                say(out, "t", *numbers(taken))
                assert taken.rows is not None
                spool.delete(taken.rows)
                say(out, "d", *numbers(taken))

    return Child(work)


@pytest.mark.parametrize(("kills", "records"), [(16, 1_500), *nightly((200, 20_000))])
def test_of_eight_processes_that_are_killed_nothing_is_lost_and_nothing_comes_twice(
    world: World, kills: int, records: int
) -> None:
    chance = random.Random(20)
    lines: list[str] = []
    begun = 0
    children: list[Child] = []
    killed = 0
    while killed < kills or sum(line.count(" ") for line in lines if line[0] == "s") < records:
        while len(children) < PROCESSES:
            children.append(writer(world, begun * 1_000_000))
            begun += 1
            select.select([children[-1]], [], [], 10)
        time.sleep(chance.random() * 0.05)
        lines += children.pop(chance.randrange(PROCESSES)).kill()
        killed += 1
    for child in children:
        lines += child.kill()

    said: dict[str, list[int]] = {"s": [], "t": [], "d": []}
    for line in lines:
        word, *found = line.split()
        said[word] += map(int, found)
    db = sqlite3.connect(world.database)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    last = world.open()
    world.look(last)
    left = drain(last)
    assert not set(said["s"]) - set(said["t"]) - set(left)
    assert len(left) == len(set(left))
    assert len(said["d"]) == len(set(said["d"]))
    assert not set(left) & set(said["d"])


def test_three_rescuers_share_many_dead_and_get_nothing_twice(world: World) -> None:
    for first in range(0, 2000, 100):
        spool = world.open()
        spool.store([chunk(first, 100)])
    world.kill()

    def work(out: int) -> None:
        spool = world.open()
        for _ in range(20):
            world.look(spool)
            say(out, *drain(spool))

    rescuers = [Child(work) for _ in range(3)]
    found = [int(n) for one in rescuers for line in one.join() for n in line.split()]
    assert sorted(found) == list(range(2000))


def test_a_stopped_process_keeps_what_is_its_own(world: World) -> None:
    def work(out: int) -> None:
        spool = world.open()
        spool.store(chunks(0, 3))
        say(out, "stored")
        os.kill(os.getpid(), signal.SIGSTOP)
        say(out, *drain(spool))

    child = Child(work)
    assert child.line() == "stored"
    os.waitpid(child.pid, os.WUNTRACED)
    assert world.look(world.open()) == {}
    os.kill(child.pid, signal.SIGCONT)
    assert child.join() == ["0 1 2"]


def test_an_exit_without_any_tidying_loses_nothing(world: World) -> None:
    def work(out: int) -> None:
        world.open().store(chunks(0, 3))

    assert Child(work).join() == []
    spool = world.open()
    world.sleep(11)
    spool.look()
    assert told(spool) == {"recovered": 3}
    assert drain(spool) == [0, 1, 2]
