"""A damaged file is never fatal, never tried for ever, and costs only what is damaged."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logwell_otel._buffer.spool import SpoolCounters
from logwell_otel._buffer.spool.segment import Name, parse
from support.spool import FailingDisk, World, check_sum, drain, entries, entry, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def left_behind(world: World, count: int = 3) -> Path:
    """A dead process' one file, open as it was when it was killed."""
    world.open().store(entries(0, count))
    world.kill()
    return world.file("*/*/*.open")


def rescued(world: World) -> tuple[list[int], SpoolCounters]:
    spool = world.open()
    spool.adopt()
    found = drain(spool)
    check_sum(spool)
    assert spool.take() is None
    return found, spool.counters


def test_a_half_written_last_line_is_set_aside(world: World) -> None:
    file = left_behind(world)
    file.write_bytes(file.read_bytes()[:-5])
    found, counters = rescued(world)
    assert found == [0, 1]
    assert counters == SpoolCounters(
        adopted=3, done=2, set_aside=1, set_aside_files=1, set_aside_bytes=26
    )
    assert world.file("*/*/*.corrupt").read_bytes() == entry(2)[:26]


def test_a_last_line_that_lacks_only_its_end_is_delivered(world: World) -> None:
    file = left_behind(world)
    file.write_bytes(file.read_bytes()[:-1])
    assert rescued(world) == ([0, 1, 2], SpoolCounters(adopted=3, done=3))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00" * 40,
        b'{"level":"info"',
        b'{"level":"info"}}',
        b'{"message":"\xff\xfe"}',
        b"[1,2]",
        b'"text"',
        b'{"a":' + b"[" * 100_000,
        b"garbage",
    ],
)
def test_a_corrupt_line_in_the_middle_costs_only_itself(world: World, line: bytes) -> None:
    file = left_behind(world)
    lines = file.read_bytes().split(b"\n")
    lines[2] = line
    file.write_bytes(b"\n".join(lines))
    found, counters = rescued(world)
    assert found == [0, 2]
    assert (counters.adopted, counters.done, counters.set_aside) == (3, 2, 1)
    assert world.file("*/*/*.corrupt").read_bytes() == line


def test_damage_done_to_a_living_process_file_is_found_too(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 150))
    file = world.file("*/*/*.ndjson")
    file.write_bytes(file.read_bytes().replace(b'"7"', b'"7'))
    assert drain(spool) == [n for n in range(150) if n != 7]
    assert spool.counters.set_aside == 1
    check_sum(spool)


def test_good_lines_of_a_damaged_file_are_safe_again_before_they_are_handed_out(
    world: World,
) -> None:
    file = left_behind(world)
    file.write_bytes(file.read_bytes() + b"half a li")
    spool = world.open()
    spool.adopt()
    assert numbers(spool.take()) == [0, 1, 2]
    again = world.restart()
    assert drain(again) == [0, 1, 2]
    assert again.counters.set_aside == 0
    assert again.counters.set_aside_files == 1


@pytest.mark.parametrize(
    "content",
    [
        b"logwell-spool 2\n" + b"\n".join(entries(0, 3)) + b"\n",
        b"logwell-spool 11\n" + b"\n".join(entries(0, 3)) + b"\n",
        b"\n".join(entries(0, 4)) + b"\n",
        b"\x00" * 100 + b"\n\n\n\n",
        b"logwell-spool 1\r\n{}\n{}\n{}\n",
    ],
)
def test_an_unknown_version_or_no_spool_at_all_is_set_aside_whole(
    world: World, content: bytes
) -> None:
    left_behind(world).write_bytes(content)
    found, counters = rescued(world)
    assert found == []
    assert counters == SpoolCounters(
        adopted=3, set_aside=3, set_aside_files=1, set_aside_bytes=len(content)
    )
    assert world.file("*/*/*").read_bytes() == content


def test_damaged_files_do_not_hold_up_the_others(world: World) -> None:
    world.open().store(entries(0, 300))
    world.files("*/*/*.ndjson")[0].write_bytes(b"???")
    found, counters = rescued_after_kill(world)
    assert found == list(range(100, 300))
    assert counters.set_aside == 100


