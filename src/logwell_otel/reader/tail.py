"""Following a project: what is there, then what comes, with no gap and nothing twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from logwell_otel.errors import LogwellError
from logwell_otel.reader.filters import iso
from logwell_otel.reader.rows import LogPage, LogRow

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping

    from logwell_otel.reader.filters import Filter
    from logwell_otel.reader.stream import EventStream

LOOK_BACK: Final = timedelta(minutes=5)
"""Time stamps are the sender's, so that rows turn up late: how far a tail looks back for them
after each reconnect."""

_MOST_SEEN: Final = 50_000
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0


class TailSource(Protocol):
    """What a tail needs of a reader."""

    def pages(self, wanted: Filter, limit: int | None) -> Iterator[list[LogRow]]:
        """The rows that match, newest first, page by page."""

    def page(self, parameters: Mapping[str, str]) -> LogPage:
        """One page of rows."""

    def open_stream(self) -> EventStream:
        """A stream of what is stored from now on."""


class Tail:
    """Rows as they come, until somebody ends it: while it waits, too, and from any thread.

    Args:
        source: The reader.
        wanted: Which rows.
        history: So many of the newest come first; None for all.
        rng: For pauses that are not everybody's.
    """

    def __init__(
        self, source: TailSource, wanted: Filter, history: int | None, rng: random.Random
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._history = history
        self._rng = rng
        self._seen = _Seen()
        self._ended = threading.Event()
        self._stream: EventStream | None = None

    def end(self) -> None:
        """End it."""
        self._ended.set()
        if self._stream is not None:
            self._stream.interrupt()

    def batches(self) -> Iterator[list[LogRow]]:
        """Rows, the oldest first, as many at a time as there are.

        Raises:
            LogwellError: What waiting cannot mend.
        """
        seen, wanted = self._seen, self._wanted
        # First what is there already, so that whatever comes from now on counts as new.
        seen.add(self._latest())
        first = [row for page in self._source.pages(wanted, self._history) for row in page]
        seen.add(first)
        yield first[::-1]
        backoff = _FIRST_BACKOFF
        while not self._ended.is_set():
            try:
                with closing(self._source.open_stream()) as stream:
                    self._stream = stream
                    if self._ended.is_set():
                        return  # too early for `end` to find the stream
                    missed = seen.add(self._latest()[::-1])
                    backoff = _FIRST_BACKOFF
                    yield [row for row in missed if wanted.matches_all(row)]
                    for rows in _rows_of(stream):
                        yield [row for row in seen.add(rows) if wanted.matches_all(row)]
            except LogwellError as error:
                if not error.retryable:
                    raise
                wait = max(backoff * self._rng.uniform(0.5, 1.0), error.retry_after or 0.0)
                self._ended.wait(wait)
                backoff = min(_LONGEST_BACKOFF, backoff * 2)

    def _latest(self) -> list[LogRow]:
        """The rows of the time in which late ones may turn up, newest first.

        A page of nothing but rows that are known ends it, or each reconnect of a busy
        project would read five minutes of it again.
        """
        since = self._seen.newest and self._seen.newest - LOOK_BACK
        parameters: dict[str, str] = {}
        rows: list[LogRow] = []
        while True:
            if since is not None:
                parameters["from"] = iso(since)
            page = self._source.page(parameters)
            rows += page.logs
            if since is None and page.logs:
                since = page.logs[0].time - LOOK_BACK  # the first look: from the newest row back
            known = all(row.id in self._seen for row in page.logs)
            if page.next_cursor is None or known or len(rows) >= _MOST_SEEN:
                return [row for row in rows if since is None or row.time >= since]
            parameters["cursor"] = page.next_cursor


class _Seen:
    """Which rows a tail has had: those within `LOOK_BACK` of the newest."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, datetime] = OrderedDict()
        self.newest: datetime | None = None

    def __contains__(self, id_: str) -> bool:
        return id_ in self._times

    def add(self, rows: Iterable[LogRow]) -> list[LogRow]:
        """Remember rows; those that are new."""
        new = []
        # A sender's clock that runs ahead must not move the window past everybody else's rows.
        now = datetime.now(timezone.utc)
        for row in rows:
            if row.id in self._times:
                continue
            time_ = min(row.time, now)
            self._times[row.id] = time_
            if self.newest is None or time_ > self.newest:
                self.newest = time_
            new.append(row)
        if len(self._times) > _MOST_SEEN:
            self._forget()
        return new

    def _forget(self) -> None:
        assert self.newest is not None  # noqa: S101 - there are rows
        oldest = self.newest - LOOK_BACK
        self._times = OrderedDict(
            (id_, time_) for id_, time_ in self._times.items() if time_ >= oldest
        )
        while len(self._times) > 2 * _MOST_SEEN:
            self._times.popitem(last=False)


def _rows_of(stream: EventStream) -> Iterator[list[LogRow]]:
    for name, data in stream.events():
        if name == "logs":
            yield msgspec.convert(data, list[LogRow])
