"""Rates from a policy server, and pattern statistics to it, in the background."""

from __future__ import annotations

import math
import random
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import msgspec

from logwell_otel._clock import monotonic, wall_clock
from logwell_otel._config.address import base_url, is_insecure, proxy_of, proxy_secrets
from logwell_otel._config.secrets import BearerToken
from logwell_otel._diagnostics import Once, Secrets, warn
from logwell_otel._http import Answer, HttpClient, NoAnswer
from logwell_otel._process import PerProcess, Worker, at_exit
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.sampling.patterns import PatternStatistics, report_of
from logwell_otel.sampling.policy import MAX_POLICY_BYTES, RATES_STAY, SHUTDOWN_SECONDS, Policy
from logwell_otel.sampling.rules import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from logwell_otel.sampling.rules import SamplingRules

THREAD_NAME: Final = "LogwellPolicyServer"
FETCH_SECONDS: Final = 300.0
REPORT_SECONDS: Final = 600.0

_JITTER: Final = 0.1
_SECONDS_AFTER_FAILURE: Final = 60.0
_REFUSED: Final = (401, 403)


class Request(Protocol):
    """`HttpClient.request`, or something like it."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer | NoAnswer:
        """Make a request of `timeout` seconds in all. Never raises for an `Exception`."""


class RedactsText(Protocol):
    """What `redactor=` takes: `redaction.Redactor`, or something like it."""

    def redact_text(self, text: str) -> str:
        """The text without what must not leave the process."""


class PolicyServer:
    """Sets a sampler's rates as a policy server says, for `Sampler.follow`.

    The first decision starts one daemon thread, in a forked child as well. It fetches the
    policy, again every `fetch_seconds`, and reports the statistics of patterns every
    `report_seconds` and at the end of the program. Decisions never wait for it. When a
    call fails that is said once, the rates in use stay, and what was counted goes into the
    next report.

    Args:
        url: The server's base URL, http or https.
        service: The service's name there. It is registered if the server does not know it.
        team_id: The team's number there.
        bearer: Token for the Authorization header; None for no authentication.
        report: False to report nothing; nothing is counted then.
        redactor: Redacts the example of each pattern.
        allow_zero: True lets a policy drop everything below error: rates that keep less than
            one in a thousand at every level. Without, such a policy is refused, since whoever
            could send it could hide what an attacker does.
        timeout: Seconds for each call in all.
        fetch_seconds: Give or take 10 %, so that many processes do not come at once.
        report_seconds: Likewise.
        clock: Seconds, monotonic.
        wall: Unix seconds.
        rng: A number from 0 up to 1.
        say: Writes a warning for people.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        team_id: int,
        bearer: str | BearerToken | None = None,
        report: bool = True,
        redactor: RedactsText | None = None,
        allow_zero: bool = False,
        timeout: float = 5.0,
        fetch_seconds: float = FETCH_SECONDS,
        report_seconds: float = REPORT_SECONDS,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = wall_clock,
        rng: Callable[[], float] = random.random,
        say: Callable[[str], None] = warn,
        _request: Request | None = None,
    ) -> None:
        # An error leaves through this frame, and what shows its locals would show a token, or a
        # password in the URL.
        self._url, problem = _base_url(url)
        self._token, wrong = _token(bearer)
        del url, bearer
        if problem is not None:
            raise config_error(f"The policy server's url must be one, not {problem}.")
        if wrong:
            raise config_error("The policy server's bearer must be text without white space.")
        if isinstance(team_id, bool) or not isinstance(team_id, int):
            raise config_error("The policy server's team_id must be a whole number.")
        self._service = _name(service)
        self._team_id = team_id
        self._allow_zero = allow_zero
        self._redact = None if redactor is None else redactor.redact_text
        self._timeout = _positive("timeout", timeout)
        self._fetch_seconds = _positive("fetch_seconds", fetch_seconds)
        self._report_seconds = _positive("report_seconds", report_seconds)
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._say = say
        self.wants_messages: bool = report
        """Whether errors must come with their messages: only for counting them."""
        self._volumes = Volumes(clock)
        self._calls = _Calls(
            self._url,
            service=self._service,
            team_id=team_id,
            request=_request or _client_to(self._url).request,
            token=self._token,
        )
        self._fetching = Once(f"The sampling policy of {self._url}", RATES_STAY, say)
        self._reporting = Once(f"The report of log patterns to {self._url}", RATES_STAY, say)
        self._use: Callable[[SamplingRules], object] | None = None
        # A child counts for itself, and has a thread of its own.
        self._polling = PerProcess(self._new_polling)

    def feed(self, use: Callable[[SamplingRules], object]) -> None:
        """Hand rates to `use` whenever there are new ones. Calls nobody yet."""
        self._use = use
        if is_insecure(self._url, proxy_of(self._url)):
            what = "The sampling policy" if self._token is None else "The bearer token"
            way = "comes unencrypted from" if self._token is None else "travels unencrypted to"
            risk = ", and who is on the way can have records dropped" if self._token is None else ""
            self._say(
                f"{what} {way} {self._url}{risk}. Use https where the way to the server is not "
                "your own."
            )

    def saw(self, message: str, *, kept: bool) -> None:
        """A decision was made: count it, and begin if nothing was begun."""
        polling = self._polling.get()
        polling.worker.start()
        if self.wants_messages:
            polling.statistics.record(message, kept=kept)

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """Report what was counted, and end the thread. The rates in use stay.

        Args:
            timeout: Seconds to wait at most.
        """
        self.wants_messages = False
        self._polling.get().shutdown(timeout)

    def tick(self) -> float:
        """Do what is due in this process; return the seconds until more is."""
        return self._polling.get().tick()

    def fetch(self) -> None:
        """Fetch the policy now, in the calling thread, and use it."""
        try:
            policy = self._calls.fetch(self._timeout, allow_zero=self._allow_zero)
        except _CallError as error:
            self._fetching.failed(f"could not be had: {error}")
            return
        if policy is not None and self._use is not None:
            self._use(policy.rules(self._volumes))
        self._fetching.worked("comes")

    def report(self, statistics: PatternStatistics, timeout: float) -> None:
        """Report what was counted now, in the calling thread."""
        counted = statistics.take()
        if not counted.total:
            return
        report = report_of(
            counted,
            service=self._service,
            team_id=self._team_id,
            now=self._wall(),
            redact=self._redact,
        )
        try:
            self._calls.report(report, min(timeout, self._timeout))
        except _CallError as error:
            # After a time-out it may have arrived: counting twice is the smaller harm.
            statistics.put_back(counted)
            self._reporting.failed(f"failed: {error}")
            return
        self._reporting.worked("goes through")

    def _new_polling(self) -> _Polling:
        return _Polling(
            self.fetch,
            self.report,
            statistics=PatternStatistics(wall=self._wall),
            clock=self._clock,
            until_fetch=lambda: self._jittered(self._fetch_seconds),
            until_report=lambda: self._jittered(self._report_seconds),
        )

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 - _JITTER + 2 * _JITTER * self._rng())

    def __repr__(self) -> str:
        service, team = getattr(self, "_service", None), getattr(self, "_team_id", None)
        return f"<PolicyServer {getattr(self, '_url', '')}, {service!r} of team {team}>"


