"""Searching: what the server filters, what is filtered here, page after page."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel import LogwellError, LogwellErrorCode
from logwell_otel.reader import LogRow, LogwellReader
from logwell_otel.reader.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.socket

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def entry(number: int, **fields: Any) -> dict[str, Any]:
    moment = (NOON + timedelta(seconds=number)).isoformat()
    return {"level": "info", "message": f"message {number}", "timestamp": moment, **fields}


ENTRIES = [
    entry(0, service="shop", metadata={"order": 17, "user": {"name": "ann"}}),
    entry(1, level="error", message="payment failed", service="pay", metadata={"order": 17}),
    entry(2, level="warn", message="payments are slow", metadata={"trace_id": TRACE}),
    entry(3, level="fatal", message="out of memory", sourceFile="app.py", lineNumber=7)
    | {"metadata": {"left": None}},
]


def messages(rows: Any) -> list[str]:
    return [row.message for row in rows]


def test_a_row_has_everything(reader: LogwellReader, ingest: Callable[..., None]) -> None:
    ingest(ENTRIES[1])
    (row,) = reader.search()
    assert row == LogRow(
        id=row.id,
        level="error",
        message="payment failed",
        timestamp="2026-11-20T12:00:01.000Z",
        service_name="pay",
        metadata={"order": 17},
        incident_id=row.incident_id,
        fingerprint=row.fingerprint,
    )
    assert row.time == NOON + timedelta(seconds=1)
    assert len(row.id) == 21
    assert row.incident_id
    assert row.fingerprint


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"text": "payment"}, [2, 1]),
        ({"text": "pay"}, [1]),  # its service
        ({"text": "paymen"}, []),
        ({"level": "error"}, [1]),
        ({"level": "ERROR, fatal"}, [3, 1]),
        ({"level": ["warn", "fatal"]}, [3, 2]),
        ({"service": "shop"}, [0]),
        ({"service": "sho"}, []),
        ({"since": "2026-11-20T12:00:02Z"}, [3, 2]),
        ({"until": NOON + timedelta(seconds=1)}, [1, 0]),
        ({"since": "2026-11-20T13:00:01+01:00", "until": "2026-11-20T12:00:01.000Z"}, [1]),
        ({"where": {"order": 17}}, [1, 0]),
        ({"where": {"order": "17", "user.name": "ann"}}, [0]),
        ({"where": {"order": "18"}}, []),
        ({"where": {"left": None}}, [3]),
        ({"where": {"right": None}}, []),
        ({"level": "warning,critical"}, [3, 2]),
        ({"trace": TRACE.upper()}, [2]),
        ({"limit": 2}, [3, 2]),
        ({"limit": 0}, []),
        ({"limit": 1, "service": "shop"}, [0]),
    ],
    ids=str,
)
def test_what_is_found(
    reader: LogwellReader,
    ingest: Callable[..., None],
    question: dict[str, Any],
    found: list[int],
) -> None:
    ingest(*ENTRIES)
    assert messages(reader.search(**question)) == [ENTRIES[number]["message"] for number in found]


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ({"level": "loud"}, "level: expected one of debug, info, warn, error, fatal, got 'loud'"),
        ({"since": "yesterday"}, "since: expected a time such as 15m"),
        ({"until": "2026-99-99"}, "until: expected a time"),
        ({"since": "99999999999999d"}, "since: expected a time"),
        ({"since": "1h", "until": "2h"}, "until: expected a time after since, which is '1h'"),
        ({"trace": "abc"}, "trace: expected 32 hexadecimal digits, got 'abc'"),
        ({"since": 1764241807}, "since: expected a time such as 15m.*, got 1764241807"),
        ({"text": "a\0b"}, "text: expected words, got characters that no entry has"),
        ({"text": "caf\udce9"}, "text: expected words, got characters that no entry has"),
        ({"text": "!!! :("}, "text: expected words, got signs alone"),
    ],
    ids=str,
)
def test_a_wrong_argument_raises_before_anything_is_asked(
    reader: LogwellReader, question: dict[str, Any], named: str
) -> None:
    with pytest.raises(LogwellError, match=named) as caught:
        reader.search(**question)
    assert caught.value.code == LogwellErrorCode.INVALID_CONFIG


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2 h", 7200), ("1d ago", 86_400), ("now", 0)]
)
def test_times_ago(text: str, seconds: int) -> None:
    wanted = Filter.of(since=text, now=NOON)
    assert wanted.since == NOON - timedelta(seconds=seconds)


def test_pages_are_fetched_as_they_are_asked_for(
    reader: LogwellReader, ingest: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(*(entry(number) for number in range(1_203)))
    asked: list[str] = []
    ask = reader._client.request  # noqa: SLF001 - counted on the way

    def counted(method: str, url: str, *rest: Any) -> Any:
        asked.append(url)
        return ask(method, url, *rest)

    monkeypatch.setattr(reader._client, "request", counted)  # noqa: SLF001
    rows = reader.search()
    assert asked == []
    assert messages(islice(rows, 500)) == [f"message {n}" for n in range(1_202, 702, -1)]
    assert sum("/logs?" in url for url in asked) == 1
    assert messages(rows) == [f"message {n}" for n in range(702, -1, -1)]
    assert sum("/logs?" in url for url in asked) == 3


@pytest.mark.slow
def test_ten_thousand_rows_take_flat_memory(
    reader: LogwellReader, ingest: Callable[..., None]
) -> None:
    ingest(*(entry(number, metadata={"filler": "x" * 1000}) for number in range(10_000)))
    rows = reader.search()
    assert len(list(islice(rows, 2_000))) == 2_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert sum(1 for _ in rows) == 8_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 8 * 1024 * 1024  # some pages of 500, whatever comes behind them


def test_incidents_and_stats(reader: LogwellReader, ingest: Callable[..., None]) -> None:
    now = datetime.now(timezone.utc).isoformat()
    for number in (1, 2):
        failure = {"level": "error", "message": f"order {number} failed", "timestamp": now}
        ingest(
            {**failure, "sourceFile": "shop.py", "lineNumber": 3, "metadata": {"request_id": "r"}}
        )
    ingest({"level": "info", "message": "fine"})
    (incident,) = reader.incidents()
    assert incident.title == "order 1 failed"
    assert incident.normalized_message == "order {num} failed"
    assert (incident.total_events, incident.highest_level, incident.status) == (2, "error", "open")
    detail = reader.incident(incident.id)
    assert [
        (one.source_file, one.line_number, one.count) for one in detail.root_cause_candidates
    ] == [("shop.py", 3, 2)]
    assert [(one.request_id, one.count) for one in detail.requests] == [("r", 2)]
    assert list(reader.incidents(status="resolved", since="7d")) == []
    stats = reader.stats(since="1h")
    assert (stats.total_logs, stats.level_counts) == (3, {"info": 1, "error": 2})
    with pytest.raises(LogwellError, match="Incident not found"):
        reader.incident("nope")


def test_which_incidents(reader: LogwellReader, ingest: Callable[..., None]) -> None:
    now = datetime.now(timezone.utc)

    def failure(message: str, minutes: int, service: str, level: str, **fields: Any) -> Any:
        timestamp = (now - timedelta(minutes=minutes)).isoformat()
        return {"level": level, "message": message, "service": service, "timestamp": timestamp} | {
            "metadata": fields
        }

    ingest(
        failure("a", 1, "shop", "error", order=17),
        failure("b", 5, "shop", "fatal", order=18, trace_id=TRACE),
        failure("b", 50, "shop", "error", order=17),
        failure("c", 90, "pay", "error", order=17),
        failure("d", 60 * 30, "pay", "error"),
    )

    def titles(**question: Any) -> list[str]:
        return [incident.title for incident in reader.incidents(**question)]

    assert titles() == ["a", "b", "c"]
    assert titles(since="7d") == ["a", "b", "c", "d"]
    assert titles(status="open") == ["a", "b"]
    assert titles(status="resolved") == ["c"]
    assert titles(since=now - timedelta(minutes=3)) == ["a"]
    assert titles(until=now - timedelta(minutes=20)) == ["b", "c"]  # b was there as well
    assert titles(service="pay") == ["c"]
    assert titles(level="fatal") == ["b"]
    assert titles(level="warn") == []
    assert titles(where={"order": 17}) == ["a", "b", "c"]
    assert titles(where={"order": 17}, since="10m") == ["a"]
    assert titles(trace=TRACE) == ["b"]
    assert titles(text="c") == ["c"]
    assert titles(limit=1) == ["a"]
    with pytest.raises(LogwellError, match="since: expected at most 7d ago"):
        reader.incidents(since="8d")
    with pytest.raises(LogwellError, match="status: expected open or resolved"):
        reader.incidents(status="closed")
