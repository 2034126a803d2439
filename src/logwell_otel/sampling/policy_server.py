"""Rates from a policy server, and pattern statistics to it, in the background."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from logwell_otel._config.address import base_url, is_insecure
from logwell_otel._config.secrets import BearerToken, token_problem
from logwell_otel._diagnostics import warn
from logwell_otel.errors import config_error
from logwell_otel.sampling.background import SHUTDOWN_SECONDS, PerProcess
from logwell_otel.sampling.patterns import PatternStatistics, report_of
from logwell_otel.sampling.policy_client import PolicyCallError, PolicyClient
from logwell_otel.sampling.policy_http import HttpxHttp
from logwell_otel.sampling.policy_worker import PolicyWorker
from logwell_otel.sampling.rules import Volumes
from logwell_otel.sampling.trouble import SaidOnce

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.sampling.policy_http import Http
    from logwell_otel.sampling.rules import SamplingRules

FETCH_SECONDS: Final = 300.0
REPORT_SECONDS: Final = 600.0

_JITTER: Final = 0.1


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
        timeout: float = 5.0,
        fetch_seconds: float = FETCH_SECONDS,
        report_seconds: float = REPORT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
        say: Callable[[str], None] = warn,
        _http: Http | None = None,
    ) -> None:
        try:
            self._url = base_url(url)
        except ValueError as error:
            raise config_error(f"The policy server's url must be one, not {error}.") from None
        if isinstance(team_id, bool) or not isinstance(team_id, int):
            raise config_error("The policy server's team_id must be a whole number.")
        self._service = _name(service)
        self._team_id = team_id
        self._token = _token(bearer)
        self._redact = None if redactor is None else redactor.redact_text
        self._timeout = _positive("timeout", timeout)
        self._fetch_seconds = _positive("fetch_seconds", fetch_seconds)
        self._report_seconds = _positive("report_seconds", report_seconds)
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._say = say
        self.wants_messages = report
        """Whether errors must come with their messages: only for counting them."""
        self._volumes = Volumes(clock)
        self._client = PolicyClient(
            self._url,
            service=self._service,
            team_id=team_id,
            http=_http or HttpxHttp(self._url),
            token=self._token,
        )
        self._fetching = SaidOnce(f"The sampling policy of {self._url}", say)
        self._reporting = SaidOnce(f"The report of log patterns to {self._url}", say)
        self._use: Callable[[SamplingRules], object] | None = None
        self._worker = PerProcess(self._new_worker)

    def feed(self, use: Callable[[SamplingRules], object]) -> None:
        """Hand rates to `use` whenever there are new ones. Calls nobody yet."""
        self._use = use
        if self._token is not None and is_insecure(self._url):
            self._say(
                f"The bearer token travels unencrypted to {self._url}. Use https where the way "
                "to the server is not your own."
            )

    def saw(self, message: str, *, kept: bool) -> None:
        """A decision was made: count it, and begin if nothing was begun."""
        worker = self._worker.get()
        worker.background.ensure()
        if self.wants_messages:
            worker.statistics.record(message, kept=kept)

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """Report what was counted, and end the thread. The rates in use stay.

        Args:
            timeout: Seconds to wait at most.
        """
        self.wants_messages = False
        self._worker.get().shutdown(timeout)

    def tick(self) -> float:
        """Do what is due in this process; return the seconds until more is."""
        return self._worker.get().tick()

    def fetch(self) -> None:
        """Fetch the policy now, in the calling thread, and use it."""
        try:
            policy = self._client.fetch(self._timeout)
        except PolicyCallError as error:
            self._fetching.failed(f"could not be had: {error}")
            return
        if policy is not None and self._use is not None:
            self._use(policy.rules(self._volumes))
        self._fetching.ended("comes")

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
            self._client.report(report, min(timeout, self._timeout))
        except PolicyCallError as error:
            # After a time-out it may have arrived: counting twice is the smaller harm.
            statistics.put_back(counted)
            self._reporting.failed(f"failed: {error}")
            return
        self._reporting.ended("goes through")

    def _new_worker(self) -> PolicyWorker:
        return PolicyWorker(
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
        return f"<PolicyServer {self._url}, {self._service!r} of team {self._team_id}>"


def _token(bearer: object) -> BearerToken | None:
    if bearer is None or isinstance(bearer, BearerToken):
        return bearer
    if not isinstance(bearer, str) or token_problem(bearer):
        raise config_error("The policy server's bearer must be text without white space.")
    return BearerToken(bearer)


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
