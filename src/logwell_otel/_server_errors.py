"""Exceptions of requests as web servers and Django log them: each is one error entry.

uvicorn and Django are often configured so that what they log stays with their own handlers
(`propagate: False`, uvicorn's by default). An exception that nobody else records would then
be nowhere. Where the request log has recorded it, the server's line has nothing to add.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from logwell_otel._encoding.exceptions import is_recorded, mark_request_exception
from logwell_otel._otel import LogRecordProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk._logs import ReadWriteLogRecord

SERVERS: Final = (
    "uvicorn.error",
    "hypercorn.error",
    "gunicorn.error",
    "daphne.server",
    "waitress",
    "aiohttp.server",
    "django.request",
)
"""Loggers of an exception that an application let out."""


_FLASKS: Final = "log_exception"
"""What logs it in Flask, and in Quart: the logger has the application's name there."""


def is_a_servers(logger: object, function: object) -> bool:
    """Whether it is a server's or a framework's record of an exception, by both names.

    The place of such a call says nothing; where the exception was raised does.
    """
    return (type(function) is str and function == _FLASKS) or (
        type(logger) is str and logger in SERVERS
    )


class ServerErrors(logging.Filter):
    """Lets every record pass, and offers those with an exception to handlers elsewhere.

    A filter of the logger, since `dictConfig` takes handlers away and leaves filters, and
    since it is asked whether the logger propagates or not.

    Args:
        offer: Called with each record at ERROR or above that has an exception.
    """

    def __init__(self, offer: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self._offer = offer

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True."""
        if record.exc_info and record.levelno >= logging.ERROR:
            self._offer(record)
        return True

    def install(self) -> None:
        """Begin."""
        for name in SERVERS:
            logging.getLogger(name).addFilter(self)

    def uninstall(self) -> None:
        """End that."""
        for name in SERVERS:
            logging.getLogger(name).removeFilter(self)


class RequestExceptions(LogRecordProcessor):
    """Marks exceptions that a framework emits by OpenTelemetry's API itself.

    Behind a batch processor of OpenTelemetry's, which does not.
    """

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Mark the exception."""
        mark_request_exception(log_record.log_record)

    def enabled(self, **_: object) -> bool:
        """False: it emits nothing itself, so that the others' answer counts."""
        return False

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held: True."""
        return True


def repeats_a_request_log(record: logging.LogRecord) -> bool:
    """Whether a server logs an exception that the request's own record has."""
    info, name = record.exc_info, record.name
    error = info[1] if isinstance(info, tuple) else None
    return type(name) is str and name in SERVERS and is_recorded(error)
