from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer
from logwell_otel.reader import LogwellReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("LOGWELL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOGWELL_SESSION_FILE", str(tmp_path / "session.json"))


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None, stream_speed=60) as running:
        yield running


@pytest.fixture
def reader(server: DevServer) -> Iterator[LogwellReader]:
    with LogwellReader(server.url, server.username, server.password) as one:
        yield one


@pytest.fixture
def ingest(server: DevServer) -> Callable[..., None]:
    """Stores entries: texts, or whole entries."""

    def store(*entries: str | dict[str, Any]) -> None:
        rows = [
            {"level": "info", "message": entry} if isinstance(entry, str) else entry
            for entry in entries
        ]
        headers = {"Authorization": f"Bearer {server.key}"}
        with httpx.Client(
            base_url=server.url, headers=headers, trust_env=False, verify=False
        ) as client:
            for start in range(0, len(rows), 100):
                answer = client.post("/v1/ingest", json=rows[start : start + 100])
                assert answer.json() == {"accepted": len(rows[start : start + 100])}

    return store
