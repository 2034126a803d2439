"""Arguments and LOGWELL_* variables -> one checked, frozen Config."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from logwell_otel._config.address import (
    INGEST_PATH,
    Proxy,
    base_url,
    is_insecure,
    proxy_of,
    proxy_secrets,
)
from logwell_otel._config.secrets import (
    ApiKey,
    BearerToken,
    Headers,
    headers_of,
    key_problem,
    token_problem,
)
from logwell_otel._config.settings import Settings, shown_text
from logwell_otel._diagnostics import Secrets, hide_keys
from logwell_otel._wire import LEVELS, MAX_SERVICE_BYTES, LogEntry
from logwell_otel.errors import ErrorCallback, FlushCallback, config_error

if TYPE_CHECKING:
    from pathlib import Path


BeforeSend = Callable[[LogEntry], LogEntry | None]


class Redacts(Protocol):
    """What `redact=` takes besides True: `redaction.Redactor`, or something like it."""

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        """The entry without what must not leave the process."""


class Decision(Protocol):
    """What a sampler decides: `sampling.Decision`."""

    @property
    def keep(self) -> bool:
        """True if the record goes on."""

    @property
    def rate(self) -> float:
        """It stands for `1 / rate` records."""


class Samples(Protocol):
    """What `sampler=` takes: `sampling.Sampler`, or something like it."""

    def decide(self, level: str, message: str, trace_id: int = 0) -> Decision:
        """Decide about one record."""

    def always_keeps(self, level: str) -> bool:
        """Whether records of a level are kept without a look at the message."""


MIB: Final = 1024 * 1024

_LEVEL_SPELLINGS: Final[dict[str, str]] = {
    **{level: level for level in LEVELS},
    "warning": "warn",
    "critical": "fatal",
}
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Config:
    """Everything an exporter needs to know. Its repr shows no secret.

    Attributes:
        endpoint: Base URL of the server, without a trailing slash.
        service: Service name of every entry, None for the resource's.
        timeout: Seconds one request may take.
        level: Least severe level that is sent.
        source_location: Whether entries carry file and line.
        max_queue_bytes: Memory that undelivered entries may take.
        requests_per_minute: Requests we send at most; all processes of a project share
            the server's limit, and the pace adapts to it.
        requests_per_hour: The same for an hour, None for no such limit.
        spool_dir: Directory for what cannot be delivered now, None for memory only.
        spool_max_bytes: Size of the spool at most.
        spool_max_age: Seconds an entry may wait in the spool.
        sampling: Whether to sample at the default rates and `sample_rates`.
        sample_rates: Rates by level.
        sampling_policy: Policy file, or a policy server's URL as text; None for none.
        sampling_team_id: The team's number there, None without a server.
        sampling_token: The token for it.
        sampler: Decides which records are kept, None for all or for what `sampling` says.
        redact: Whether, or with what, to take secrets out of entries.
        redact_keys: Names of secrets beyond the usual.
        redact_allow: Names and texts that stay.
        before_send: Called with every entry before it is encoded.
        origins: Where each setting came from: `argument`, a variable's name, `default`.
    """

    endpoint: str
    api_key: ApiKey
    service: str | None
    headers: Headers
    timeout: float
    certificate_file: Path | None
    client_certificate_file: Path | None
    client_key_file: Path | None
    level: str
    source_location: bool
    max_queue_bytes: int
    requests_per_minute: float
    requests_per_hour: float | None
    spool_dir: Path | None
    spool_max_bytes: int
    spool_max_age: float
    sampling: bool
    sample_rates: Mapping[str, float]
    sampling_policy: Path | str | None
    sampling_team_id: int | None
    sampling_token: BearerToken | None
    sampler: Samples | None
    redact: bool | Redacts
    redact_keys: tuple[str, ...]
    redact_allow: tuple[str, ...]
    before_send: BeforeSend | None = field(repr=False)
    on_error: ErrorCallback | None = field(repr=False)
    on_flush: FlushCallback | None = field(repr=False)
    secrets: Secrets = field(repr=False)
    proxy: Proxy | None
    origins: Mapping[str, str] = field(repr=False)

    @property
    def ingest_url(self) -> str:
        """Where entries go."""
        return self.endpoint + INGEST_PATH

    @property
    def health_url(self) -> str:
        """Answers 503 while the server's database is down; needs no key."""
        return self.endpoint + "/api/health"

    @property
    def identity(self) -> tuple[str, int]:
        """Server and project."""
        return self.endpoint, hash(self.api_key.reveal())

    @property
    def insecure(self) -> bool:
        """True if the key travels unencrypted to another machine."""
        return is_insecure(self.endpoint)

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
        """Resolve and check every setting.

        Args:
            environ: The environment, `os.environ` by default.
            **arguments: Settings by name; None counts as not given.

        Raises:
            LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
        """
        settings = Settings(arguments, environ)
        endpoint = _endpoint(settings)
        key = _api_key(settings)
        headers = headers_of(settings)
        certificate = settings.file("client_certificate_file")
        private_key = settings.file("client_key_file")
        if private_key and not certificate:
            raise settings.error(
                "client_key_file", "client_certificate_file beside it", "a key without certificate"
            )
        return cls(
            endpoint=endpoint,
            api_key=key,
            service=_service(settings),
            headers=headers,
            timeout=settings.number("timeout", 10.0, least=0.1, most=300),
            certificate_file=settings.file("certificate_file"),
            client_certificate_file=certificate,
            client_key_file=private_key,
            level=settings.choice("level", "debug", _LEVEL_SPELLINGS),
            source_location=settings.flag("source_location", default=True),
            max_queue_bytes=settings.integer(
                "max_queue_bytes", 32 * MIB, least=MIB, most=4096 * MIB
            ),
            requests_per_minute=settings.number(
                "requests_per_minute", 600.0, least=1, most=1_000_000
            ),
            requests_per_hour=settings.number("requests_per_hour", None, least=1, most=60_000_000),
            spool_dir=settings.path("spool_dir"),
            spool_max_bytes=settings.integer(
                "spool_max_bytes", 256 * MIB, least=MIB, most=1024 * 1024 * MIB
            ),
            spool_max_age=settings.number(
                "spool_max_age", 48 * 3600.0, least=60, most=365 * 24 * 3600
            ),
            **sampling_of(settings),
            **redaction_of(settings),
            before_send=_callback(settings, "before_send"),
            on_error=_callback(settings, "on_error"),
            on_flush=_callback(settings, "on_flush"),
            secrets=Secrets([*headers.secrets(), *proxy_secrets()]),
            proxy=proxy_of(endpoint),
            origins=settings.origins,
        )


