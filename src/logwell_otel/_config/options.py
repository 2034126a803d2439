"""Every setting, in one list: its name, type, default, check and meaning; and all of them resolved.

The list is the fields of `Config`, and the help text of the exporter is made of it. A new
setting is a field there, the type that people may give in `arguments`, and a row in
docs/configuration.md; tests/config/test_config_page.py holds the three together.
"""

# ruff: noqa: RUF009 - `_option` makes a dataclass field, as `field` does

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from logwell_otel._config.address import (
    INGEST_PATH,
    Proxy,
    base_url,
    is_insecure,
    is_loopback,
    proxy_of,
    proxy_secrets,
)
from logwell_otel._config.secrets import (
    ApiKey,
    BearerToken,
    Headers,
    credential_of,
    headers_of,
)
from logwell_otel._config.settings import (
    LEVEL_SPELLINGS,
    SPOOL_SYNCS,
    Resolver,
    number_of,
    rates_of,
    shown_text,
)
from logwell_otel._diagnostics import Secrets, hide_keys, warn
from logwell_otel._wire import MAX_SERVICE_BYTES
from logwell_otel.errors import WithoutFrames, config_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider

    from logwell_otel._wire import Level
    from logwell_otel.errors import ErrorCallback, FlushCallback
    from logwell_otel.types import BeforeSend, OnQueueFull, Redacts, Samples

T = TypeVar("T")

MIB: Final = 1024 * 1024


# How settings are read that are more than one value of one type. Each takes the
# resolver and the setting's name. Errors are raised outside of `except`, see Resolver.error.


def _endpoint(settings: Resolver, name: str) -> str:
    expected = "the base URL of a Logwell server such as https://logs.example.com"
    value = settings.text(name)
    if value is None:
        raise config_error(
            "endpoint (LOGWELL_ENDPOINT) is not set: "
            f"set the variable, or give the argument, to {expected}."
        )
    if hide_keys(value) != value:
        raise settings.error(name, expected, "what looks like an API key")
    try:
        return base_url(value)
    except ValueError as error:
        problem = str(error)
    raise settings.error(name, expected, f"{problem}: {shown_text(value)}")


def _api_key(settings: Resolver, name: str) -> ApiKey:
    key = credential_of(settings, name, ApiKey)
    if key is None:
        raise config_error(
            "api_key (LOGWELL_API_KEY) is not set: set the variable, give the argument, or name "
            "a file that holds the key with api_key_file (LOGWELL_API_KEY_FILE). Keys are made in "
            "the project's settings on the Logwell server."
        )
    return key


def _secret_file(settings: Resolver, name: str) -> Path | None:
    return settings.secret(name.removesuffix("_file"))[1]


def _on_queue_full(settings: Resolver, name: str) -> OnQueueFull:
    choices: Mapping[str, OnQueueFull] = {"drop": "drop", "wait": "wait"}
    return settings.choice(name, default=choices["drop"], choices=choices)


def _service(settings: Resolver, name: str) -> str | None:
    service = settings.text(name)
    if service is None:
        return None
    if hide_keys(service) != service:
        raise settings.error(name, "no API key: this is shown", "what looks like one")
    expected = f"a text of at most {MAX_SERVICE_BYTES:,} bytes without control characters"
    size = len(service.encode("utf-8", "surrogatepass"))
    if size > MAX_SERVICE_BYTES:
        raise settings.error(name, expected, f"{size:,} bytes")
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", service):
        raise settings.error(name, expected, "one with such characters")
    return service


def _client_key(settings: Resolver, name: str) -> Path | None:
    path = settings.file(name)
    if path and not settings.raw("client_certificate_file"):
        raise settings.error(name, "client_certificate_file beside it", "a key without certificate")
    return path


