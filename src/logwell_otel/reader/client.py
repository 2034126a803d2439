"""The reader: one request at a time, as this server needs it."""

from __future__ import annotations

import random
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from logwell_otel._config.address import base_url, proxy_of, proxy_secrets
from logwell_otel._config.settings import Resolver
from logwell_otel._diagnostics import Secrets
from logwell_otel._http import Answer, HttpClient, NoAnswer
from logwell_otel._network import TlsFiles, TlsSettings
from logwell_otel._writer import warn
from logwell_otel.errors import LogwellError, LogwellErrorCode, WithoutFrames, config_error
from logwell_otel.reader.filters import Filter
from logwell_otel.reader.rows import (
    Incident,
    IncidentDetail,
    IncidentPage,
    LogPage,
    LogRow,
    Project,
    Stats,
)
from logwell_otel.reader.session import (
    Account,
    SessionFile,
    asked_wait,
    cookie_of,
    sign_in_problem,
)
from logwell_otel.reader.stream import EventStream
from logwell_otel.reader.tail import Tail

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self, Unpack

    from logwell_otel.reader.filters import Filters, Moment

PAGE: Final = 500
"""The most rows that the server gives at once."""

_TRIES: Final = 6
_LONGEST_WAIT: Final = 60.0
_MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
_RANGES: Final = {"15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800}
_INCIDENT_LEVELS: Final = ("error", "fatal")

_T = TypeVar("_T")


class ReaderOptions(TypedDict, total=False):
    """Keyword arguments of a reader, by name."""

    project: str | None
    password_file: str | os.PathLike[str] | None
    session_file: str | os.PathLike[str] | None
    keep_session: bool
    certificate_file: str | os.PathLike[str] | None
    timeout: float


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

    endpoint: str = ""

    def __init__(
        self,
        endpoint: str | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        _sleep: Callable[[float], None] = time.sleep,
        _rng: random.Random | None = None,
        **options: Unpack[ReaderOptions],
    ) -> None:
        account = Account.resolve(username, password, options.get("password_file"))
        settings = settings_of(endpoint, options)
        # An error leaves through this frame, and what shows its locals would show them.
        del password, endpoint
        self._begin(settings, account, _sleep, _rng, **options)

    def _begin(
        self,
        settings: Resolver,
        account: Account | None,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        *,
        session_file: str | os.PathLike[str] | None = None,
        keep_session: bool = False,
        timeout: float = 30.0,
        # The settings and the account are made of these.
        project: object = None,  # noqa: ARG002
        password_file: object = None,  # noqa: ARG002
        certificate_file: object = None,  # noqa: ARG002
    ) -> None:
        self.endpoint = _base_url(settings)
        self._project = settings.text("project")
        self._account = account
        self._sessions = SessionFile(session_file)
        username = None if account is None else account.username
        self._cookie = self._sessions.load(self.endpoint, username)
        self._keep_session = keep_session
        if account is None and self._cookie is None:
            raise config_error(
                f"username (LOGWELL_USERNAME): expected who reads {self.endpoint}, got nothing, "
                "and no session is kept. Run `logwell-otel login`, or give user name and "
                "password. An API key reads nothing on a Logwell server."
            )
        self._tls = TlsFiles(authorities=settings.file("certificate_file"))
        self._proxy = proxy_of(self.endpoint)
        self._timeout = timeout
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        # Held for one request: see the class.
        self._turn = threading.Lock()
        self._closed = False
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
        with self._my_turn(), WithoutFrames():
            self._sign_in(self._account, must_keep=True)

    def logout(self) -> None:
        """End the session at the server, and forget it, whatever the server says."""
        try:
            with self._my_turn(), WithoutFrames():
                if self._cookie is not None:
                    self._ask("POST", "/api/auth/sign-out", b"{}", self._cookie)
        finally:
            self._cookie = None
            self._sessions.forget(self.endpoint)

    def _sign_in(self, account: Account, *, must_keep: bool = False) -> str:
        # Without a cookie: with one, the server asks for its own configured origin.
        answer = self._ask("POST", "/api/auth/sign-in/username", account.body(), None)
        cookie = cookie_of(answer.headers.get("set-cookie", "")) if answer.status == 200 else None
        if cookie is None:
            raise sign_in_problem(answer.status, answer.headers, account.username)
        self._cookie = cookie
        if self._keep_session:
            try:
                self._sessions.save(self.endpoint, account.username, cookie)
            except LogwellError as error:
                if must_keep:
                    raise
                # A container's user often has no home that can be written to.
                warn(f"{error.message} The next command signs in again.")
        return cookie

    # Requests. Errors leave without frames: their locals have the password, or the cookie.

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """The session, for one request."""
        try:
            with self._turn:
                yield
        finally:
            if self._closed:
                self.close()  # which another thread could not do meanwhile

    def _get(self, path: str, parameters: Mapping[str, str], kind: type[_T]) -> _T:
        """The answer to a GET, as `kind`."""
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        with self._my_turn(), WithoutFrames():
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
            # Requests with sessions that overlap, also those of a browser's tab, are answered
            # 500 at random. A pause that is not the other's gets through. 429 is a gateway's.
            wait = self._rng.uniform(0.05, 0.3)
            if answer.status == 429:
                wait += asked_wait(answer.headers) or 1.0
            if (answer.status < 500 and answer.status != 429) or tries >= _TRIES:
                raise self._problem(answer)
            if wait > _LONGEST_WAIT:
                raise self._problem(answer)
            self._sleep(wait)

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
        wait, code = asked_wait(answer.headers), LogwellErrorCode.SERVER_ERROR
        advice = "A Logwell server does not say that here: check the endpoint."
        if answer.status >= 500:
            advice = "The server is in trouble, or its database is; try again later."
        elif answer.status == 429:
            code = LogwellErrorCode.RATE_LIMITED
            after = "later" if wait is None else f"after {wait:.0f} s"
            advice = f"It takes no more requests for now; try again {after}."
        return LogwellError(
            f"{self.endpoint} answered HTTP {answer.status}{f': {said}' if said else ''}. {advice}",
            code,
            status_code=answer.status,
            retryable=answer.status >= 500 or answer.status == 429,
            retry_after=wait,
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
        self, text: str = "", *, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[LogRow]:
        """The entries that match, newest first, fetched page by page as they are asked for.

        `service`, `where` and `trace` are compared here, since the server cannot filter by
        them: it sends all rows that match the rest.

        Args:
            text: Words that must all occur in message or attributes. The server stems
                English words and knows whole words only: no parts, phrases, OR or NOT.
            limit: At most so many; None for all.
            **filters: `level`, `service`, `since`, `until`, `where`, `trace`, as in `Filters`.

        Raises:
            LogwellError: See the class. A wrong argument raises at once, a server's trouble
                while iterating.
        """
        wanted = Filter.of(text, **filters)
        return (row for page in self._pages(wanted, limit) for row in page)

    def _pages(self, wanted: Filter, limit: int | None) -> Iterator[list[LogRow]]:
        return self._pages_from(wanted.parameters(), wanted, limit)

    def _pages_from(
        self, parameters: dict[str, str], wanted: Filter, limit: int | None
    ) -> Iterator[list[LogRow]]:
        left = limit
        if limit is not None and not (wanted.where or wanted.service or wanted.trace):
            parameters["limit"] = str(max(1, min(PAGE, limit)))
        while left is None or left > 0:
            page = self._page(parameters)
            rows = [row for row in page.logs if wanted.matches(row)][:left]
            if rows:
                yield rows
            if left is not None:
                left -= len(rows)
            if page.next_cursor is None:
                return
            parameters["cursor"] = page.next_cursor

    def _page(self, parameters: Mapping[str, str]) -> LogPage:
        return self._get(f"{self._path()}/logs", {"limit": str(PAGE), **parameters}, LogPage)

    def tail(
        self, text: str = "", *, history: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[LogRow]:
        """Entries as the server stores them, for ever; `close()` ends it.

        The server cuts a stream that was quiet for ten seconds, and all at a restart. This
        reconnects, asks for what came meanwhile and goes on: nothing is missing and nothing
        comes twice. Rows with time stamps more than `LOOK_BACK` (five minutes) before the
        newest one are missed when they arrive in such a gap, and so is what the server drops
        for somebody who is slow to take it.

        Args:
            text: Words that must all occur in message or attributes, as parts of words and in
                any case: the stream knows no filter, so that all of them are applied here.
            history: So many of the newest entries come first, the oldest of them first. None
                for none, or with `since` for all since then.
            **filters: As in `search`.

        Raises:
            LogwellError: See the class. While it runs, only for what waiting cannot mend: a
                server that is away is waited for.
        """
        batches = self._tail(Filter.of(text, **filters), history).batches()
        return (row for rows in batches for row in rows)

    def _tail(self, wanted: Filter, history: int | None) -> Tail:
        if history is None and wanted.since is None:
            history = 0
        tail = Tail(_Source(self), wanted, history, self._rng)
        self._tails.add(tail)
        return tail

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

        with self._my_turn(), WithoutFrames():
            self._answered(ask)
        (stream,) = opened
        return stream

    def _tls_context(self) -> ssl.SSLContext:
        return TlsSettings(self._tls).context()

    def incidents(
        self,
        text: str = "",
        *,
        status: str | None = None,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[Incident]:
        """Incidents, the latest first.

        The server filters by status and by time alone. For `text`, `where` and `trace` the
        errors of that time are searched, and the incidents shown that one of them belongs to.

        Args:
            text: As in `search`.
            status: `open` (an error within the last 30 minutes), `resolved`, or None for both.
            limit: At most so many; None for all.
            **filters: As in `search`. An incident counts by its service, its highest level and
                its time: from `since`, a day ago by default and at most seven, to `until`.
        """
        if status not in {None, "open", "resolved"}:
            raise config_error(f"status: expected open or resolved, got {status!r}.")
        filters = {**filters, "since": filters.get("since") or "1d"}
        wanted = Filter.of(text, **filters)
        assert wanted.since is not None  # noqa: S101 - see above
        ago = (datetime.now(timezone.utc) - wanted.since).total_seconds()
        range_ = next((name for name, size in _RANGES.items() if ago <= size + 60), None)
        if range_ is None:
            raise config_error(
                f"since: expected at most 7d ago, which is all that the server lists, got "
                f"{filters['since']!r}."
            )
        return islice(self._incidents(wanted, status, range_), limit)

    def _incidents(self, wanted: Filter, status: str | None, range_: str) -> Iterator[Incident]:
        among: set[str | None] | None = None
        if wanted.text or wanted.where or wanted.trace:
            levels = tuple(
                level for level in _INCIDENT_LEVELS if level in (wanted.levels or _INCIDENT_LEVELS)
            )
            errors = msgspec.structs.replace(wanted, levels=levels or _INCIDENT_LEVELS)
            among = {row.incident_id for rows in self._pages(errors, None) for row in rows}
        # All that are open were seen later than any that is resolved.
        for one in (status,) if status else ("open", "resolved"):
            parameters = {"status": one, "range": range_, "limit": "200"}
            while True:
                page = self._get(f"{self._path()}/incidents", parameters, IncidentPage)
                for incident in page.incidents:
                    if wanted.matches_incident(incident) and (
                        among is None or incident.id in among
                    ):
                        yield incident
                if page.next_cursor is None:
                    break
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
        """Close connections and end tails. A second call does nothing.

        A request of another thread is not waited for: its connection is closed after it.
        """
        self._closed = True
        for tail in list(self._tails):
            tail.end()
        if self._turn.acquire(blocking=False):
            try:
                self._client.close()
            finally:
                self._turn.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        # Half-built, in the traceback of an error of its own construction, it has no endpoint.
        return f"<LogwellReader of {getattr(self, 'endpoint', None)}>"


def settings_of(endpoint: str | None, options: ReaderOptions) -> Resolver:
    """What a reader's arguments and variables say, without what is in them being shown."""
    return Resolver(
        {
            "endpoint": endpoint,
            "project": options.get("project"),
            "certificate_file": options.get("certificate_file"),
        }
    )


class _Projects(msgspec.Struct):
    projects: list[Project]


class _Source:
    """What a tail needs of a reader, which the reader shows nobody else."""

    def __init__(self, reader: LogwellReader) -> None:
        self.pages = reader._pages  # noqa: SLF001 - our own
        self.page = reader._page  # noqa: SLF001
        self.open_stream = reader._open_stream  # noqa: SLF001


def _base_url(settings: Resolver) -> str:
    given = settings.text("endpoint")
    if given is None:
        raise config_error(
            "endpoint (LOGWELL_ENDPOINT) is not set: set the variable, or give the argument, to "
            "the base URL of the Logwell server."
        )
    problem = None
    try:
        return base_url(given)
    except ValueError as error:
        problem = str(error)
    del given  # it may hold a password
    raise settings.error("endpoint", "the base URL of the Logwell server", problem)
