from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from logwell_otel.devserver import DevServer


def entry(message: str, minute: int, **fields: Any) -> dict[str, Any]:
    time = f"2026-11-20T10:{minute:02}:00Z"
    return {"level": "info", "message": message, "timestamp": time} | fields


@pytest.fixture
def filled(receiver: DevServer, client: httpx.Client) -> httpx.Client:
    entries = [
        entry("third", 3, level="error", service="Shop", metadata={"trace_id": "ab" * 16}),
        entry("first 100%", 1, sourceFile="a.py", lineNumber=7, metadata={"request_id": "r1"}),
        entry("second first_", 2, level="warn", metadata={"user.id": "u", "ip": "::1"}),
        entry("also third, stored later", 3),
    ]
    assert client.post("/v1/ingest", content=json.dumps(entries)).json() == {"accepted": 4}
    del client.headers["Authorization"]
    return client


def messages(client: httpx.Client, **query: str) -> tuple[list[str], int]:
    answer = client.get("/api/logs", params=query)
    assert answer.status_code == 200
    return [log["message"] for log in answer.json()["logs"]], answer.json()["total"]


def test_newest_first_with_every_field_and_without_a_key(filled: httpx.Client) -> None:
    logs = filled.get("/api/logs").json()["logs"]
    assert [log["message"] for log in logs] == [
        "also third, stored later",
        "third",
        "second first_",
        "first 100%",
    ]
    assert logs[3] == {
        "level": "info",
        "message": "first 100%",
        "timestamp": "2026-11-20T10:01:00.000Z",
        "serviceName": None,
        "metadata": {"request_id": "r1"},
        "sourceFile": "a.py",
        "lineNumber": 7,
        "requestId": "r1",
        "userId": None,
        "ipAddress": None,
    }
    assert (logs[2]["userId"], logs[2]["ipAddress"]) == ("u", "::1")


def test_limit_leaves_the_total(filled: httpx.Client) -> None:
    assert messages(filled, limit="2") == (["also third, stored later", "third"], 4)


def test_level(filled: httpx.Client) -> None:
    assert messages(filled, level="error") == (["third"], 1)
    assert messages(filled, level="fatal") == ([], 0)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("FIRST", ["second first_", "first 100%"]),
        ("first second", ["second first_"]),
        ("first_", ["second first_"]),
        ("100%", ["first 100%"]),
        ("%", ["first 100%"]),
        ("\\", []),
        ("abababab", ["third"]),
        ("shop", ["third"]),
        ("'; DROP TABLE log; --", []),
        ("   ", ["also third, stored later", "third", "second first_", "first 100%"]),
    ],
)
def test_search(filled: httpx.Client, search: str, found: list[str]) -> None:
    assert messages(filled, search=search) == (found, len(found))


def test_all_at_once(filled: httpx.Client) -> None:
    assert messages(filled, search="third", level="error", limit="1") == (["third"], 1)


def test_empty_parameters_are_absent_ones(filled: httpx.Client) -> None:
    assert messages(filled, search="", level="", limit="")[1] == 4


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "100001", "00001", "٣", "9" * 30])
def test_wrong_limits(client: httpx.Client, limit: str) -> None:
    answer = client.get("/api/logs", params={"limit": limit})
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")


def test_wrong_level(client: httpx.Client) -> None:
    answer = client.get("/api/logs", params={"level": "INFO"})
    assert answer.status_code == 400
    assert "debug, info, warn, error, fatal" in answer.json()["message"]


def test_the_front_page_says_what_there_is(client: httpx.Client) -> None:
    text = client.get("/").text
    assert "not for production" in text
    assert "/api/logs" in text
