"""The spool directory, looked at without changing anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from logwell_otel._buffer.spool import Spool
from logwell_otel._encoding.chunk import Chunk
from logwell_otel.cli.check import settings
from logwell_otel.cli.check.report import Status
from logwell_otel.cli.check.settings import spool_directory
from support.check import only, results
from support.server import free_port


@pytest.fixture(autouse=True)
def _tmp_is_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_emptied_at_restart", lambda _: False)


@pytest.mark.socket
def test_one_that_is_not_there_yet(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "spool"
    found = results(f"http://127.0.0.1:{free_port()}", spool_dir=str(directory))
    assert only(found, "Spool") == (
        f"pass Spool: {directory} does not exist yet, and will be created"
    )
    assert list(tmp_path.iterdir()) == []


def test_one_with_entries(tmp_path: Path) -> None:
    spool = Spool(
        tmp_path / "spool", endpoint="https://a.example", service="shop", project=lambda: "p"
    )
    spool.store([Chunk.of_entries([b'{"level":"info","message":"1"}'] * 3)])
    spool.close()
    before = sorted(tmp_path.rglob("*"))
    finding = spool_directory(tmp_path / "spool")
    assert finding.text == f"{tmp_path / 'spool'} can be used, 3 entries wait there"
    assert finding.status is Status.PASS
    assert sorted(tmp_path.rglob("*")) == before


def test_one_that_everybody_may_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    finding = spool_directory(tmp_path)
    assert finding.status is Status.FAIL
    assert f"{tmp_path} is writable by every user" in finding.text
    assert finding.advice == "Exporters do not start until this is changed."


def test_one_that_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    finding = spool_directory(tmp_path / "spool")
    assert finding.status is Status.FAIL
    assert finding.text == (
        f"{tmp_path / 'spool'} does not exist, and cannot be created in {tmp_path}"
    )


def test_one_that_cannot_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists

    def refuse(path: Path) -> bool:
        if path == tmp_path / "closed" / "spool":
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    assert spool_directory(tmp_path / "closed" / "spool").status is Status.PASS


def test_one_that_a_restart_empties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_emptied_at_restart", lambda _: True)
    finding = spool_directory(tmp_path / "spool")
    assert finding.status is Status.WARNING
    assert finding.text.endswith("does not survive a restart of the machine")
