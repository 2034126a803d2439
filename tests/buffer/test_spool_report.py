"""`list_spools` and `purge`: what people see, and may delete."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import (
    InstanceReport,
    PoolReport,
    PurgeReport,
    SpoolError,
    list_spools,
    purge,
)
from support.spool import ENDPOINT, World, drain, entries, entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def snapshot(world: World) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in world.directory.rglob("*")
    }


def test_a_pool_with_a_living_and_a_dead_process(world: World) -> None:
    dead = world.open()
    dead.store(entries(0, 150))
    dead.close()
    dead_path = world.files()[0].parent
    world.sleep(60)
    living = world.open()
    living.store(entries(0, 3))
    (living_path,) = {path.parent for path in world.files()} - {dead_path}
    (living_path / "1800000000000-00000009.corrupt").write_bytes(b"12345")
    before = snapshot(world)
    (report,) = list_spools(world.directory)
    assert snapshot(world) == before
    assert report == PoolReport(
        living.path,
        ENDPOINT,
        "checkout",
        tuple(
            sorted(
                [
                    InstanceReport(dead_path, False, 150, 4872, 1_800_000_000.0, 0, 0),
                    InstanceReport(living_path, True, 3, 109, 1_800_000_060.0, 1, 5),
                ],
                key=lambda one: one.path,
            )
        ),
    )
    assert (report.name, report.entries, report.bytes, report.oldest) == (
        "logs.example.com-checkout-31a62e8035d9",
        153,
        4986,
        1_800_000_000.0,
    )


def test_a_new_pool_is_empty(world: World) -> None:
    spool = world.open()
    assert list_spools(world.directory) == [PoolReport(spool.path, None, None, ())]
    assert list_spools(world.directory)[0].oldest is None


@pytest.mark.parametrize("about", [b"", b"{}", b"\xff", b'{"endpoint": 1}'])
def test_a_pool_whose_description_is_damaged_is_listed_by_its_name(
    world: World, about: bytes
) -> None:
    spool = world.open(service="a")
    spool.store([entry(0)])
    world.file("*/pool.json").write_bytes(about)
    (report,) = list_spools(world.directory)
    assert (report.name, report.endpoint, report.entries) == (spool.path.name, None, 1)


def test_other_directories_are_not_listed(world: World, tmp_path: Path) -> None:
    b = world.open(service="b")
    (b.path / "1-00000000").symlink_to(tmp_path)
    world.open(service="a")
    (world.directory / "lost+found").mkdir()
    (world.directory / "x-0123456789ab").symlink_to(tmp_path)
    reports = list_spools(world.directory)
    assert [report.name.split("-")[1] for report in reports] == ["a", "b"]
    assert [report.instances for report in reports] == [(), ()]


def test_a_directory_that_is_not_there_is_told(world: World) -> None:
    with pytest.raises(SpoolError, match="cannot be read: No such file"):
        list_spools(world.directory)
    with pytest.raises(SpoolError, match="cannot be cleared: No such file"):
        purge(world.directory)


def test_purge_deletes_what_the_dead_left_and_nothing_of_the_living(world: World) -> None:
    dead = world.open()
    dead.store(entries(0, 150))
    dead.close()
    (world.files()[0].parent / "1800000000000-00000009.corrupt").write_bytes(b"12345")
    living = world.open()
    living.store(entries(0, 3))
    gone_service = world.open(service="gone")
    gone_service.store([entry(0)])
    gone_service.close()
    (left,) = [
        one.path for pool in list_spools(world.directory) for one in pool.instances if one.alive
    ]
    assert purge(world.directory) == PurgeReport(files=4, entries=151, bytes=4924, left=(left,))
    assert not gone_service.path.exists()
    assert drain(living) == [0, 1, 2]
    assert living.counters.gone == 0


def test_purge_of_one_pool(world: World) -> None:
    for service in "ab":
        spool = world.open(service=service)
        spool.store(entries(0, 3))
        spool.close()
    a, b = list_spools(world.directory)
    assert purge(world.directory, pool=a.name).entries == 3
    assert list_spools(world.directory) == [b]
    with pytest.raises(SpoolError, match="has no pool named"):
        purge(world.directory, pool=a.name)


def test_after_a_purge_a_living_process_goes_on(world: World) -> None:
    spool = world.open()
    assert purge(world.directory) == PurgeReport(0, 0, 0, ())
    assert not spool.path.exists()
    spool.store([entry(0)])
    assert drain(spool) == [0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_purge_deletes_in_nobody_elses_directory_but_lists_it(world: World) -> None:
    spool = world.open()
    spool.store([entry(0)])
    spool.close()
    os.chown(spool.path, 12345, -1)
    with pytest.raises(SpoolError, match="belongs to user id 12345"):
        purge(world.directory)
    assert list_spools(world.directory)[0].entries == 1


def test_purge_leaves_what_is_not_a_spools(world: World) -> None:
    spool = world.open()
    spool.store([entry(0)])
    spool.close()
    note = world.files()[0].with_name("NOTE.txt")
    note.write_text("mine")
    report = purge(world.directory)
    assert report == PurgeReport(files=1, entries=1, bytes=47, left=(note.parent,))
    assert note.read_text() == "mine"
