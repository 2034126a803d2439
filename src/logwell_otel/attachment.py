"""The standard library's loggers -> OpenTelemetry: one handler, safe, and open to a level."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logwell_otel.credentials import config_error
from logwell_otel.zero_code import make_safe

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.instrumentation.logging.handler import LoggingHandler


def attach(
    logger: logging.Logger, provider: LoggerProvider, threshold: int
) -> logging.Handler | None:
    """Have records of `logger` reach `provider` once.

    Args:
        logger: Where records come from.
        provider: Where they go, if no handler takes them to OpenTelemetry already. One that
            does, as under zero-code start-up, is made safe.
        threshold: Least severe level that passes. The logger is opened up to it if it lets
            less through. With `NOTSET` the logger's own level decides.

    Returns:
        The handler that was added, None if one was there.

    Raises:
        ImportError: opentelemetry-instrumentation-logging is not installed.
    """
    from logwell_otel.handler import LogwellLoggingHandler  # noqa: PLC0415 - an extra

    handler: logging.Handler | None = None
    if found := _handlers_of(logger):
        for one in found:
            make_safe(one)
    else:
        handler = LogwellLoggingHandler(threshold, provider)
        logger.addHandler(handler)
    if threshold != logging.NOTSET and logger.getEffectiveLevel() > threshold:
        logger.setLevel(threshold)
    return handler


def _handlers_of(logger: logging.Logger) -> list[LoggingHandler]:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler  # noqa: PLC0415

    found: list[LoggingHandler] = []
    current: logging.Logger | None = logger
    while current is not None:
        found += [handler for handler in current.handlers if isinstance(handler, LoggingHandler)]
        current = current.parent if current.propagate else None
    return found


def level_of(level: int | str) -> int:
    """The number of a logging level.

    Raises:
        LogwellError: `INVALID_CONFIG`: there is no such level.
    """
    if isinstance(level, int):
        return level
    number = logging.getLevelName(level.strip().upper())
    if isinstance(number, int):
        return number
    raise config_error(f"level: expected the name or number of a logging level, got {level!r}.")