def _sampling(settings: Resolver, name: str) -> bool | Samples:
    sampler = settings.argument(name)
    if not hasattr(sampler, "decide"):
        return settings.flag(name, default=settings.raw("sampling_policy") is not None)
    if settings.raw("sampling_policy") is not None or settings.raw("sample_rates") is not None:
        raise config_error(
            "A Sampler given as sampling does not go together with sampling_policy "
            "(LOGWELL_SAMPLING_POLICY) or sample_rates (LOGWELL_SAMPLE_RATES): give the Sampler "
            "its rates, have it follow the policy with Sampler.follow, or leave them out."
        )
    settings.origins[name] = "argument"
    return sampler  # type: ignore[no-any-return] # it has the method that matters


def _sample_rates(settings: Resolver, name: str) -> Mapping[str, float]:
    value = settings.raw(name)
    if isinstance(value, Mapping):
        return dict(value)  # the sampler checks levels and bounds
    try:
        return rates_of(settings.text(name) or "")
    except ValueError as error:
        problem = str(error)
    raise settings.error(name, "level=rate,level=rate", problem)


def _policy(settings: Resolver, name: str) -> Path | str | None:
    """A path, or a URL with the team's number as text."""
    value = settings.raw(name)
    text = value if isinstance(value, str) else ""
    if "://" not in text:
        # Not whether there is such a file: it may come later, and is said when it does not.
        return settings.path(name)
    server, _, team = text.partition(TEAM)
    try:
        url = base_url(server)
    except ValueError as error:
        problem = str(error)
    else:
        number = number_of(team) if team.isdecimal() else None
        # Of a serial number in the server's database.
        if hide_keys(url) != url:
            problem = "what looks like an API key"
        elif number is None or not 1 <= number < 2**31:
            problem = "a URL without the number that the team has there"
        else:
            return f"{url}{TEAM}{team}"
    expected = (
        "the path of a JSON file, or the http or https URL of a policy server, with the team's "
        f"number, such as https://policies.example{TEAM}7"
    )
    raise settings.error(name, expected, f"{problem}: {shown_text(server)}")


TEAM: Final = "?team_id="
"""Between the address of a policy server and the team's number there."""

REDACT_ALSO: Final = ("phone", "ip", "iban", "national_id")


def _redact(settings: Resolver, name: str) -> bool | Redacts:
    beyond = sum(map(settings.words, ("redact_keys", "redact_allow", "redact_also")), ())
    redactor = settings.argument(name)
    if not hasattr(redactor, "redact_entry"):
        return settings.flag(name, default=bool(beyond))
    if beyond:
        raise config_error(
            "A Redactor given as redact does not go together with redact_keys "
            "(LOGWELL_REDACT_KEYS) or redact_allow (LOGWELL_REDACT_ALLOW): give them to the "
            "Redactor as extra_keys and allow, and redact_also (LOGWELL_REDACT_ALSO) as also, or "
            "leave them out."
        )
    settings.origins[name] = "argument"
    return redactor  # type: ignore[no-any-return] # it has the one method that matters


def _redact_also(settings: Resolver, name: str) -> tuple[str, ...]:
    kinds = settings.words(name)
    for kind in kinds:
        if kind not in REDACT_ALSO:
            raise settings.error(name, "words of " + ", ".join(REDACT_ALSO), shown_text(kind))
    return kinds


def _callback(settings: Resolver, name: str) -> Any:
    # No variable: a function cannot be written into one.
    value = settings.argument(name)
    if value is not None and not callable(value):
        raise config_error(f"{name}: expected a function, got {type(value).__name__}.")
    return value


def _option(read: Callable[[Resolver, str], T], *meaning: str, variable: bool = True) -> T:
    """A field of `Config` that is a setting.

    Args:
        read: Reads and checks it.
        *meaning: What it means, with unit and default: lines of the exporter's help.
        variable: Whether it has a `LOGWELL_*` variable; an object of the program's has none.
    """
    metadata = {"read": read, "meaning": meaning, "variable": variable}
    made: Any = field(repr=variable, metadata=metadata)
    return made  # type: ignore[no-any-return] # as dataclasses.field: the type of the value


