"""`logwell-otel spool list` and `spool purge`."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel._buffer.spool import Spool, list_spools
from logwell_otel.cli import main
from support.spool import entries

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_795_003_200.0


def fill(directory: Path, service: str, count: int, *, endpoint: str = "https://a.example") -> str:
    """Entries that a process left; returns the pool's name."""
    spool = Spool(directory, endpoint=endpoint, service=service, clock=lambda: NOON)
    spool.store(entries(0, count))
    spool.close()
    return spool.path.name


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_lies_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop, till = fill(tmp_path, "shop", 250), fill(tmp_path, "till\x1b[31m", 1)
    segment = next((tmp_path / till).glob("*/*"))
    segment.with_name("1795003200000-00000009.corrupt").write_bytes(b"x" * 7)
    living = Spool(tmp_path, endpoint="https://a.example", service="shop", clock=lambda: NOON + 1)
    living.store(entries(0, 2))
    sizes = {pool.name: pool.bytes for pool in list_spools(tmp_path)}

    assert main(["spool", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"{shop}\n  endpoint   https://a.example\n  service    shop\n  entries    252, 2 of them "
        "held by running processes, the oldest of 2026-11-18T12:00:00Z\n  bytes      "
        f"{sizes[shop]}\n{till}\n  endpoint   https://a.example\n  service    till\\x1b[31m\n  "
        f"entries    1, the oldest of 2026-11-18T12:00:00Z\n  bytes      {sizes[till]}\n  set "
        f"aside  1 file that could not be read\n253 entries in 2 pools, {sum(sizes.values())} "
        "bytes\n"
    )
    assert main(["spool", "list", str(tmp_path), "--pool", till]) == 0
    assert capsys.readouterr().out.endswith(f"1 entry in 1 pool, {sizes[till]} bytes\n")
    living.close()


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = fill(tmp_path, "shop", 3)
    (pool,) = list_spools(tmp_path)
    (tmp_path / name / "pool.json").write_text("{")
    assert main(["spool", "list", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": name,
            "endpoint": None,
            "service": None,
            "entries": 3,
            "bytes": pool.bytes,
            "oldest": "2026-11-18T12:00:00Z",
            "instances": [
                {
                    "name": pool.instances[0].path.name,
                    "alive": False,
                    "entries": 3,
                    "bytes": pool.bytes,
                    "oldest": "2026-11-18T12:00:00Z",
                    "set_aside_files": 0,
                    "set_aside_bytes": 0,
                }
            ],
        }
    ]
    assert main(["spool", "list", str(tmp_path)]) == 0
    assert "  endpoint   not known\n" in capsys.readouterr().out


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
    assert capsys.readouterr().out == f"Deleted 1 file with 1 entry, {size[till]} bytes.\n"
    assert [pool.name for pool in list_spools(tmp_path)] == [shop]
    assert main(["spool", "purge", str(tmp_path), "--yes"]) == 0
    assert capsys.readouterr().out == f"Deleted 3 files with 250 entries, {size[shop]} bytes.\n"
    assert list_spools(tmp_path) == []


def test_purge_leaves_what_a_process_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "shop", 1)
    living = Spool(tmp_path, endpoint="https://a.example", service="shop")
    living.store(entries(0, 2))
    assert main(["spool", "purge", str(tmp_path), "--yes"]) == 1
    deleted, left = capsys.readouterr().out.splitlines()
    assert deleted.startswith("Deleted 1 file with 1 entry")
    assert left.startswith(f"Left alone, as a running process holds it: {living.path}/")
    assert living.counters.entries_held == 2
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
    assert bool(list_spools(tmp_path)) is not deletes


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
