from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from logwell_otel.devserver import DevServer


def get(receiver: DevServer) -> httpx.Response:
    return httpx.get(f"{receiver.url}/api/health", trust_env=False, verify=False)


def test_healthy_and_without_a_key(receiver: DevServer) -> None:
    answer = get(receiver)
    content = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    sent = datetime.fromisoformat(content.pop("timestamp").replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - sent) < timedelta(minutes=1)
    assert content == {
        "status": "healthy",
        "database": "connected",
        "uptime": 0,
        "version": "1.1.3 (logwell-otel development server)",
    }


def test_switched_down_while_ingest_works(receiver: DevServer, client: httpx.Client) -> None:
    receiver.faults.health("down")
    answer = get(receiver)
    assert answer.status_code == 503
    content = answer.json()
    assert (content["status"], content["database"]) == ("unhealthy", "disconnected")
    assert content["error"] == "database unavailable"
    body = b'{"level":"info","message":"good"}'
    assert client.post("/v1/ingest", content=body).status_code == 200


def test_a_closed_database_is_noticed(receiver: DevServer, client: httpx.Client) -> None:
    receiver._store.close()  # noqa: SLF001 - the database goes away under a running server
    assert get(receiver).status_code == 503
    answer = client.post("/v1/ingest", content=b'{"level":"info","message":"good"}')
    assert answer.status_code == 500


def test_a_hanging_check_ends_when_the_switch_is_set_back(receiver: DevServer) -> None:
    receiver.faults.health("hang")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{receiver.url}/api/health", timeout=0.1, trust_env=False, verify=False)
    receiver.faults.clear()
    assert get(receiver).status_code == 200
    assert receiver.counts.health == 2
