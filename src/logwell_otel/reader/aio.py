"""The reader for asyncio: the same one, on a thread.

The server takes one request of a session at a time, so that nothing is won by a second
implementation; what matters is that the event loop never waits.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from logwell_otel.reader.client import LogwellReader, settings_of
from logwell_otel.reader.filters import Filter
from logwell_otel.reader.session import Account

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from typing_extensions import Self, Unpack

    from logwell_otel.reader.client import ReaderOptions
    from logwell_otel.reader.filters import Filters, Moment
    from logwell_otel.reader.rows import Incident, IncidentDetail, LogRow, Project, Stats


class AsyncLogwellReader:
    """`LogwellReader` for asyncio; the same arguments, methods and errors.

    What is cancelled ends at once; a request that runs then is finished on its thread, within
    `timeout`.

    Args:
        endpoint: As `LogwellReader`; so are the others.
        username: Who reads.
        password: The password.
        **options: The rest, by name.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        username: str | None = None,
        password: str | None = None,
        **options: Unpack[ReaderOptions],
    ) -> None:
        self._reader = LogwellReader.__new__(LogwellReader)
        account = Account.resolve(username, password, options.get("password_file"))
        settings = settings_of(endpoint, options)
        # An error leaves through this frame, and what shows its locals would show them.
        del password, endpoint
        self._reader._begin(settings, account, **options)  # noqa: SLF001 - our own

    @property
    def endpoint(self) -> str:
        """The server's base URL."""
        return self._reader.endpoint

    async def login(self) -> None:
        """See `LogwellReader.login`."""
        await asyncio.to_thread(self._reader.login)

    async def logout(self) -> None:
        """See `LogwellReader.logout`."""
        await asyncio.to_thread(self._reader.logout)

    async def projects(self) -> list[Project]:
        """See `LogwellReader.projects`."""
        return await asyncio.to_thread(self._reader.projects)

    def search(
        self, text: str = "", *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[LogRow]:
        """See `LogwellReader.search`."""
        pages = self._reader._pages(Filter.of(text, **filters), limit)  # noqa: SLF001 - our own
        return _rows(pages)

    def tail(
        self, text: str = "", *, history: int | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[LogRow]:
        """See `LogwellReader.tail`; cancelling ends it."""
        tail = self._reader._tail(Filter.of(text, **filters), history)  # noqa: SLF001 - our own
        return _rows(tail.batches(), tail.end)

    async def incidents(
        self,
        text: str = "",
        *,
        status: str | None = None,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> list[Incident]:
        """See `LogwellReader.incidents`; all at once."""
        found = self._reader.incidents(text, status=status, limit=limit, **filters)
        return await asyncio.to_thread(list, found)

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
        # Half-built, in the traceback of an error of its own construction, it has no reader.
        reader = getattr(self, "_reader", None)
        return f"<AsyncLogwellReader of {getattr(reader, 'endpoint', None)}>"


async def _rows(
    batches: Iterator[list[LogRow]], interrupt: Callable[[], object] | None = None
) -> AsyncGenerator[LogRow]:
    """Each row of an iterator that waits, without the event loop waiting."""
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for row in batch:
                yield row
    finally:
        if interrupt is not None:
            interrupt()  # the thread may wait for the next ones still