def _endpoint(settings: Settings) -> str:
    expected = "the base URL of a Logwell server such as https://logs.example.com"
    value = settings.text("endpoint")
    if value is None:
        raise config_error(
            "endpoint (LOGWELL_ENDPOINT) is not set: "
            f"set the variable, or give the argument, to {expected}."
        )
    if hide_keys(value) != value:
        raise settings.error("endpoint", expected, "what looks like an API key")
    try:
        return base_url(value)
    except ValueError as error:
        problem = str(error)
    # Outside of `except`, see Settings.error.
    raise settings.error("endpoint", expected, f"{problem}: {shown_text(value)}")


def _api_key(settings: Settings) -> ApiKey:
    expected = "'lw_' and 32 characters of A-Z, a-z, 0-9, '_' and '-'"
    value, path = settings.secret("api_key")
    if path is not None:
        try:
            return ApiKey.from_file(path)
        except (OSError, ValueError) as error:
            problem = str(error)
        raise settings.error(
            "api_key_file", f"a file that holds a key: {expected}", f"a file with {problem}"
        )
    if value is None:
        raise config_error(
            "api_key (LOGWELL_API_KEY) is not set: set the variable, give the argument, or name "
            "a file that holds the key with api_key_file (LOGWELL_API_KEY_FILE). Keys are made in "
            "the project's settings on the Logwell server."
        )
    if found := key_problem(value):
        raise settings.error("api_key", expected, found)
    return ApiKey(value)


def _service(settings: Settings) -> str | None:
    service = settings.public_text("service")
    if service is None:
        return None
    expected = f"a text of at most {MAX_SERVICE_BYTES:,} bytes without control characters"
    size = len(service.encode("utf-8", "surrogatepass"))
    if size > MAX_SERVICE_BYTES:
        raise settings.error("service", expected, f"{size:,} bytes")
    if _CONTROL_CHARACTERS.search(service):
        raise settings.error("service", expected, "one with such characters")
    return service


def _callback(settings: Settings, name: str) -> Any:
    # No variable: a function cannot be written into one.
    value = settings.argument(name)
    if value is not None and not callable(value):
        raise config_error(f"{name}: expected a function, got {type(value).__name__}.")
    return value