class _Polling:
    """When a policy is fetched and patterns are reported: the thread of one process.

    Args:
        fetch: Fetches the policy.
        report: Reports statistics, within so many seconds.
        statistics: Counts.
        clock: Seconds, monotonic.
        until_fetch: Returns the seconds from one fetch to the next.
        until_report: Likewise.
    """

    def __init__(
        self,
        fetch: Callable[[], None],
        report: Callable[[PatternStatistics, float], None],
        *,
        statistics: PatternStatistics,
        clock: Callable[[], float],
        until_fetch: Callable[[], float],
        until_report: Callable[[], float],
    ) -> None:
        self.statistics = statistics
        self.worker = Worker(
            THREAD_NAME, self.tick, finish=self._finish, after_failure=_SECONDS_AFTER_FAILURE
        )
        self._fetch = fetch
        self._report = report
        self._clock = clock
        self._until_fetch = until_fetch
        self._until_report = until_report
        self._fetch_at = -math.inf
        self._report_at: float | None = None
        self._seconds_to_finish = SHUTDOWN_SECONDS
        at_exit(self._exit)

    def tick(self) -> float:
        """Do what is due; return the seconds until more is."""
        if self._report_at is None:
            self._report_at = self._clock() + self._until_report()
        if self._clock() >= self._fetch_at:
            # Set before, so that a call that fails unforeseen is not made again at once.
            self._fetch_at = self._clock() + self._until_fetch()
            self._fetch()
        if self._clock() >= self._report_at:
            self._report_at = self._clock() + self._until_report()
            self._report(self.statistics, math.inf)
        return max(0.0, min(self._fetch_at, self._report_at) - self._clock())

    def shutdown(self, timeout: float) -> None:
        """Report what was counted within `timeout` seconds, and end the thread."""
        until = self._clock() + timeout
        self._seconds_to_finish = timeout
        self.worker.stop()
        # At the end of a program the thread may have ended before the last records were
        # decided, or could not be started any more.
        if self.worker.join(timeout) and (left := until - self._clock()) > 0:
            self._report(self.statistics, left)

    def _finish(self) -> None:
        self._report(self.statistics, self._seconds_to_finish)

    def _exit(self) -> None:
        if not self.worker.stopping:
            self.shutdown(SHUTDOWN_SECONDS)


class _CallError(Exception):
    """A call was not answered as it should be. The text holds no secret and no answer."""


