"""Settings of a test, resolved or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from logwell_otel import LogwellError, LogwellErrorCode, LogwellLogExporter
from logwell_otel._config.options import Config

if TYPE_CHECKING:
    from logwell_otel._delivery.engine import Dependencies

KEY = "lw_" + "k" * 32
ENDPOINT = "https://logs.example.com"


def resolve(environ: dict[str, str] | None = None, /, **arguments: Any) -> Config:
    """A Config with endpoint and key given, unless they are given here."""
    environ = environ or {}
    given: dict[str, Any] = {}
    if "LOGWELL_ENDPOINT" not in environ:
        given["endpoint"] = ENDPOINT
    if "LOGWELL_API_KEY" not in environ and "LOGWELL_API_KEY_FILE" not in environ:
        given["api_key"] = KEY
    return Config.resolve(environ, **{**given, **arguments})


def exporter_with(
    dependencies: Dependencies, endpoint: str, api_key: str | None = KEY, **options: Any
) -> LogwellLogExporter:
    """An exporter with another clock, transport or writer of warnings."""
    config = Config.resolve(endpoint=endpoint, api_key=api_key, **options)
    return LogwellLogExporter._from_config(config, dependencies)  # noqa: SLF001 - for tests


def attempt(environ: dict[str, str] | None = None, /, **arguments: Any) -> LogwellError | None:
    """The error that these settings raise; None if they are taken."""
    try:
        resolve(environ, **arguments)
    except LogwellError as error:
        return error
    return None


def refused(environ: dict[str, str] | None = None, /, **arguments: Any) -> str:
    """The message of the error that these settings raise."""
    error = attempt(environ, **arguments)
    assert error is not None
    assert error.code is LogwellErrorCode.INVALID_CONFIG
    assert (error.status_code, error.retryable, error.retry_after) == (None, False, None)
    # An exception behind it, even hidden by `from None`, may quote what this one does not.
    assert error.__cause__ is None
    assert error.__context__ is None
    return error.message