# The settings of sampling: rates, and the policy that may change them.


_EXPECTED_POLICY: Final = "the path of a JSON file, or the http or https URL of a policy server"
# Of a serial number in the server's database.
_MOST_TEAMS: Final = 2**31 - 1


def sampling_of(settings: Settings) -> dict[str, Any]:
    """What `Config` holds of sampling, by field.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
    """
    sampler = settings.argument("sampler")
    policy = _policy(settings)
    team_id, token = _team_id(settings), _token(settings)
    if sampler is not None and policy is not None:
        raise config_error(
            "sampler and sampling_policy (LOGWELL_SAMPLING_POLICY) do not go together: have the "
            "sampler follow the policy with Sampler.follow, or leave one of them out."
        )
    if isinstance(policy, str) and team_id is None:
        raise config_error(
            "sampling_team_id (LOGWELL_SAMPLING_TEAM_ID) is not set: a policy server needs the "
            "number that the team has there."
        )
    return {
        "sampling": settings.flag("sampling", default=policy is not None),
        "sample_rates": _rates(settings),
        "sampling_policy": policy,
        "sampling_team_id": team_id,
        "sampling_token": token,
        "sampler": sampler,
    }


def _rates(settings: Settings) -> dict[str, float]:
    """`info=0.2,debug=0.05` as a dictionary. The sampler checks levels and bounds."""
    value = settings.raw("sample_rates")
    if isinstance(value, Mapping):
        return dict(value)
    rates: dict[str, float] = {}
    text = settings.text("sample_rates") or ""
    for part in filter(None, map(str.strip, text.split(","))):
        level, _, rate = part.partition("=")
        try:
            rates[level.strip()] = float(rate)
        except ValueError:
            problem = repr(part)
        else:
            continue
        raise settings.error("sample_rates", "level=rate,level=rate", problem)
    return rates


def _policy(settings: Settings) -> Path | str | None:
    """A path, or a URL as text."""
    value = settings.raw("sampling_policy")
    text = value if isinstance(value, str) else ""
    if "://" not in text:
        # Not whether there is such a file: it may come later, and is said when it does not.
        return settings.path("sampling_policy")
    try:
        url = base_url(text)
    except ValueError as error:
        problem = str(error)
    else:
        if hide_keys(url) == url:
            return url
        problem = "what looks like an API key"
    # Outside of `except`, see Settings.error.
    found = f"{problem}: {shown_text(text)}"
    raise settings.error("sampling_policy", _EXPECTED_POLICY, found)


def _team_id(settings: Settings) -> int | None:
    if settings.raw("sampling_team_id") is None:
        return None
    return settings.integer("sampling_team_id", 1, least=1, most=_MOST_TEAMS)


def _token(settings: Settings) -> BearerToken | None:
    expected = "a token of printable ASCII characters without white space"
    value, path = settings.secret("sampling_token")
    if path is not None:
        try:
            return BearerToken.from_file(path)
        except (OSError, ValueError) as error:
            problem = str(error)
        raise settings.error(
            "sampling_token_file", f"a file that holds {expected}", f"a file with {problem}"
        )
    if value is None:
        return None
    if found := token_problem(value):
        raise settings.error("sampling_token", expected, found)
    return BearerToken(value)


# The settings of redaction: whether, and what is found or left beyond the usual.


_LISTS: Final = ("redact_keys", "redact_allow")


def redaction_of(settings: Settings) -> dict[str, Any]:
    """What `Config` holds of redaction, by field.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
    """
    keys, allow = (settings.words(name) for name in _LISTS)
    redactor = settings.argument("redact")
    if redactor is not None and hasattr(redactor, "redact_entry"):
        if keys or allow:
            raise config_error(
                "A Redactor given as redact does not go together with redact_keys "
                "(LOGWELL_REDACT_KEYS) or redact_allow (LOGWELL_REDACT_ALLOW): give them to the "
                "Redactor as extra_keys and allow, or leave them out."
            )
        settings.origins["redact"] = "argument"
    else:
        redactor = settings.flag("redact", default=bool(keys or allow))
    return {"redact": redactor, "redact_keys": keys, "redact_allow": allow}


# The service that OpenTelemetry's resource variables name.


def service_from_environment() -> str:
    """Whose entries these are, for what must know before the first record brings a resource."""
    if name := os.environ.get("OTEL_SERVICE_NAME", "").strip():
        return name
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return unquote(value.strip())
    return "unknown_service"
