"""The reader: one request at a time, as this server needs it."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from logwell_otel._config.address import base_url, proxy_of, proxy_secrets
from logwell_otel._config.settings import Resolver
from logwell_otel._diagnostics import Secrets
from logwell_otel._http import Answer, HttpClient, NoAnswer
from logwell_otel._network import TlsFiles, TlsSettings
from logwell_otel.errors import LogwellError, LogwellErrorCode, config_error
from logwell_otel.reader.filters import Filter, iso
from logwell_otel.reader.rows import Incident, IncidentDetail, LogRow, Project, Stats, moment_of
from logwell_otel.reader.session import (
    Account,
    SessionFile,
    cookie_of,
    sign_in_problem,
)
from logwell_otel.reader.stream import EventStream

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

    from logwell_otel.reader.filters import Moment

PAGE: Final = 500
"""The most rows that the server gives at once."""

LOOK_BACK: Final = timedelta(minutes=5)
"""Time stamps are the sender's, so that rows turn up late: how far a tail looks back for them
after each reconnect."""

_TRIES: Final = 6
_MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
_MOST_SEEN: Final = 50_000
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0

_T = TypeVar("_T")


class Tail:
    """A tail that somebody may end while it waits.

    Attributes:
        stream: The stream it reads, None before the first.
        ended: Whether it is to end.
    """

    def __init__(self) -> None:
        self.stream: EventStream | None = None
        self.ended: bool = False

    def end(self) -> None:
        """End it, from any thread."""
        self.ended = True
        if self.stream is not None:
            self.stream.interrupt()


class LogwellReader:
    """Reads a project of a Logwell server with a user's session.

    Safe to use from several threads; they take turns, since the server fails requests of one
    session that overlap. It signs in when it must: a session kept by `logwell-otel login`
    comes first.

    Args:
        endpoint: The server's base URL (`LOGWELL_ENDPOINT`).
        username: Who reads (`LOGWELL_USERNAME`). Without one, the session file is all.
        password: The password (`LOGWELL_PASSWORD`).
        project: Name or id of the project (`LOGWELL_PROJECT`); needed where the user has
            several.
        password_file: A file with the password instead (`LOGWELL_PASSWORD_FILE`).
        session_file: Where `logwell-otel login` keeps sessions (`LOGWELL_SESSION_FILE`).
        keep_session: Keep the session there after signing in. The server takes three
            sign-ins in a row: programs that start often need it.
        certificate_file: CA certificates to trust, PEM (`LOGWELL_CERTIFICATE_FILE`).
        timeout: Seconds that one request may take.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming what is missing or wrong. Of every method:
            `UNAUTHORIZED`, `RATE_LIMITED` (too many sign-ins), `NETWORK_ERROR`,
            `SERVER_ERROR`, `INVALID_CONFIG` (no such project, an unreadable time).
    """

    def __init__(
        self,
        endpoint: str | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        project: str | None = None,
        password_file: str | os.PathLike[str] | None = None,
        session_file: str | os.PathLike[str] | None = None,
        keep_session: bool = False,
        certificate_file: str | os.PathLike[str] | None = None,
        timeout: float = 30.0,
        _sleep: Callable[[float], None] = time.sleep,
        _rng: random.Random | None = None,
    ) -> None:
        self._account = Account.resolve(username, password, password_file)
        # An error leaves through this frame, and what shows its locals would show the password.
        settings = Resolver({"endpoint": endpoint, "project": project})
        settings_tls = Resolver({"certificate_file": certificate_file})
        del password, endpoint
        self.endpoint: str = _base_url(settings)
        self._project = settings.text("project")
        self._sessions = SessionFile(session_file)
        username = None if self._account is None else self._account.username
        self._cookie = self._sessions.load(self.endpoint, username)
        self._keep_session = keep_session
        if self._account is None and self._cookie is None:
            raise config_error(
                f"username (LOGWELL_USERNAME): expected who reads {self.endpoint}, got nothing, "
                "and no session is kept. Run `logwell-otel login`, or give user name and "
                "password. An API key reads nothing on a Logwell server."
            )
        self._tls = TlsFiles(authorities=settings_tls.file("certificate_file"))
        self._proxy = proxy_of(self.endpoint)
        self._timeout = timeout
        self._sleep = _sleep
        self._rng = _rng or random.Random()  # noqa: S311 - jitter, not a secret
        # Held for one request: see the class.
        self._turn = threading.Lock()
        self._client = HttpClient(
            proxy=None if self._proxy is None else self._proxy.reveal,
            tls=self._tls,
            mask=Secrets(proxy_secrets()).mask,
            max_answer_bytes=_MAX_ANSWER_BYTES,
        )
        self._project_id: str | None = None
        self._tails: weakref.WeakSet[Tail] = weakref.WeakSet()

    # Signing in.

    def login(self) -> None:
        """Sign in now."""
        if self._account is None:
            raise config_error("username (LOGWELL_USERNAME): expected who signs in, got nothing.")
        with self._turn:
            self._sign_in(self._account)

    def logout(self) -> None:
        """End the session at the server, and forget it."""
        with self._turn:
            if self._cookie is not None:
                self._ask("POST", "/api/auth/sign-out", b"{}", self._cookie)
            self._cookie = None
        self._sessions.forget(self.endpoint)

    def _sign_in(self, account: Account) -> str:
        # Without a cookie: with one, the server asks for its own configured origin.
        answer = self._ask("POST", "/api/auth/sign-in/username", account.body(), None)
        cookie = cookie_of(answer.headers.get("set-cookie", "")) if answer.status == 200 else None
        if cookie is None:
            raise sign_in_problem(answer.status, answer.headers, account.username)
        self._cookie = cookie
        if self._keep_session:
            self._sessions.save(self.endpoint, account.username, cookie)
        return cookie

    # Requests.

    def _get(self, path: str, parameters: Mapping[str, str], kind: type[_T]) -> _T:
        """The answer to a GET, as `kind`."""
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        with self._turn:
            answer = self._answered(lambda cookie: self._ask("GET", path + query, None, cookie))
        problem = None
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.DecodeError as error:
            problem = str(error)
        raise LogwellError(
            f"{self.endpoint}{path} answered something that a Logwell server does not say "
            f"there ({problem}). Check that the endpoint is the server's base URL, and that "
            "nothing between here and there answers in its place.",
            LogwellErrorCode.SERVER_ERROR,
            status_code=answer.status,
        )

    def _answered(self, ask: Callable[[str], Answer]) -> Answer:
        """A good answer, after signing in where that is needed and after 500s that pass."""
        account, cookie, signed_in = self._account, self._cookie, False
        tries = 0
        while True:
            if cookie is None:
                if account is None or signed_in:
                    raise LogwellError(
                        f"The session at {self.endpoint} is over or not valid. Sign in again: "
                        "`logwell-otel login`, or give user name and password.",
                        LogwellErrorCode.UNAUTHORIZED,
                        status_code=401,
                    )
                cookie, signed_in = self._sign_in(account), True
            answer = ask(cookie)
            if answer.status == 401:
                cookie = self._cookie = None
                continue
            tries += 1
            if answer.status < 400:
                return answer
            if answer.status < 500 or tries >= _TRIES:
                raise self._problem(answer)
            # Requests with sessions that overlap, also those of a browser's tab, are answered
            # 500 at random. A pause that is not the other's gets through.
            self._sleep(self._rng.uniform(0.05, 0.3))

    def _ask(self, method: str, path: str, body: bytes | None, cookie: str | None) -> Answer:
        headers = {"Accept": "application/json"}
        if cookie is not None:
            headers["Cookie"] = cookie
        if body is not None:
            headers |= {"Content-Type": "application/json", "Origin": self._origin}
        answer = self._client.request(method, self.endpoint + path, headers, body, self._timeout)
        if isinstance(answer, NoAnswer):
            del body, cookie, headers  # as in `__init__`
            raise self._no_answer(answer.reason)
        return answer

    @property
    def _origin(self) -> str:
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    def _no_answer(self, reason: str) -> LogwellError:
        return LogwellError(
            f"No answer from {self.endpoint} ({reason}). Check that the server runs and that "
            "this machine reaches it.",
            LogwellErrorCode.NETWORK_ERROR,
            retryable=True,
        )

    def _problem(self, answer: Answer) -> LogwellError:
        said = ""
        with suppress(msgspec.DecodeError, KeyError, TypeError):
            said = str(msgspec.json.decode(answer.body)["message"])
        if answer.status == 404 and said:
            return config_error(f"{said} at {self.endpoint}, for this user.")
        return LogwellError(
            f"{self.endpoint} answered HTTP {answer.status}{f': {said}' if said else ''}. "
            + (
                "The server is in trouble, or its database is; try again later."
                if answer.status >= 500
                else "A Logwell server does not say that here: check the endpoint."
            ),
            LogwellErrorCode.SERVER_ERROR,
            status_code=answer.status,
            retryable=answer.status >= 500,
        )

    # Projects.

    def projects(self) -> list[Project]:
        """The user's projects, the newest first."""
        return self._get("/api/projects", {}, _Projects).projects

    def _path(self) -> str:
        if self._project_id is None:
            projects = self.projects()
            wanted = self._project
            found = [one for one in projects if wanted in {None, one.id, one.name}]
            if len(found) != 1:
                names = ", ".join(repr(one.name) for one in projects) or "none"
                raise config_error(
                    f"project (LOGWELL_PROJECT): expected one of this user's projects ({names}), "
                    f"got {'nothing' if wanted is None else repr(wanted)}."
                )
            self._project_id = found[0].id
        return f"/api/projects/{quote(self._project_id, safe='')}"

    # What is read.

    def search(
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
    ) -> Iterator[LogRow]:
        """The entries that match, newest first, fetched page by page as they are asked for.

        `service`, `where` and `trace` are compared here, since the server cannot filter by
        them: it sends all rows that match the rest.

        Args:
            text: Words that must all occur in message or attributes. The server stems
                English words and knows whole words only: no parts, phrases, OR or NOT.
            level: One level, several, or a text with commas. None for all.
            service: The service's whole name.
            since: Oldest time: `"15m"`, `"2h"`, `"1d"`, `"2026-11-21"`, an ISO 8601 time, a
                `datetime`, or a `timedelta` ago. Inclusive.
            until: Newest time, likewise. Inclusive.
            limit: At most so many; None for all.
            where: Attributes, by name or by a dotted path, and the values they must have.
            trace: A trace id of 32 hexadecimal digits.

        Raises:
            LogwellError: See the class. A wrong argument raises at once, a server's trouble
                while iterating.
        """
        wanted = Filter.of(
            text,
            level=level,
            service=service,
            since=since,
            until=until,
            where=where,
            trace=trace,
        )
        return (row for page in self._pages(wanted, limit) for row in page)

    def _pages(self, wanted: Filter, limit: int | None) -> Iterator[list[LogRow]]:
        left = limit
        parameters = {**wanted.parameters(), "limit": str(PAGE)}
        if limit is not None and not (wanted.where or wanted.service or wanted.trace):
            parameters["limit"] = str(max(1, min(PAGE, limit)))
        while left is None or left > 0:
            page = self._get(f"{self._path()}/logs", parameters, _LogPage)
            rows = [row for row in page.logs if wanted.matches(row)][:left]
            if rows:
                yield rows
            if left is not None:
                left -= len(rows)
            if page.next_cursor is None:
                return
            parameters["cursor"] = page.next_cursor

    def tail(
        self,
        text: str = "",
        *,
        level: str | Iterable[str] | None = None,
        service: str | None = None,
        where: Mapping[str, Any] | None = None,
        trace: str | None = None,
        history: int = 0,
    ) -> Iterator[LogRow]:
        """Entries as the server stores them, for ever; `close()` ends it.

        The server cuts a stream that was quiet for ten seconds, and all at a restart. This
        reconnects, asks for what came meanwhile and goes on: nothing is missing and nothing
        comes twice. Rows with time stamps more than `LOOK_BACK` (five minutes) before the
        newest one are missed when they arrive in such a gap.

        Args:
            text: Words that must all occur in message or attributes, as parts of words and in
                any case: the stream knows no filter, so that all of them are applied here.
            level: As in `search`; so `service`, `where` and `trace`.
            service: The service.
            where: Attributes.
            trace: The trace id.
            history: So many of the newest entries come first, the oldest of them first.

        Raises:
            LogwellError: See the class. While it runs, only for what waiting cannot mend: a
                server that is away is waited for.
        """
        wanted = Filter.of(text, level=level, service=service, where=where, trace=trace)
        return (row for rows in self._tail(wanted, history, Tail()) for row in rows)

    def _tail(self, wanted: Filter, history: int, tail: Tail) -> Iterator[list[LogRow]]:
        self._tails.add(tail)
        seen = _Seen()
        # First what is there already, so that whatever comes from now on counts as new.
        seen.add(self._latest(seen))
        first = [row for page in self._pages(wanted, history) for row in page]
        seen.add(first)
        yield first[::-1]
        backoff = _FIRST_BACKOFF
        while not tail.ended:
            try:
                with closing(self._open_stream()) as stream:
                    tail.stream = stream
                    missed = self._missed(seen)
                    backoff = _FIRST_BACKOFF
                    yield [row for row in missed if wanted.matches_all(row)]
                    for rows in _rows_of(stream):
                        yield [row for row in seen.add(rows) if wanted.matches_all(row)]
            except LogwellError as error:
                if not error.retryable:
                    raise
                if not tail.ended:
                    self._sleep(backoff * self._rng.uniform(0.5, 1.0))
                    backoff = min(_LONGEST_BACKOFF, backoff * 2)

    def _missed(self, seen: _Seen) -> list[LogRow]:
        """What was stored while no stream was open, in order of time."""
        return seen.add(self._latest(seen)[::-1])

    def _latest(self, seen: _Seen) -> list[LogRow]:
        """The rows of the time in which late ones may turn up, newest first.

        A page of nothing but rows that are known ends it, or each reconnect of a busy
        project would read five minutes of it again.
        """
        since = seen.newest - LOOK_BACK if seen.newest is not None else None
        parameters = {"limit": str(PAGE)}
        rows: list[LogRow] = []
        while True:
            if since is not None:
                parameters["from"] = iso(since)
            page = self._get(f"{self._path()}/logs", parameters, _LogPage)
            rows += page.logs
            if since is None and page.logs:
                since = page.logs[0].time - LOOK_BACK  # the first look: from the newest row back
            known = all(row.id in seen for row in page.logs)
            if page.next_cursor is None or known or len(rows) >= _MOST_SEEN:
                return [row for row in rows if since is None or row.time >= since]
            parameters["cursor"] = page.next_cursor

    def _open_stream(self) -> EventStream:
        path = f"{self._path()}/logs/stream"
        opened: list[EventStream] = []

        def ask(cookie: str) -> Answer:
            problem = None
            try:
                stream = EventStream(
                    self.endpoint + path,
                    {"Cookie": cookie, "Origin": self._origin},
                    tls=self._tls_context,
                    proxy=self._proxy,
                    timeout=min(self._timeout, 10.0),
                )
            except OSError as error:
                problem = str(error) or type(error).__name__
            if problem is not None:
                raise self._no_answer(problem)
            if stream.status == 200:
                opened.append(stream)
            else:
                stream.close()
            return Answer(stream.status, {}, b"")

        with self._turn:
            self._answered(ask)
        (stream,) = opened
        return stream

    def _tls_context(self) -> ssl.SSLContext:
        return TlsSettings(self._tls).context()

    def incidents(self, *, status: str = "open", range: str = "24h") -> Iterator[Incident]:  # noqa: A002 - the server's word
        """Incidents, the latest first.

        Args:
            status: `open` (an error within the last 30 minutes) or `resolved`.
            range: `15m`, `1h`, `24h` or `7d`: how far back their last error may lie.
        """
        if status not in {"open", "resolved"}:
            raise config_error(f"status: expected open or resolved, got {status!r}.")
        if range not in {"15m", "1h", "24h", "7d"}:
            raise config_error(f"range: expected 15m, 1h, 24h or 7d, got {range!r}.")
        parameters = {"status": status, "range": range, "limit": "200"}
        return self._incidents(parameters)

    def _incidents(self, parameters: dict[str, str]) -> Iterator[Incident]:
        while True:
            page = self._get(f"{self._path()}/incidents", parameters, _IncidentPage)
            yield from page.incidents
            if page.next_cursor is None:
                return
            parameters["cursor"] = page.next_cursor

    def incident(self, id: str) -> IncidentDetail:  # noqa: A002 - the server's word
        """One incident with where it comes from."""
        path = f"{self._path()}/incidents/{quote(id, safe='')}"
        return self._get(path, {}, IncidentDetail)

    def stats(self, *, since: Moment = None, until: Moment = None) -> Stats:
        """How many entries there are, by level."""
        parameters = Filter.of(since=since, until=until).parameters()
        return self._get(f"{self._path()}/stats", parameters, Stats)

    # The end.

    def close(self) -> None:
        """Close connections and end tails. A second call does nothing."""
        for tail in list(self._tails):
            tail.end()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        # Half-built, in the traceback of an error of its own construction, it has no endpoint.
        return f"<LogwellReader of {getattr(self, 'endpoint', None)}>"


class _Projects(msgspec.Struct):
    projects: list[Project]


class _LogPage(msgspec.Struct, rename="camel"):
    logs: list[LogRow]
    next_cursor: str | None


class _IncidentPage(msgspec.Struct, rename="camel"):
    incidents: list[Incident]
    next_cursor: str | None


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
            time_ = min(moment_of(row.timestamp), now)
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


def _base_url(settings: Resolver) -> str:
    given = settings.text("endpoint")
    if given is None:
        raise settings.error("endpoint", "the URL of the Logwell server", "nothing")
    problem = None
    try:
        return base_url(given)
    except ValueError as error:
        problem = str(error)
    del given  # it may hold a password
    raise settings.error("endpoint", "the base URL of the Logwell server", problem)
