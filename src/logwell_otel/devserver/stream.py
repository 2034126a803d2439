"""The streams: what is stored, as it is stored, over Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from . import answers, incidents, javascript
from .reading import in_database_order
from .session import own_origin, sent_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from .reading import Reading
    from .store import Store, StoredEntry

_BATCH_SECONDS = 1.5
_BATCH_ITEMS = 50
_QUEUED = 256
"""More than that, and a slow reader misses items without a sign."""

_HEARTBEAT_SECONDS = 30.0
_IDLE_SECONDS = 10.0
"""A stream without a byte for so long is cut; the heartbeat comes too late to prevent it."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nConnection: keep-alive\r\n"
)


class Streams:
    """The two routes, and who listens.

    Args:
        store: Whose entries are streamed.
        reading: Who may read what.
        speed: All waits are divided by this.
    """

    def __init__(self, store: Store, reading: Reading, *, speed: float = 1.0) -> None:
        self._store = store
        self._reading = reading
        self._speed = speed
        self._logs: set[_Subscriber] = set()
        self._incidents: set[_Subscriber] = set()
        self.cuts: int = 0
        """Streams cut for having been idle."""
        store.listeners.append(self._stored)

    @property
    def open(self) -> int:
        """How many are open."""
        return len(self._logs) + len(self._incidents)

    def routes(self) -> list[Route]:
        """The streams of logs and of incidents."""

        async def logs(request: Request) -> Response:
            return await self._open(request, "logs", self._logs)

        async def incidents_(request: Request) -> Response:
            return await self._open(request, "incidents", self._incidents)

        async def no_get(request: Request) -> Response:
            return answers.wrong_method(request.method, "POST")

        logs_path = "/api/projects/{project}/logs/stream"
        incidents_path = "/api/projects/{project}/incidents/stream"
        return [
            Route(logs_path, logs, methods=["POST"]),
            Route(incidents_path, incidents_, methods=["POST"]),
            Route(logs_path, no_get),
            Route(incidents_path, no_get),
        ]

    def _stored(self, batch: list[StoredEntry]) -> None:
        if self._logs:
            items = [_log(self._reading.project, stored) for stored in batch]
            for stream in list(self._logs):
                stream.put(items)
        if self._incidents:
            prints = dict.fromkeys(one.fingerprint for one in batch if one.fingerprint)
            changed = [
                incidents.StoredIncident(*row)
                for print_ in prints
                for row in self._store.query(
                    incidents.select("fingerprint = ?", self._reading.project), [print_]
                )
            ]
            for stream in list(self._incidents):
                stream.put([incidents.as_streamed(incident) for incident in changed])

    async def _open(self, request: Request, event: str, streams: set[_Subscriber]) -> Response:
        origin = sent_origin(request)
        if origin is None:
            return answers.error(403, "csrf_error", "Missing Origin and Referer headers")
        if origin != own_origin(request):
            return answers.error(403, "csrf_error", "Invalid Origin header")
        refused = self._reading.turn_away(request)
        if refused is not None:
            return refused
        # The real server's head is unfinished until the first event, which no framework
        # offers: the bytes go out by the connection itself.
        transport = request.state.connection.transport
        stream = _Subscriber(event, transport.write, self._speed)
        transport.write(_HEAD)
        streams.add(stream)
        try:
            closed = asyncio.ensure_future(_gone(request))
            served = asyncio.ensure_future(stream.serve())
            await asyncio.wait({closed, served}, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += served.done()
            closed.cancel()
            served.cancel()
        finally:
            streams.discard(stream)
        request.state.connection.close()
        await _gone(request)  # before that, uvicorn would try to answer
        return Response()


class _Subscriber:
    """One client's stream: gathers items, writes events."""

    def __init__(self, event: str, write: Callable[[bytes], None], speed: float) -> None:
        self._event = event
        self._write = write
        self._speed = speed
        self._items: list[Any] = []
        self._came = asyncio.Event()
        self._headed = False
        self._loop = asyncio.get_running_loop()

    def _now(self) -> float:
        return self._loop.time() * self._speed

    def put(self, items: list[Any]) -> None:
        """Queue items, in the server's thread; what is too much is dropped."""
        self._items += items[: _QUEUED - len(self._items)]
        self._came.set()

    async def serve(self) -> None:
        """Write events until the stream has been idle for too long."""
        beat, idle_at = self._now() + _HEARTBEAT_SECONDS, self._now() + _IDLE_SECONDS
        while True:
            now = self._now()
            if now >= beat:
                self._send("heartbeat", {"ts": javascript.now_ms()})
                beat = now + _HEARTBEAT_SECONDS
            elif now >= idle_at:
                return
            elif await self._wait(min(beat, idle_at) - now):
                await self._gather()
            else:
                continue
            idle_at = self._now() + _IDLE_SECONDS

    async def _wait(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._came.wait(), seconds / self._speed)
        except asyncio.TimeoutError:
            return False
        return True

    async def _gather(self) -> None:
        """All that comes within the window after the first item, in events of at most 50."""
        until = self._now() + _BATCH_SECONDS
        while len(self._items) < _BATCH_ITEMS and (left := until - self._now()) > 0:
            self._came.clear()
            await self._wait(left)
        items = self._items[:_BATCH_ITEMS]
        del self._items[:_BATCH_ITEMS]
        if self._items:
            self._came.set()
        else:
            self._came.clear()
        self._send(self._event, items)

    def _send(self, event: str, data: Any) -> None:
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        body = f"event: {event}\ndata: {text}\n\n".encode("utf-8", "replace")
        head = b""
        if not self._headed:
            self._headed = True
            date = formatdate(usegmt=True)
            head = f"Date: {date}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self._write(head + f"{len(body):x}\r\n".encode() + body + b"\r\n")


async def _gone(request: Request) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)


def _log(project: str, stored: StoredEntry) -> dict[str, Any]:
    entry = stored.entry
    return {
        "id": stored.id,
        "projectId": project,
        "incidentId": stored.incident,
        "fingerprint": stored.fingerprint,
        "serviceName": entry.service,
        "level": entry.level,
        "message": entry.message,
        "metadata": in_database_order(entry.metadata),
        "timeUnixNano": None,
        "observedTimeUnixNano": None,
        "severityNumber": None,
        "severityText": None,
        "body": None,
        "droppedAttributesCount": None,
        "flags": None,
        "traceId": None,
        "spanId": None,
        "resourceAttributes": entry.service and {"service.name": entry.service},
        "resourceDroppedAttributesCount": None,
        "resourceSchemaUrl": None,
        "scopeName": None,
        "scopeVersion": None,
        "scopeAttributes": None,
        "scopeDroppedAttributesCount": None,
        "scopeSchemaUrl": None,
        "sourceFile": entry.source_file,
        "lineNumber": entry.line_number,
        "requestId": entry.request_id,
        "userId": entry.user_id,
        "ipAddress": entry.ip_address,
        "timestamp": entry.timestamp,
    }
