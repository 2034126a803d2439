"""Arguments and LOGWELL_* variables -> one checked, frozen Config."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.credentials import ApiKey, Secrets, config_error, hide_keys, key_problem
from logwell_otel.endpoint import INGEST_PATH, base_url, is_insecure
from logwell_otel.errors import LogwellError
from logwell_otel.headers import Headers, headers_of
from logwell_otel.proxy import Proxy, proxy_of, proxy_secrets
from logwell_otel.redaction_settings import redaction_of
from logwell_otel.sampling_settings import sampling_of
from logwell_otel.settings import Settings, shown_text
from logwell_otel.severity import LEVELS
from logwell_otel.wire import MAX_SERVICE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.credentials import BearerToken
    from logwell_otel.sampling import Sampler
    from logwell_otel.stages import BeforeSend, Redacts

ErrorCallback = Callable[[LogwellError], object]
FlushCallback = Callable[[int], object]

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
    sampler: Sampler | None
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
