"""`POST /v1/ingest`: who may send, how often, and what becomes of a request."""

from __future__ import annotations

import asyncio
import hmac
import re
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from . import answers, javascript, rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .faults import FaultOutcome, Faults
    from .journal import Ending, IngestRequest, Journal
    from .store import Entry, Store

KEY_FORMAT = re.compile(r"lw_[A-Za-z0-9_-]{32}")

_BEARER = "Bearer "
_GONE = Response()
"""Returned where nobody is left to read it."""


class Ingest:
    """Takes entries as the real server does, and misbehaves as the switches say.

    Args:
        store: Where entries go.
        api_key: The one key.
        limit: The rate limit, None for no limit.
        faults: The switches.
        journal: Where requests are noted.
        on_stored: Called with the entries of each batch once they are committed.
    """

    def __init__(
        self,
        store: Store,
        api_key: str,
        *,
        limit: RateLimit | None,
        faults: Faults,
        journal: Journal,
        on_stored: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self._store = store
        self._api_key = api_key
        self._limit = limit
        self._faults = faults
        self._journal = journal
        self._on_stored = on_stored

    async def post(self, request: Request) -> Response:
        """The route's handler."""
        try:
            body = await _read(request)
        except ClientDisconnect:
            return _GONE
        if body is None:
            return answers.too_large()
        document: Any = None
        refused: rules.RefusedError | None = None
        try:
            document = rules.parse(body)
        except rules.RefusedError as refusal:
            refused = refusal
        noted = self._journal.open(*_peer(request), len(body), document)
        outcome = self._faults.take_outcome(body)
        answer, stored = _GONE, 0
        if outcome is None or outcome.stored:
            answer, stored = self._work(request, body, document, refused, noted)
        delay_ms = self._faults.settings.delay_ms
        if delay_ms:
            try:
                await asyncio.sleep(delay_ms / 1000)
            except asyncio.CancelledError:
                # The server stopped before the delay was over and has cut the connection.
                self._journal.finish(noted, "closed", None, stored)
                return _GONE
        return await self._finish(request, noted, outcome, answer, stored)

    def _work(
        self,
        request: Request,
        body: bytes,
        document: Any,
        refused: rules.RefusedError | None,
        noted: IngestRequest,
    ) -> tuple[Response, int]:
        """The right answer, and how many entries were stored."""
        turned_away = self._turn_away(request)
        if turned_away is not None:
            return turned_away, 0
        if refused is not None:
            return answers.error(400, refused.error, refused.message), 0
        try:
            batch = rules.read_batch(document, len(body), javascript.now_ms())
            if batch.entries:
                self._check_faults(body)
                self._store.add(batch.entries)
        except rules.RefusedError as refusal:
            return answers.error(400, refusal.error, refusal.message), 0
        except rules.PoisonError:
            return answers.server_error(request.headers.get("accept")), 0
        except sqlite3.Error as failure:
            print(f"database: {failure}", file=sys.stderr)
            return answers.server_error(request.headers.get("accept")), 0
        if self._on_stored is not None and batch.entries:
            self._on_stored(batch.entries)
        self._journal.refuse(noted, [_reason(text) for text in batch.errors])
        result: dict[str, Any] = {"accepted": len(batch.entries)}
        if batch.errors:
            result |= {"rejected": len(batch.errors), "errors": batch.errors}
        return answers.json_answer(result), len(batch.entries)

    def _turn_away(self, request: Request) -> Response | None:
        """415, 401 and 429: what the server checks before it reads the body."""
        media_type = request.headers.get("content-type", "").partition(";")[0]
        if media_type.strip().lower() != "application/json":
            return answers.unsupported_media_type()
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith(_BEARER):
            return answers.unauthorized("Missing or invalid authorization header")
        key = authorization.removeprefix(_BEARER)
        if not KEY_FORMAT.fullmatch(key):
            return answers.unauthorized("Invalid API key format")
        if not hmac.compare_digest(key, self._api_key):
            return answers.unauthorized("Invalid API key")
        if self._limit is not None and not self._limit.take():
            return answers.rate_limited()
        return None

    def _check_faults(self, body: bytes) -> None:
        settings = self._faults.settings
        if settings.inserts_fail:
            raise rules.PoisonError("switched to fail")
        if settings.poison_marker is not None and settings.poison_marker.encode() in body:
            raise rules.PoisonError("marked")

    async def _finish(
        self,
        request: Request,
        noted: IngestRequest,
        outcome: FaultOutcome | None,
        answer: Response,
        stored: int,
    ) -> Response:
        if outcome is not None and outcome.kind != "answer":
            if outcome.kind == "hang":
                await hang(request, self._faults)
            # Noted first: who sees the connection end finds the request finished.
            ended: Ending = "hung" if outcome.kind == "hang" else "closed"
            self._journal.finish(noted, ended, None, stored)
            await cut(request)
            return _GONE
        if outcome is not None:
            answer = answers.fault_answer(outcome, request.headers.get("accept"))
        self._journal.finish(noted, "answered", answer.status_code, stored)
        return answer


class RateLimit:
    """The server's token bucket: one token a request; full at the start, refilled evenly.

    Args:
        requests_per_minute: The bucket's size, and what flows in each minute. At least 1.
        clock: Seconds that never go backwards.

    Raises:
        ValueError: The limit lets nothing through.
    """

    def __init__(
        self, requests_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if requests_per_minute < 1:
            raise ValueError(f"requests_per_minute must be at least 1, got {requests_per_minute}")
        self.requests_per_minute = requests_per_minute
        self._clock = clock
        self._tokens = float(requests_per_minute)
        self._counted_at = clock()

    def take(self) -> bool:
        """Takes one token; False when there is none, which costs nothing."""
        now = self._clock()
        self._tokens = self._left(now)
        self._counted_at = now
        # Refills add up to 0.999… of a token where one is due; a request must not wait
        # another turn for a rounding error.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    @property
    def left(self) -> float:
        """Requests that it would let through at this moment."""
        return self._left(self._clock())

    def _left(self, now: float) -> float:
        refill = (now - self._counted_at) * self.requests_per_minute / 60
        return min(float(self.requests_per_minute), self._tokens + refill)


async def _read(request: Request) -> bytes | None:
    """The body; None where it is longer than it may be (sent without a length)."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > rules.MAX_BODY_BYTES:
            return None
    return b"".join(chunks)


def _reason(error: str) -> str:
    """What all refusals of a kind have in common: no index, none of the client's text."""
    reason = error.partition(": ")[2]
    return "invalid level" if reason.startswith("invalid level") else reason


def _peer(request: Request) -> tuple[int, int]:
    port = 0 if request.client is None else request.client.port
    return request.state.connection.number, port


async def hang(request: Request, faults: Faults) -> None:
    """Waits until the client goes away or the switches change."""
    generation = faults.generation
    # The switches are changed from any thread: a look every 10 ms is simpler than an event
    # that belongs to this loop.
    while faults.generation == generation and not await request.is_disconnected():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def cut(request: Request) -> None:
    """Ends the request's connection without an answer."""
    request.state.connection.cut()
    # One turn of the loop until uvicorn knows; before that it would try to answer.
    while not await request.is_disconnected():  # noqa: ASYNC110
        await asyncio.sleep(0)