class _Calls:
    """A policy server's three calls, for one service of one team, by one thread at a time.

    Args:
        url: The server's base URL.
        service: The service's name there.
        team_id: The team's number there.
        request: Makes the calls.
        token: The bearer token, None for none. One from a file is read again when the
            server refuses it.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        team_id: int,
        request: Request,
        token: BearerToken | None = None,
    ) -> None:
        name = quote(service, safe="")
        self._policy_url = f"{url}/api/v1/policies/{name}?team_id={team_id}"
        # The slash at the end matters: without it the server redirects.
        self._services_url = f"{url}/api/v1/services/"
        self._stats_url = f"{url}/api/v1/patterns/stats"
        self._service = service
        self._team_id = team_id
        self._request = request
        self._token = token
        self._etag: str | None = None
        self._version: int | None = None
        self._registered = False

    def fetch(self, timeout: float, *, allow_zero: bool) -> Policy | None:
        """Return the policy; None if it is the one that was returned last.

        A service that the server does not know is registered, once: names are not unique
        there, so that each further time would make another service of the same name.

        Args:
            timeout: Seconds, for each call.
            allow_zero: Whether the policy may drop everything below error.

        Raises:
            _CallError: There is none to be had.
        """
        answer = self._get(timeout)
        if answer.status == 404 and not self._registered:
            self.register(timeout)
            answer = self._get(timeout)
        if answer.status == 304 and self._etag is not None:
            return None
        if answer.status != 200:
            raise _CallError(f"it answered {answer.status}")
        try:
            policy = Policy.parse(answer.body)
        except LogwellError as error:
            raise _CallError(f"it was refused: {error.message}") from None
        if not allow_zero and policy.silences():
            raise _CallError(
                "it was refused: it keeps less than one in a thousand of everything below error. "
                "sampling_allow_zero (LOGWELL_SAMPLING_ALLOW_ZERO) takes such a policy"
            )
        self._etag = answer.headers.get("etag")
        if policy.version is not None and policy.version == self._version:
            return None
        self._version = policy.version
        return policy

    def register(self, timeout: float) -> None:
        """Register the service.

        Args:
            timeout: Seconds.

        Raises:
            _CallError: It was not.
        """
        body = {"team_id": self._team_id, "name": self._service}
        answer = self._call("POST", self._services_url, timeout, body)
        if not 200 <= answer.status < 300:
            raise _CallError(f"it answered {answer.status} to the registration of the service")
        self._registered = True

    def report(self, report: dict[str, Any], timeout: float) -> None:
        """Report pattern statistics.

        Args:
            report: The body.
            timeout: Seconds.

        Raises:
            _CallError: They were not accepted.
        """
        answer = self._call("POST", self._stats_url, timeout, report)
        if not 200 <= answer.status < 300:
            raise _CallError(f"it answered {answer.status}")

    def _get(self, timeout: float) -> Answer:
        condition = {} if self._etag is None else {"If-None-Match": self._etag}
        return self._call("GET", self._policy_url, timeout, None, condition)

    def _call(
        self,
        method: str,
        url: str,
        timeout: float,
        body: object,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        headers = dict(headers or {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else msgspec.json.encode(body)
        answer = self._exchange(method, url, headers, content, timeout)
        if answer.status in _REFUSED and self._token is not None and self._token.reload():
            answer = self._exchange(method, url, headers, content, timeout)
        return answer

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None, timeout: float
    ) -> Answer:
        secrets = Secrets()
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
            secrets = Secrets([self._token.reveal()])
        answer = self._request(method, url, headers, content, timeout)
        if isinstance(answer, NoAnswer):
            raise _CallError(f"no answer: {secrets.mask(answer.reason)}")
        return answer


def _client_to(url: str) -> HttpClient:
    proxy = proxy_of(url)
    return HttpClient(
        proxy=None if proxy is None else proxy.reveal,
        mask=Secrets(proxy_secrets()).mask,
        keep_alive=False,
        max_answer_bytes=MAX_POLICY_BYTES,
    )


def _base_url(url: str) -> tuple[str, str | None]:
    try:
        return base_url(url), None
    except ValueError as error:
        return "", str(error)


def _token(bearer: object) -> tuple[BearerToken | None, bool]:
    """Return the token, None for none; and True where what was given is none."""
    if bearer is None or isinstance(bearer, BearerToken):
        return bearer, False
    if not isinstance(bearer, str) or BearerToken.problem(bearer):
        return None, True
    return BearerToken(bearer), False


def _name(service: object) -> str:
    if not isinstance(service, str) or not service.strip():
        raise config_error("The policy server's service must be a name.")
    return service.strip()


def _positive(name: str, seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise config_error(f"The policy server's {name} must be a number of seconds.")
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise config_error(f"The policy server's {name} must be over 0 and finite, not {seconds}.")
    return float(seconds)
