"""The policy server's three calls, one after the other; knows nothing of threads or times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from logwell_otel._diagnostics import Secrets
from logwell_otel._http import Answer, NoAnswer
from logwell_otel.errors import LogwellError
from logwell_otel.sampling.policy import Policy

if TYPE_CHECKING:
    from logwell_otel._config.secrets import BearerToken
    from logwell_otel.sampling.policy_http import Http

_REFUSED: Final = (401, 403)


class PolicyCallError(Exception):
    """A call was not answered as it should be. The text holds no secret and no answer."""


class PolicyClient:
    """Calls a policy server for one service of one team. Used by one thread at a time.

    Args:
        url: The server's base URL.
        service: The service's name there.
        team_id: The team's number there.
        http: Makes the calls.
        token: The bearer token, None for none. One from a file is read again when the
            server refuses it.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str,
        team_id: int,
        http: Http,
        token: BearerToken | None = None,
    ) -> None:
        name = quote(service, safe="")
        self._policy_url = f"{url}/api/v1/policies/{name}?team_id={team_id}"
        # The slash at the end matters: without it the server redirects.
        self._services_url = f"{url}/api/v1/services/"
        self._stats_url = f"{url}/api/v1/patterns/stats"
        self._service = service
        self._team_id = team_id
        self._http = http
        self._token = token
        self._etag: str | None = None
        self._version: int | None = None
        self._registered = False

    def fetch(self, timeout: float) -> Policy | None:
        """Return the policy; None if it is the one that was returned last.

        A service that the server does not know is registered, once: names are not unique
        there, so that each further time would make another service of the same name.

        Args:
            timeout: Seconds, for each call.

        Raises:
            PolicyCallError: There is none to be had.
        """
        answer = self._get(timeout)
        if answer.status == 404 and not self._registered:
            self.register(timeout)
            answer = self._get(timeout)
        if answer.status == 304 and self._etag is not None:
            return None
        if answer.status != 200:
            raise PolicyCallError(f"it answered {answer.status}")
        try:
            policy = Policy.parse(answer.body)
        except LogwellError as error:
            raise PolicyCallError(f"it was refused: {error.message}") from None
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
            PolicyCallError: It was not.
        """
        body = {"team_id": self._team_id, "name": self._service}
        answer = self._call("POST", self._services_url, timeout, body)
        if not 200 <= answer.status < 300:
            raise PolicyCallError(f"it answered {answer.status} to the registration of the service")
        self._registered = True

    def report(self, report: dict[str, Any], timeout: float) -> None:
        """Report pattern statistics.

        Args:
            report: The body.
            timeout: Seconds.

        Raises:
            PolicyCallError: They were not accepted.
        """
        answer = self._call("POST", self._stats_url, timeout, report)
        if not 200 <= answer.status < 300:
            raise PolicyCallError(f"it answered {answer.status}")

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
        answer = self._http(method, url, headers, content, timeout)
        if isinstance(answer, NoAnswer):
            raise PolicyCallError(f"no answer: {secrets.mask(answer.reason)}")
        return answer
