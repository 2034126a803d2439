"""The reader for asyncio: the same one, on a thread.

The server takes one request of a session at a time, so that nothing is won by a second
implementation; what matters is that the event loop never waits.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from logwell_otel.reader.client import LogwellReader, Tail
from logwell_otel.reader.filters import Filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

    from logwell_otel.reader.filters import Moment
    from logwell_otel.reader.rows import Incident, IncidentDetail, LogRow, Project, Stats

_T = TypeVar("_T")
_END: Any = object()


class AsyncLogwellReader:
    """`LogwellReader` for asyncio; the same arguments, methods and errors.

    Args:
        *arguments: As `LogwellReader`.
        **options: As `LogwellReader`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            self._reader = LogwellReader(*arguments, **options)
        finally:
            # An error leaves through this frame: what shows its locals would show the password.
            del arguments, options

    async def projects(self) -> list[Project]:
        """See `LogwellReader.projects`."""
        return await asyncio.to_thread(self._reader.projects)

    async def search(
        self,
        text: str = "",
        *,
        level: str | Iterable[str] | None = None,
        service: str | None = None,
        since: Moment = None,
        until: Moment = None,
        limit: int | None = None,
        where: Mapping[str, Any] | None = None,
        trace: str | None = None,
    ) -> AsyncIterator[LogRow]:
        """See `LogwellReader.search`."""
        wanted = Filter.of(
            text,
            level=level,
            service=service,
            since=since,
            until=until,
            where=where,
            trace=trace,
        )
        async for page in _on_thread(self._reader._pages(wanted, limit)):  # noqa: SLF001 - our own
            for row in page:
                yield row

    async def tail(
        self,
        text: str = "",
        *,
        level: str | Iterable[str] | None = None,
        service: str | None = None,
        where: Mapping[str, Any] | None = None,
        trace: str | None = None,
        history: int = 0,
    ) -> AsyncIterator[LogRow]:
        """See `LogwellReader.tail`; cancelling ends it."""
        wanted = Filter.of(text, level=level, service=service, where=where, trace=trace)
        tail = Tail()
        batches = self._reader._tail(wanted, history, tail)  # noqa: SLF001 - our own
        async for rows in _on_thread(batches, tail.end):
            for row in rows:
                yield row

    async def incidents(
        self,
        *,
        status: str = "open",
        range: str = "24h",  # noqa: A002 - the server's word
    ) -> list[Incident]:
        """See `LogwellReader.incidents`; all at once."""
        read = partial(self._reader.incidents, status=status, range=range)
        return await asyncio.to_thread(lambda: list(read()))

    async def incident(self, id: str) -> IncidentDetail:  # noqa: A002 - the server's word
        """See `LogwellReader.incident`."""
        return await asyncio.to_thread(self._reader.incident, id)

    async def stats(self, *, since: Moment = None, until: Moment = None) -> Stats:
        """See `LogwellReader.stats`."""
        return await asyncio.to_thread(partial(self._reader.stats, since=since, until=until))

    async def aclose(self) -> None:
        """Close connections and end tails."""
        self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        reader = getattr(self, "_reader", None)  # none while it is half-built
        return f"<AsyncLogwellReader of {getattr(reader, 'endpoint', None)}>"


async def _on_thread(
    items: Iterator[_T], interrupt: Callable[[], object] | None = None
) -> AsyncIterator[_T]:
    """Each item of an iterator that waits, without the event loop waiting."""
    try:
        while True:
            item = await asyncio.to_thread(next, items, _END)
            if item is _END:
                return
            yield item
    finally:
        if interrupt is not None:
            interrupt()  # the thread may wait for the next item still