@dataclass(frozen=True, kw_only=True, eq=False)
class Config:
    """Everything an exporter needs to know, checked. Its repr shows no secret.

    Attributes:
        proxy: The proxy on the way to the server.
        secrets: Takes the secrets among the settings out of texts.
        origins: Where each setting with a variable came from: `argument`, the variable's
            name, or `default`.
    """

    endpoint: str = _option(
        _endpoint,
        "Base URL of the server, such as `https://logs.example.com`. A path prefix,",
        "a trailing slash and a full `…/v1/ingest` are fine.",
    )
    api_key: ApiKey = _option(_api_key, "The project's API key: `lw_` and 32 characters.")
    api_key_file: Path | None = _option(
        _secret_file,
        "A file that holds the key instead. It is read again when the server",
        "refuses the key, so that a rotated one is picked up.",
    )
    service: str | None = _option(
        _service,
        "Service name of every entry; by default the resource's `service.name`. A",
        "record's own `service.name` attribute wins over both.",
    )
    headers: Headers = _option(
        headers_of, "Further headers of every request, as a mapping or `name=value,name=value`."
    )
    timeout: float = _option(
        partial(Resolver.number, default=10.0, least=0.1, most=300),
        "Seconds one request may take; 0.1 to 300, default 10.",
    )
    certificate_file: Path | None = _option(
        Resolver.file, "CA certificates to trust, PEM; by default those of certifi."
    )
    client_certificate_file: Path | None = _option(
        Resolver.file, "Certificate to show to the server, PEM."
    )
    client_key_file: Path | None = _option(
        _client_key, "Its private key, PEM, where it is not in the same file."
    )
    level: Level = _option(
        partial(Resolver.choice, default="debug", choices=LEVEL_SPELLINGS),
        "Least severe level that is sent: `debug` (default), `info`, `warn`, `error`,",
        "`fatal`.",
    )
    levels: Mapping[str, Level | Literal["off"]] = _option(
        Resolver.levels,
        "Least severe levels by logger, as a mapping or `httpx=warn,noisy=off`, in place of",
        "`level` for that logger and those below it.",
    )
    root_level: Level | None = _option(
        partial(Resolver.choice, default=None, choices=LEVEL_SPELLINGS),
        "Level that the root logger is opened up to at start-up where it lets less through,",
        "by `configure()` and without code; by default `configure()`'s, else none.",
    )
    source_location: bool = _option(
        partial(Resolver.flag, default=True),
        "False leaves source file and line out of entries. Default True.",
    )
    request_id_from_trace: bool = _option(
        partial(Resolver.flag, default=False),
        "True gives entries the trace id as `request_id` where they have no request id: the",
        "server shows and groups by that one. Default False.",
    )
    message_template: bool = _option(
        partial(Resolver.flag, default=False),
        "True adds the template of messages with arguments, `order %s placed`, as attribute",
        "`log.body.template`; sampling goes by it. Default False.",
    )
    max_queue_bytes: int = _option(
        partial(Resolver.integer, default=32 * MIB, least=MIB, most=4096 * MIB),
        "Memory in bytes that undelivered entries may take; default 32 MiB. Beyond",
        "it the oldest are dropped, counted and said. As much text may wait in the",
        "processor's queue before that.",
    )
    on_queue_full: OnQueueFull = _option(
        _on_queue_full,
        "What a logging call does when the queue of `LogwellBatchLogRecordProcessor` is",
        "full: `drop` the record (default), counted and said, or `wait` for room, a",
        "second at most and never where an asyncio event loop runs.",
    )
    requests_per_minute: float = _option(
        partial(Resolver.number, default=600.0, least=1, most=1_000_000),
        "Requests sent a minute at most; default 600, the server's own limit for all",
        "processes of a project. The pace adapts when the server answers 429.",
    )
    requests_per_hour: float | None = _option(
        partial(Resolver.number, default=None, least=1, most=60_000_000),
        "The same for an hour; default no such limit.",
    )
    spool_dir: Path | None = _option(
        Resolver.path,
        "Directory for what cannot be delivered now. Entries there outlive the",
        "process, `kill -9` included; several processes may share it. Default: none.",
    )
    spool_max_bytes: int = _option(
        partial(Resolver.integer, default=256 * MIB, least=MIB, most=1024 * 1024 * MIB),
        "Size of the spool in bytes at most; default 256 MiB. Beyond it the oldest",
        "are dropped, counted and said.",
    )
    spool_max_age: float = _option(
        partial(Resolver.number, default=48 * 3600.0, least=60, most=365 * 24 * 3600),
        "Seconds an entry may wait in the spool; default 48 hours.",
    )
    spool_sync: str = _option(
        partial(Resolver.choice, default="normal", choices=SPOOL_SYNCS),
        "`full` has the disk confirm what goes to the spool, so that it survives a power",
        "cut as well; `normal` (default) leaves that to the operating system.",
    )
    sampling: bool | Samples = _option(
        _sampling,
        "True keeps a share of the records: all errors, less and less of what is",
        "less severe; a `Sampler` with settings of one's own does as well. Default False.",
    )
    sample_rates: Mapping[str, float] = _option(
        _sample_rates, "Shares by level for it, as a mapping or `info=0.2,debug=0.05`."
    )
    sampling_policy: Path | str | None = _option(
        _policy,
        "Rates that change while the program runs: the path of a policy file, or the",
        "URL of a policy server with the team's number, `https://policies.example?team_id=7`.",
        "Switches sampling on, unless that is explicitly off.",
    )
    sampling_token: BearerToken | None = _option(
        partial(credential_of, kind=BearerToken),
        "Bearer token for the policy server; default none.",
    )
    sampling_token_file: Path | None = _option(
        _secret_file,
        "A file that holds the token instead. It is read again when the policy",
        "server refuses the token.",
    )
    sampling_allow_zero: bool = _option(
        partial(Resolver.flag, default=False),
        "True lets a policy server's policy drop everything below error. Default False.",
    )
    redact: bool | Redacts = _option(
        _redact,
        "True takes personal data and credentials out of entries; a `Redactor` with",
        "settings of one's own does as well. Default False.",
    )
    redact_keys: tuple[str, ...] = _option(
        Resolver.words,
        "Names of secrets beyond the usual, such as `patient_id`. Switches redaction",
        "on, unless that is explicitly off.",
    )
    redact_allow: tuple[str, ...] = _option(
        Resolver.words, "Names and texts that stay as they are; likewise."
    )
    redact_also: tuple[str, ...] = _option(
        _redact_also,
        "What else to take out: `phone`, `ip`, `iban`, `national_id`. Switches redaction",
        "on likewise.",
    )
    before_send: BeforeSend | None = _option(
        _callback,
        "Called with every `LogEntry`, after redaction and in the thread that",
        "exports; returns it, another one, or None to drop it. If it raises, the",
        "entry is dropped, counted and said.",
        variable=False,
    )
    on_error: ErrorCallback | None = _option(
        _callback,
        "Called with every `LogwellError`, on the exporter's thread. What it raises",
        "is contained.",
        variable=False,
    )
    on_flush: FlushCallback | None = _option(
        _callback,
        "Called with the number of entries each time some were stored.",
        variable=False,
    )
    meter_provider: MeterProvider | None = _option(
        Resolver.argument,
        "Where the exporter's own metrics go: on when given. Without it they go to the",
        "global one when `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is `true`.",
        variable=False,
    )
    deliver_on_sigterm: bool = _option(
        partial(Resolver.flag, default=True),
        "False lets SIGTERM end the process at once where nobody handles it; default True:",
        "what is held is delivered first, within 8 s. For `configure()` and without code.",
    )
    disabled: bool = _option(
        partial(Resolver.flag, default=False),
        "True sends nothing, and looks at no other setting; so does OpenTelemetry's own",
        "`OTEL_SDK_DISABLED=true`. Default False.",
    )
    send_in_tests: bool = _option(
        partial(Resolver.flag, default=False),
        "True sends from a test run (pytest, unittest, `manage.py test`) to a server on",
        "another machine as well. Default False: such a run is disabled, and says so.",
    )
    proxy: Proxy | None
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
    def identity(self) -> tuple[str, int]:
        """Server and project."""
        return self.endpoint, hash(self.api_key.reveal())

    @property
    def insecure(self) -> bool:
        """True if the key travels unencrypted to another machine."""
        return is_insecure(self.endpoint, self.proxy)

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None, /, **arguments: Any) -> Config:
        """Resolve and check every setting.

        Args:
            environ: The environment, `os.environ` by default.
            **arguments: Settings by name; None counts as not given.

        Raises:
            TypeError: There is no setting of that name.
            LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
        """
        settings = Resolver(arguments, environ)
        del arguments, environ
        with WithoutFrames():
            return cls._of(settings)

    @classmethod
    def _of(cls, settings: Resolver) -> Config:
        for name in settings.arguments:
            if name not in OPTIONS:
                raise TypeError(f"unexpected keyword argument {name!r}{_did_you_mean(name)}")
        # https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
        sdk = settings.environ.get("OTEL_SDK_DISABLED", "")
        if settings.flag("disabled", default=sdk.strip().lower() == "true"):
            settings = Resolver(_NOWHERE, {})
        values = {name: option["read"](settings, name) for name, option in OPTIONS.items()}
        return cls(
            **values,
            proxy=proxy_of(values["endpoint"]),
            secrets=Secrets([*values["headers"].secrets(), *proxy_secrets()]),
            origins=settings.origins,
        )

    def unless_in_tests(self) -> Config:
        """These settings, or in a test run that is not to send to them: disabled ones."""
        if (
            self.disabled
            or self.send_in_tests
            or is_loopback(urlsplit(self.endpoint).hostname or "")
            or not in_tests()
        ):
            return self
        warn(
            f"This is a test run, so nothing is sent to {self.endpoint}. Set LOGWELL_DISABLED=true "
            "to have this not said, or LOGWELL_SEND_IN_TESTS=true to send all the same."
        )
        return Config.resolve({}, disabled=True)