def rescued_after_kill(world: World) -> tuple[list[int], SpoolCounters]:
    world.kill()
    return rescued(world)


def test_a_file_cut_short_is_counted_as_far_as_it_is_missing(world: World) -> None:
    world.open().store(entries(0, 200))
    file = world.files("*/*/*.ndjson")[0]
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:41]))
    found, counters = rescued_after_kill(world)
    assert found == [*range(40), *range(100, 200)]
    assert counters == SpoolCounters(adopted=200, done=140, set_aside=60)


def test_a_file_with_nothing_but_its_first_line_left(world: World) -> None:
    world.open().store(entries(0, 200))
    world.files("*/*/*.ndjson")[0].write_bytes(b"logwell-spool 1\n")
    found, counters = rescued_after_kill(world)
    assert found == list(range(100, 200))
    assert (counters.set_aside, counters.set_aside_files) == (100, 1)


@pytest.mark.parametrize("suffix", ["open", "ndjson"])
def test_a_file_too_large_to_be_ours_is_never_read(world: World, suffix: str) -> None:
    file = left_behind(world)
    name = "1800000000000-00000002" + ("-007.ndjson" if suffix == "ndjson" else ".open")
    file.with_name(name).write_bytes(b"logwell-spool 1\n" + b"{}\n" * 200_000)
    found, counters = rescued(world)
    assert found == [0, 1, 2]
    assert (counters.set_aside_files, counters.set_aside_bytes) == (1, 600_016)
    assert counters.set_aside == (7 if suffix == "ndjson" else 0)


def test_more_entries_than_a_request_takes_are_not_ours_either(world: World) -> None:
    file = left_behind(world)
    file.write_bytes(b"logwell-spool 1\n" + b"{}\n" * 101)
    found, counters = rescued(world)
    assert (found, counters.adopted, counters.set_aside) == ([], 101, 101)


def test_a_name_that_promises_too_much_does_not_upset_the_counters(world: World) -> None:
    file = left_behind(world)
    file.rename(file.with_name("1800000000000-00000001-99999999999.ndjson"))
    found, counters = rescued(world)
    assert found == [0, 1, 2]
    assert counters == SpoolCounters(adopted=100, done=3, set_aside=97)


def test_files_that_hold_more_than_their_names_say_still_make_no_request_too_large(
    world: World,
) -> None:
    for number in range(2):
        spool = world.open()
        spool.store(entries(number * 60, 60))
        spool.close()
        world.sleep(1)
    for file in world.files():
        file.rename(file.with_name(file.name.replace("-060", "-001")))
    spool = world.open()
    assert spool.adopt() == 2
    assert numbers(spool.take()) == list(range(60))
    assert numbers(spool.take()) == list(range(60, 120))
    assert spool.counters.adopted == spool.counters.entries_held == 120


def test_a_deleted_file_is_counted_as_gone(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 250))
    world.files("*/*/*.ndjson")[0].unlink()
    assert drain(spool) == list(range(100, 250))
    assert spool.counters == SpoolCounters(stored=250, done=150, gone=100)


def test_a_deleted_open_file_is_noticed_before_more_is_lost_in_it(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 5))
    world.file("*/*/*.open").unlink()
    spool.store(entries(5, 5))
    assert spool.counters.gone == 5
    assert drain(spool) == [5, 6, 7, 8, 9]
    check_sum(spool)


