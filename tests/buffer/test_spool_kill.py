"""kill -9 of real processes: what was acknowledged is found again, by one rescuer."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.process import Child, say
from support.spool import World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    pairs = [os.pipe() for _ in range(3)]
    yield pairs
    for pair in pairs:
        for fd in pair:
            os.close(fd)


def rescuer(world: World, go: int) -> Child:
    """A process that rescues and delivers all it can get for each `!` on `go`, until a `.`."""

    def work(out: int) -> None:
        spool = world.open()
        while os.read(go, 1) == b"!":
            world.sleep(11)  # past the rate limit of looking
            spool.adopt()
            say(out, *drain(spool))
            check_sum(spool)

    return Child(work)


def test_what_was_acknowledged_survives_twenty_kills_and_comes_once(
    world: World, pipes: list[tuple[int, int]]
) -> None:
    chance = random.Random(20)
    world.directory.parent.mkdir(exist_ok=True)
    rescuers = [rescuer(world, go) for go, _ in pipes[:2]]
    base = 0

    def storing(out: int) -> None:
        spool = world.open()
        number = base
        while True:
            count = 1 + number % 40
            spool.store(entries(number, count, size=200))
            number += count
            say(out, number)

    for _ in range(20):
        child = Child(storing)
        select.select([child], [], [], 10)
        time.sleep(chance.random() * 0.03)
        acknowledged = int(child.kill()[-1])
        for _, go in pipes[:2]:
            os.write(go, b"!")
        found = [int(number) for one in rescuers for number in one.line().split()]
        assert len(found) == len(set(found))
        assert set(found) >= set(range(base, acknowledged))
        base = max(found) + 1
    for (_, go), one in zip(pipes, rescuers, strict=False):
        os.write(go, b".")
        one.join()
    # A kill in the middle of a write leaves a half line, never acknowledged.
    assert {path.suffix for path in world.files()} <= {".corrupt"}


def test_two_rescuers_share_many_dead_and_get_nothing_twice(
    world: World, pipes: list[tuple[int, int]]
) -> None:
    for number in range(0, 2000, 100):
        spool = world.open()
        spool.store(entries(number, 100))
        spool.store(entries(10_000 + number, 50))
    world.kill()
    rescuers = [rescuer(world, go) for go, _ in pipes]
    for _ in range(2):  # one may pass over what another is just looking at
        for _, go in pipes:
            os.write(go, b"!")
        time.sleep(0.05)
    for _, go in pipes:
        os.write(go, b".")
    found = [int(n) for one in rescuers for line in one.join() for n in line.split()]
    expected = [n + i for n in range(0, 2000, 100) for i in range(100)]
    expected += [10_000 + n + i for n in range(0, 2000, 100) for i in range(50)]
    assert sorted(found) == sorted(expected)


def test_a_stopped_process_keeps_what_is_its_own(world: World) -> None:
    def work(out: int) -> None:
        spool = world.open()
        spool.store(entries(0, 3))
        say(out, "stored")
        os.kill(os.getpid(), signal.SIGSTOP)
        say(out, *drain(spool))

    child = Child(work)
    assert child.line() == "stored"
    os.waitpid(child.pid, os.WUNTRACED)
    spool = world.open()
    assert spool.adopt() == 0
    os.kill(child.pid, signal.SIGCONT)
    assert child.join() == ["0 1 2"]


def test_an_exit_without_any_tidying_loses_nothing(world: World) -> None:
    child = Child(lambda out: world.open().store(entries(0, 3)))
    assert child.join() == []
    spool = world.open()
    assert spool.adopt() == 3
    assert drain(spool) == [0, 1, 2]


def test_several_processes_use_one_directory_at_once(world: World) -> None:
    def work(first: int, out: int) -> None:
        spool = world.open()
        for number in range(first, first + 300):
            spool.store([entry(number)])
            if number % 50 == 0:
                world.sleep(11)
                spool.adopt()
            if number % 3 == 0 and (chunk := spool.take()) is not None:
                say(out, *numbers(chunk))
                spool.done(chunk)
        check_sum(spool)
        # Half of them leave what they have to the others, and half of those without a word.
        if first % 2000:
            say(out, *drain(spool))
        if first % 4000 == 0:
            spool.close()

    children = [Child(lambda out, n=n: work(1000 * n, out)) for n in range(4)]  # type: ignore[misc]
    found = [int(n) for child in children for line in child.join() for n in line.split()]
    spool = world.open()
    spool.adopt()
    found += drain(spool)
    assert sorted(found) == sorted(1000 * n + i for n in range(4) for i in range(300))
