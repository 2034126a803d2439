"""What arrived, request by request: for tests to look at."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_KEPT = 100_000
"""Requests remembered; older ones are forgotten, the counts go on."""

Ending = Literal["open", "answered", "hung", "closed"]


class IngestRequest(msgspec.Struct):
    """One `POST /v1/ingest`.

    Attributes:
        number: 1 for the first since the start (or since `clear`).
        time: When its body had arrived: seconds on the system's monotonic clock
            (`time.monotonic()`, on Linux comparable between processes).
        connection: Number of the TCP connection, 1 for the first.
        client_port: The client's port.
        body_bytes: Size of the body in bytes.
        levels: The entries' levels in the order sent; None for one that is missing or no
            string.
        messages: The entries' messages, likewise.
        outcome: `open` while it is worked on, then `answered`; `hung` and `closed` had no
            answer.
        status: The answer's HTTP status, None where there was none.
        stored: Entries stored.
        refused: Entries refused one by one, with a reason for each.
        finished: When the answer was handed to the socket, or the connection closed, on the
            clock of `time`; None while it is open.
    """

    number: int
    time: float
    connection: int
    client_port: int
    body_bytes: int
    levels: list[str | None]
    messages: list[str | None]
    outcome: Ending = "open"
    status: int | None = None
    stored: int = 0
    refused: int = 0
    finished: float | None = None

    @property
    def entries(self) -> int:
        """How many entries were sent."""
        return len(self.messages)


class RequestCounts(msgspec.Struct, frozen=True):
    """Totals since the start (or since `clear`).

    Attributes:
        requests: Finished ingest requests.
        by_status: Of these, how many were answered with each status.
        unanswered: Of these, how many had no answer.
        entries: Entries in finished requests.
        stored: Entries stored.
        connections: TCP connections that carried an ingest request.
        health: Health checks.
    """

    requests: int
    by_status: dict[int, int]
    unanswered: int
    entries: int
    stored: int
    connections: int
    health: int


class JournalPage(msgspec.Struct):
    """The body of `GET /_control/requests`."""

    counts: RequestCounts
    requests: list[IngestRequest]


class Journal:
    """Remembers ingest requests and counts them. Safe to use from several threads.

    Args:
        keep: Whether single requests are remembered; without, there are counts only.
        clock: The monotonic clock of the requests' times.
    """

    def __init__(self, *, keep: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: deque[IngestRequest] = deque(maxlen=_KEPT if keep else 0)
        self._reset()

    def _reset(self) -> None:
        self._requests.clear()
        self._number = 0
        self._by_status: Counter[int] = Counter()
        self._unanswered = 0
        self._entries = 0
        self._stored = 0
        self._health = 0
        self._connections: set[int] = set()
        self._refusals: Counter[str] = Counter()

    def open(
        self, connection: int, client_port: int, body_bytes: int, document: Any
    ) -> IngestRequest:
        """Notes a request whose body has arrived; `document` is the parsed body or None."""
        items = document if isinstance(document, list) else [document]
        items = [] if document is None else items
        with self._lock:
            self._number += 1
            self._connections.add(connection)
            request = IngestRequest(
                number=self._number,
                time=self._clock(),
                connection=connection,
                client_port=client_port,
                body_bytes=body_bytes,
                levels=[_text(item, "level") for item in items],
                messages=[_text(item, "message") for item in items],
            )
            self._requests.append(request)
        return request

    def finish(
        self, request: IngestRequest, outcome: Ending, status: int | None, stored: int
    ) -> None:
        """Notes how a request ended."""
        with self._lock:
            request.outcome = outcome
            request.status = status
            request.stored = stored
            request.finished = self._clock()
            if status is None:
                self._unanswered += 1
            else:
                self._by_status[status] += 1
            self._entries += request.entries
            self._stored += stored
            lost = request.entries - request.refused - stored
            if lost:
                self._refusals["unanswered" if status is None else str(status)] += lost

    def refuse(self, request: IngestRequest, reasons: Sequence[str]) -> None:
        """Notes why entries of a request were refused one by one."""
        with self._lock:
            request.refused += len(reasons)
            self._refusals.update(reasons)

    def refusals(self) -> dict[str, int]:
        """How many entries of finished requests were not stored, by reason.

        That is the server's own words for an entry, or for a whole request the status of its
        answer, `unanswered` where it had none.
        """
        with self._lock:
            return dict(self._refusals)

    def note_health(self) -> None:
        """RequestCounts a health check."""
        with self._lock:
            self._health += 1

    def requests(self) -> list[IngestRequest]:
        """The remembered requests in order of arrival, open ones included: copies."""
        with self._lock:
            return [msgspec.structs.replace(request) for request in self._requests]

    def counts(self) -> RequestCounts:
        """The totals."""
        with self._lock:
            return RequestCounts(
                requests=self._unanswered + sum(self._by_status.values()),
                by_status=dict(self._by_status),
                unanswered=self._unanswered,
                entries=self._entries,
                stored=self._stored,
                connections=len(self._connections),
                health=self._health,
            )

    def clear(self) -> None:
        """Forgets everything, open requests included (their end is not counted)."""
        with self._lock:
            self._reset()


def _text(item: Any, field: str) -> str | None:
    value = item.get(field) if isinstance(item, dict) else None
    return value if isinstance(value, str) else None
