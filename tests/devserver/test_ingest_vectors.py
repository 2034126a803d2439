"""Every recorded request against the development server: status, answer and what is stored."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from logwell_otel.devserver import DevServer, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.socket

RECORDED = Path(__file__).parents[1] / "contract" / "ingest_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(RECORDED.read_text())["vectors"]
FILLER = "good"
"""The message of entries around the one a vector is about; they are not listed as stored."""


@pytest.fixture(scope="module")
def shared() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None) as running:
        yield running


def body_of(vector: dict[str, Any]) -> bytes:
    body = vector["body"]
    if isinstance(body, dict):
        fill = body["until"] - len(body["repeat"]) - len(body["close"])
        body = body["repeat"] + body["fill"] * fill + body["close"]
    assert isinstance(body, str)
    return body.encode()


def as_recorded(entry: Entry) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    sent = datetime.fromisoformat(entry.timestamp.replace("Z", "+00:00"))
    return {
        "level": entry.level,
        "message": entry.message,
        "service": entry.service,
        "metadata": entry.metadata,
        "sourceFile": entry.source_file,
        "lineNumber": entry.line_number,
        "request_id": entry.request_id,
        "user_id": entry.user_id,
        "ip_address": entry.ip_address,
        "timestamp": "now" if abs(now - sent) < timedelta(minutes=1) else entry.timestamp,
    }


def test_there_are_82() -> None:
    assert len(VECTORS) == 82


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])
def test_vector(shared: DevServer, vector: dict[str, Any]) -> None:
    before = shared.count()
    headers = {
        name: value.replace("{key}", shared.key) for name, value in vector["headers"].items()
    }
    answer = httpx.post(
        f"{shared.url}/v1/ingest",
        content=body_of(vector),
        headers=headers,
        trust_env=False,
        verify=False,
    )
    stored = shared.entries(before)

    assert answer.status_code == vector["status"]
    assert len(stored) == vector["stored_count"]
    if vector["answer"] is None:
        assert "json" not in answer.headers.get("content-type", "")
    elif vector["status"] == 500:
        content = answer.json()
        assert content.keys() == {"id", "message"}
        assert content["message"] == vector["answer"]["message"]
        assert len(content["id"]) == len(vector["answer"]["id"])
    else:
        assert answer.json() == vector["answer"]
    if "stored" in vector:
        about = [as_recorded(entry) for entry in stored if entry.message != FILLER]
        assert json.dumps(about, sort_keys=True) == json.dumps(vector["stored"], sort_keys=True)
