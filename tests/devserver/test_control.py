"""`/_control`, as a test in another process uses it."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from logwell_otel.devserver import DevServer

GOOD = b'[{"level":"info","message":"one"},{"level":"error","message":"two"},7,{"message":5}]'
OFF: dict[str, Any] = {
    "outcome": None,
    "delay_ms": 0.0,
    "poison_marker": None,
    "inserts_fail": False,
    "health": "up",
}


def test_switches_are_read_set_and_cleared(receiver: DevServer, client: httpx.Client) -> None:
    assert client.get("/_control/faults").json() == OFF
    outcome = {"kind": "answer", "status": 502, "times": 2}
    answer = client.put("/_control/faults", json={"outcome": outcome, "delay_ms": 1})
    assert answer.status_code == 200
    assert answer.json() == OFF | {"outcome": outcome, "delay_ms": 1}
    assert client.post("/v1/ingest", content=GOOD).status_code == 502
    assert client.get("/_control/faults").json()["outcome"]["times"] == 1
    assert client.delete("/_control/faults").json() == OFF
    assert receiver.faults.settings.outcome is None


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (b"broken", "JSON"),
        (b"[]", "object"),
        (b'{"delay":1}', "delay"),
        (b'{"delay_ms":-1}', "0 to 600,000"),
        (b'{"health":"ill"}', "ill"),
        (b'{"outcome":{"kind":"explode"}}', "explode"),
        (b'{"outcome":{"kind":"answer","status":99}}', "200 to 599"),
        (b'{"outcome":{"kind":"hang","times":0}}', "at least 1"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_changes(
    receiver: DevServer, client: httpx.Client, body: bytes, about: str
) -> None:
    client.put("/_control/faults", json={"delay_ms": 2})
    answer = client.put("/_control/faults", content=body)
    assert answer.status_code == 400
    assert about in answer.json()["message"]
    assert receiver.faults.settings.delay_ms == 2


def test_the_journal(receiver: DevServer, client: httpx.Client) -> None:
    before = time.monotonic()
    client.post("/v1/ingest", content=GOOD)
    client.post("/v1/ingest", content=b"broken")
    client.get("/api/health")
    after = time.monotonic()
    page = client.get("/_control/requests").json()
    assert page["counts"] == {
        "requests": 2,
        "by_status": {"200": 1, "400": 1},
        "unanswered": 0,
        "entries": 4,
        "stored": 2,
        "connections": 1,
        "health": 1,
    }
    first, second = page["requests"]
    assert before <= first.pop("time") <= first.pop("finished") <= second["time"] <= after
    assert first.pop("client_port") > 1023
    assert first == {
        "number": 1,
        "connection": 1,
        "body_bytes": len(GOOD),
        "levels": ["info", "error", None, None],
        "messages": ["one", "two", None, None],
        "outcome": "answered",
        "status": 200,
        "stored": 2,
        "refused": 2,
    }
    assert (second["number"], second["status"], second["messages"]) == (2, 400, [])

    assert client.delete("/_control/requests").status_code == 204
    assert client.get("/_control/requests").json()["requests"] == []
    client.post("/v1/ingest", content=GOOD)
    assert client.get("/_control/requests").json()["requests"][0]["number"] == 1


@pytest.mark.socket
def test_it_is_not_there_unless_asked_for() -> None:
    with DevServer(control=False, journal=False) as receiver:
        headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
        with httpx.Client(
            base_url=receiver.url, headers=headers, trust_env=False, verify=False
        ) as client:
            for path in ("/_control/faults", "/_control/requests"):
                assert client.get(path).status_code == 404
                assert client.put(path, content=json.dumps(OFF)).status_code == 404
            client.post("/v1/ingest", content=GOOD)
        assert receiver.requests == []
        assert receiver.counts.stored == 2
