"""Arguments and LOGWELL_* variables -> one checked, frozen Config."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from logwell_otel.credentials import ApiKey, Secrets, config_error, key_problem
from logwell_otel.errors import LogwellError
from logwell_otel.settings import Settings
from logwell_otel.severity import LEVELS

ErrorCallback = Callable[[LogwellError], object]
FlushCallback = Callable[[int], object]

INGEST_PATH: Final = "/v1/ingest"
MIB: Final = 1024 * 1024

_LEVEL_SPELLINGS: Final[dict[str, str]] = {
    **{level: level for level in LEVELS},
    "warning": "warn",
    "critical": "fatal",
}
_OUR_HEADERS: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)
# RFC 9110: a header's name is a token; its value has no control characters.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


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
        origins: Where each setting came from: `argument`, a variable's name, `default`.
    """

    endpoint: str
    api_key: ApiKey
    service: str | None
    headers: Mapping[str, str] = field(repr=False)
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
    on_error: ErrorCallback | None = field(repr=False)
    on_flush: FlushCallback | None = field(repr=False)
    secrets: Secrets = field(repr=False)
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
    def insecure(self) -> bool:
        """True if the key travels unencrypted to another machine."""
        parts = urlsplit(self.endpoint)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")

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
        headers = _headers(settings)
        certificate, private_key = (
            settings.file("client_certificate_file"),
            settings.file("client_key_file"),
        )
        if private_key and not certificate:
            raise settings.error(
                "client_key_file", "client_certificate_file beside it", "a key without certificate"
            )
        spool_dir = settings.text("spool_dir")
        return cls(
            endpoint=endpoint,
            api_key=key,
            service=settings.text("service"),
            headers=headers,
            timeout=settings.number("timeout", 10.0, least=0.1, most=300),
            certificate_file=settings.file("certificate_file"),
            client_certificate_file=certificate,
            client_key_file=private_key,
            level=settings.choice("level", "debug", _LEVEL_SPELLINGS),
            source_location=settings.flag("source_location", default=True),
            max_queue_bytes=int(
                settings.number("max_queue_bytes", 32 * MIB, least=MIB, most=4096 * MIB)
            ),
            requests_per_minute=settings.number(
                "requests_per_minute", 600.0, least=1, most=1_000_000
            ),
            requests_per_hour=settings.number("requests_per_hour", None, least=1, most=60_000_000),
            spool_dir=None if spool_dir is None else Path(spool_dir).expanduser(),
            spool_max_bytes=int(
                settings.number("spool_max_bytes", 256 * MIB, least=MIB, most=1024 * 1024 * MIB)
            ),
            spool_max_age=settings.number(
                "spool_max_age", 48 * 3600.0, least=60, most=365 * 24 * 3600
            ),
            on_error=_callback(settings, "on_error"),
            on_flush=_callback(settings, "on_flush"),
            secrets=Secrets(key, headers.values()),
            origins=settings.origins,
        )


def _endpoint(settings: Settings) -> str:
    value = settings.text("endpoint")
    expected = "the base URL of a Logwell server such as https://logs.example.com"
    if value is None:
        raise config_error(
            "endpoint (LOGWELL_ENDPOINT) is not set: "
            f"set the variable, or give the argument, to {expected}."
        )
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise settings.error("endpoint", expected, f"a URL that cannot be read ({error})") from None
    if "@" in parts.netloc:
        # Not shown: what stands before the @ is a password as often as not.
        raise settings.error("endpoint", expected, "a URL with a user name or password in it")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise settings.error("endpoint", expected, repr(value))
    if parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f]", value):
        raise settings.error("endpoint", expected, "a URL with a query, a fragment or white space")
    if port == 0:
        raise settings.error("endpoint", expected, "port 0")
    path = parts.path.rstrip("/")
    path = path.removesuffix(INGEST_PATH).rstrip("/")
    return SplitResult(parts.scheme, parts.netloc, path, "", "").geturl()


def _api_key(settings: Settings) -> ApiKey:
    expected = "'lw_' and 32 characters of A-Z, a-z, 0-9, '_' and '-'"
    # An argument of either kind comes before a variable of either kind.
    value = settings.text("api_key")
    file_value = settings.raw("api_key_file")
    from_file = value is None or (
        settings.origins["api_key"] != "argument" and settings.origins["api_key_file"] == "argument"
    )
    if from_file and file_value is not None:
        path = settings.file("api_key_file")
        assert path is not None  # noqa: S101 - the setting was given just above
        try:
            return ApiKey.from_file(path)
        except ValueError as error:
            raise settings.error(
                "api_key_file", f"a file that holds a key: {expected}", str(error)
            ) from None
    if value is None:
        raise config_error(
            "api_key (LOGWELL_API_KEY) is not set: set the variable, give the argument, or name "
            "a file that holds the key with api_key_file (LOGWELL_API_KEY_FILE). Keys are made in "
            "the project's settings on the Logwell server."
        )
    if problem := key_problem(value):
        raise settings.error("api_key", expected, problem)
    return ApiKey(value)


def _headers(settings: Settings) -> dict[str, str]:
    headers = settings.headers("headers")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise settings.error("headers", "names of letters, digits and hyphens", repr(name))
        if name.lower() in _OUR_HEADERS:
            raise settings.error("headers", "no header that the exporter itself sets", name)
        if not _HEADER_VALUE.fullmatch(value):
            raise settings.error(
                "headers", "values of printable ASCII", f"another character in that of {name}"
            )
    return headers


def _callback(settings: Settings, name: str) -> Any:
    # No variable: a function cannot be written into one.
    value = settings.argument(name)
    if value is not None and not callable(value):
        raise config_error(f"{name}: expected a function, got {type(value).__name__}.")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
