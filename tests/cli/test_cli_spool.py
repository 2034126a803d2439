"""`logwell-otel spool list` and `spool purge`."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import Spool
from logwell_otel.cli import main
from logwell_otel.cli.pools import list_spools
from support.spool import PROJECT, chunk

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_795_003_200.0


def fill(directory: Path, service: str, count: int, *, endpoint: str = "https://a.example") -> str:
    """Entries that a process left; returns the pool's name."""
    spool = open_spool(directory, service, endpoint=endpoint)
    spool.store([chunk(first, min(100, count - first)) for first in range(0, count, 100)])
    spool.close()
    return spool.path.stem


def open_spool(
    directory: Path,
    service: str = "shop",
    *,
    endpoint: str = "https://a.example",
    project: str = PROJECT,
    now: float = NOON,
) -> Spool:
    return Spool(
        directory,
        endpoint=endpoint,
        service=service,
        project=lambda: project,
        clock=lambda: now,
    )


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_lies_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, till = fill(tmp_path, "shop", 250), fill(tmp_path, "till\x1b[31m", 1)
    (tmp_path / f"{till}.db.damaged").write_bytes(b"x" * 7)
    living = open_spool(tmp_path, project="another", now=NOON + 1)
    living.store([chunk(0, 2)])
    sizes = {pool.name: pool.bytes for pool in list_spools(tmp_path)}

    assert main(["spool", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"{shop}\n  endpoint   https://a.example\n  service    shop\n  entries    252, 2 of them "
        "held by running processes, the oldest of 2026-11-18T12:00:00Z\n  bytes      "
        f"{sizes[shop]}\n  keys       stored for 2 different keys\n"
        f"{till}\n  endpoint   https://a.example\n  service    till\\x1b[31m\n  "
        f"entries    1, the oldest of 2026-11-18T12:00:00Z\n  bytes      {sizes[till]}\n  set "
        f"aside  a damaged database of 7 bytes\n253 entries in 2 pools, {sum(sizes.values())} "
        "bytes\n"
    )
    assert main(["spool", "list", str(tmp_path), "--pool", till]) == 0
    assert capsys.readouterr().out.endswith(f"1 entry in 1 pool, {sizes[till]} bytes\n")
    living.close()


def test_a_database_whose_entries_are_delivered_is_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emptied = open_spool(tmp_path, "emptied")
    emptied.close()
    assert emptied.path.exists()
    assert main(["spool", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Nothing lies in {tmp_path}.\n"
    assert main(["spool", "list", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    shop = fill(tmp_path, "shop", 3)
    assert main(["spool", "list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{shop}\n")
    assert "3 entries in 1 pool," in out
    assert "emptied" not in out


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = fill(tmp_path, "shop", 3)
    (pool,) = list_spools(tmp_path)
    assert main(["spool", "list", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": name,
            "endpoint": "https://a.example",
            "service": "shop",
            "entries": 3,
            "bytes": pool.bytes,
            "oldest": "2026-11-18T12:00:00Z",
            "owners": [
                {
                    "token": pool.owners[0].token,
                    "project": PROJECT,
                    "alive": False,
                    "entries": 3,
                    "bytes": pool.bytes,
                    "oldest": "2026-11-18T12:00:00Z",
                }
            ],
            "dead": [],
            "damaged_bytes": 0,
            "problem": None,
        }
    ]


def test_one_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = fill(tmp_path, "shop", 3)
    (tmp_path / f"{name}.db").write_bytes(b"no database" * 100)
    assert main(["spool", "list", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "  endpoint   not known\n" in out
    assert "  problem    file is not a database\n" in out


def test_nothing_lies_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spool", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Nothing lies in {tmp_path}.\n"


@pytest.mark.parametrize("command", ["list", "purge", "send"])
def test_no_directory_or_pool(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGWELL_ENDPOINT", "https://a.example")
    monkeypatch.setenv("LOGWELL_API_KEY", "lw_" + "k" * 32)
    missing = tmp_path / "none"
    assert main(["spool", command, str(missing)]) == 1
    assert main(["spool", command, str(tmp_path), "--pool", "x"]) == 1
    assert capsys.readouterr() == (
        "",
        (
            f"logwell-otel spool: {missing} cannot be read: No such file or directory.\n"
            f"logwell-otel spool: {tmp_path} has no pool named x.\n"
        ),
    )


def test_purge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, till = fill(tmp_path, "shop", 250), fill(tmp_path, "till", 1)
    size = {pool.name: pool.bytes for pool in list_spools(tmp_path)}
    assert main(["spool", "purge", str(tmp_path), "--pool", till, "--yes"]) == 0
    assert capsys.readouterr().out == f"Deleted 1 entry, {size[till]} bytes.\n"
    assert {pool.name: pool.entries for pool in list_spools(tmp_path)} == {shop: 250, till: 0}
    assert main(["spool", "purge", str(tmp_path), "--yes"]) == 0
    assert capsys.readouterr().out == f"Deleted 250 entries, {size[shop]} bytes.\n"
    assert sum(pool.entries for pool in list_spools(tmp_path)) == 0


def test_purge_leaves_what_a_process_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "shop", 1)
    living = open_spool(tmp_path)
    living.store([chunk(0, 2)])
    assert main(["spool", "purge", str(tmp_path), "--yes"]) == 1
    deleted, left = capsys.readouterr().out.splitlines()
    assert deleted.startswith("Deleted 1 entry")
    assert left == f"{living.path.stem}: left alone, as running processes hold them: 2"
    assert living.entries() == 2
    living.close()


@pytest.mark.parametrize(
    ("answer", "deletes"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)],
)
def test_purge_asks(
    answer: str,
    deletes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(tmp_path, "shop", 2)
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    assert main(["spool", "purge", str(tmp_path)]) == (0 if deletes else 1)
    out, err = capsys.readouterr()
    assert err == f"Delete 2 undelivered entries of 1 pool in {tmp_path}? [y/N] "
    assert out.startswith("Deleted" if deletes else "Nothing was deleted.")
    assert bool(list_spools(tmp_path)[0].entries) is not deletes


def test_purge_with_nobody_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "shop", 2)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["spool", "purge", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "logwell-otel spool purge: nobody to ask; give --yes to delete.\n"
    )
    assert list_spools(tmp_path)[0].entries == 2


# Dead letters.


def bury(directory: Path, *, project: str = PROJECT) -> str:
    """Three entries that wait and three that a process gave up; returns the pool's name."""
    spool = open_spool(directory, project=project)
    spool.store([chunk(0, 3)])
    spool.bury(chunk(10, 2), "poison")
    spool.bury(chunk(12), "refused")
    spool.close()
    return spool.path.stem


def test_what_was_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, "till", 1)
    name = bury(tmp_path)
    assert main(["spool", "list", str(tmp_path)]) == 0
    assert "  dead       3 entries given up; --dead shows them\n" in capsys.readouterr().out
    assert main(["spool", "list", str(tmp_path), "--dead"]) == 0
    poison, refused = (len(one.body()) for one in (chunk(10, 2), chunk(12)))
    assert capsys.readouterr().out == (
        f"{name}\n  endpoint   https://a.example\n  service    shop\n"
        f"  poison     2 entries, {poison} bytes, the first of 2026-11-18T12:00:00Z, "
        f"key {PROJECT}\n"
        f"  refused    1 entry, {refused} bytes, the first of 2026-11-18T12:00:00Z, "
        f"key {PROJECT}\n3 entries given up in 1 pool\n"
    )
    assert main(["spool", "list", str(tmp_path), "--dead", "--json"]) == 0
    (pool,) = json.loads(capsys.readouterr().out)
    assert pool["entries"] == 3
    assert pool["dead"] == [
        {
            "project": PROJECT,
            "reason": reason,
            "entries": entries,
            "bytes": size,
            "oldest": "2026-11-18T12:00:00Z",
        }
        for reason, entries, size in (("poison", 2, poison), ("refused", 1, refused))
    ]
    assert main(["spool", "list", str(tmp_path), "--dead", "--pool", fill(tmp_path, "x", 1)]) == 0
    assert capsys.readouterr().out == f"No dead letters lie in {tmp_path}.\n"


def test_dead_letters_are_purged_by_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(tmp_path)
    size = sum(one.bytes for pool in list_spools(tmp_path) for one in pool.dead)
    assert main(["spool", "purge", str(tmp_path), "--dead", "--yes"]) == 0
    assert capsys.readouterr().out == f"Deleted 3 dead letters, {size} bytes.\n"
    (pool,) = list_spools(tmp_path)
    assert (pool.entries, pool.dead) == (3, ())
    bury(tmp_path)
    assert main(["spool", "purge", str(tmp_path), "--yes"]) == 0
    (pool,) = list_spools(tmp_path)
    assert (pool.entries, sum(one.entries for one in pool.dead)) == (0, 3)


def test_purging_dead_letters_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(tmp_path)
    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    assert main(["spool", "purge", str(tmp_path), "--dead"]) == 1
    assert capsys.readouterr().err == f"Delete 3 dead letters of 1 pool in {tmp_path}? [y/N] "
    assert list_spools(tmp_path)[0].dead