def test_a_deleted_spool_directory_is_made_again(world: World) -> None:
    spool = world.open()
    spool.store(entries(0, 250))
    chunk = spool.take()
    assert chunk is not None
    for path in sorted(world.directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    world.directory.rmdir()
    spool.store(entries(250, 5))
    spool.give_back(chunk)
    assert spool.counters.gone == 250
    assert spool.last_error is not None
    assert "deleted" in spool.last_error
    assert drain(spool) == list(range(250, 255))
    check_sum(spool)


def test_a_symbolic_link_in_a_files_place_is_not_followed(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"logwell-spool 1\n" + entry(666) + b"\n")
    spool = world.open()
    spool.store(entries(0, 200))
    file = world.files("*/*/*.ndjson")[0]
    file.unlink()
    file.symlink_to(secret)
    left = file.with_name("1800000000000-00000099-001.ndjson")
    left.symlink_to(secret)
    assert drain(spool) == list(range(100, 200))
    world.kill()
    found, _ = rescued(world)
    assert found == []
    assert left.is_symlink()
    assert secret.exists()


def test_a_file_that_cannot_be_read_is_set_aside_once(world: World) -> None:
    disk = FailingDisk()
    spool = world.open(disk=disk)
    spool.store(entries(0, 200))
    disk.failing["read"] = errno.EIO
    assert spool.take() is None
    assert spool.counters.set_aside == 200
    disk.failing.clear()
    assert spool.take() is None
    check_sum(spool)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_a_shortage_of_the_process_is_not_the_files_fault(world: World, code: int) -> None:
    disk = FailingDisk()
    spool = world.open(disk=disk)
    spool.store(entries(0, 3))
    disk.failing["read"] = code
    assert spool.take() is None
    assert spool.last_error is not None
    assert "reading" in spool.last_error
    disk.failing.clear()
    assert drain(spool) == [0, 1, 2]


def test_a_directory_that_lets_nothing_be_read_or_renamed_is_waited_for(world: World) -> None:
    disk = FailingDisk()
    spool = world.open(disk=disk)
    spool.store(entries(0, 250))
    disk.failing = {"read": errno.EACCES, "rename": errno.EACCES}
    for _ in range(5):
        assert spool.take() is None
    assert spool.counters.set_aside == 0
    disk.failing.clear()
    assert drain(spool) == list(range(250))


def test_a_dead_process_open_file_that_cannot_be_read_is_set_aside(world: World) -> None:
    left_behind(world)
    disk = FailingDisk()
    disk.failing["read"] = errno.EIO
    spool = world.open(disk=disk)
    assert spool.adopt() == 0
    assert spool.counters.set_aside_files == 1
    assert len(world.files("*/*/*.corrupt")) == 1


def test_a_dead_process_open_file_waits_while_descriptors_are_short(world: World) -> None:
    left_behind(world)
    disk = FailingDisk()
    disk.failing["read"] = errno.EMFILE
    spool = world.open(disk=disk)
    assert spool.adopt() == 0
    disk.failing.clear()
    world.sleep(11)
    assert spool.adopt() == 3


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_bytes_are_hit_nothing_is_fatal_and_the_rest_arrives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with World(tmp_path_factory.mktemp("damage")) as world:
        world.open().store(entries(0, 150))
        world.kill()
        untouched = set(range(150))
        for file in world.files():
            original = file.read_bytes()
            content = bytearray(original)
            for at in data.draw(st.lists(st.integers(0, len(original) - 1), max_size=4)):
                content[at] = data.draw(st.integers(0, 255))
                line = original[:at].count(b"\n") - 1
                first = 0 if "ndjson" in file.name else 100
                # The next one too: a line end that is hit joins two lines.
                untouched -= {first + line - 1, first + line, first + line + 1}
                if line < 0:
                    untouched -= set(range(first, first + 100))
            file.write_bytes(content)
        spool = world.open()
        spool.adopt()
        found: list[bytes] = []
        while (chunk := spool.take()) is not None:
            assert chunk.count <= 100
            found += chunk.entries
            spool.done(chunk)
        check_sum(spool)
        assert spool.counters.entries_held == 0
        assert {entry(number) for number in untouched} <= set(found)


@given(st.binary())
def test_reading_never_raises(content: bytes) -> None:
    parse(content)
    assert parse(b"logwell-spool 1\n" + content).known


@given(
    st.text(max_size=40)
    | st.builds(
        "{}-{}{}.{}".format,
        st.integers(0, 10**14),
        st.integers(0, 10**9).map("{:08}".format),
        st.sampled_from(["", "-100", "-1"]),
        st.sampled_from(["open", "ndjson", "corrupt", "tmp", "txt"]),
    )
)
def test_only_our_own_names_are_taken_for_ours(text: str) -> None:
    name = Name.parse(text)
    assert name is None or str(name) == text


@pytest.mark.parametrize(
    "text",
    ["1800000000000-00000001.ndjson", "1800000000000-00000001-001.open", "x-00000001.open", ""],
)
def test_names_of_the_wrong_form(text: str) -> None:
    assert Name.parse(text) is None