_NOWHERE: Final = {"endpoint": "http://127.0.0.1:9", "api_key": f"lw_{'0' * 32}", "disabled": True}


def in_tests() -> bool:
    """Whether this process runs tests, or was started by one that does."""
    if any(name in os.environ for name in ("PYTEST_VERSION", "PYTEST_CURRENT_TEST")):
        return True
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name == "unittest.__main__":
        return True
    return sys.argv[1:2] == ["test"] and os.path.basename(sys.argv[0]) == "manage.py"  # noqa: PTH119 - a name


OPTIONS: Final = {option.name: option.metadata for option in fields(Config) if option.metadata}
"""How each setting is read (`read`), what it means (`meaning`) and whether it has a variable
(`variable`), by name."""


def options_in_help(kind: type[T]) -> type[T]:
    """Class decorator: the settings' meanings in place of the docstring's line `**options`."""
    # Python 3.13 takes the indentation out of docstrings, earlier ones leave it in.
    before, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("    **options")
    lines = [
        f"    {name}: " + "\n        ".join(option["meaning"]) + "\n"
        for name, option in OPTIONS.items()
    ]
    kind.__doc__ = before + "".join(lines) + rest.partition("\n")[2]
    return kind


def _did_you_mean(name: str) -> str:
    import difflib  # noqa: PLC0415 - only for a mistake

    near = difflib.get_close_matches(name, OPTIONS, n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def service_from_environment() -> str:
    """The service that OpenTelemetry's resource variables name.

    For what must know whose entries these are before the first record brings a resource.
    """
    if name := os.environ.get("OTEL_SERVICE_NAME", "").strip():
        return name
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return unquote(value.strip())
    return "unknown_service"
