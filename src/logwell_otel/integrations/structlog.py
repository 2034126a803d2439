"""structlog's events, by a processor.

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            LogwellProcessor(),
            structlog.dev.ConsoleRenderer(),
        ]
    )

For loggers that print by themselves, as structlog's do by default. With
`structlog.stdlib.LoggerFactory` events come by the standard library's logging, and need
`logwell_otel.configure()` alone: `ProcessorFormatter` or not.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._translation import TranslatingHandler
from logwell_otel._writer import handlers_of, is_opentelemetry

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import FrameType

    from opentelemetry._logs import LoggerProvider

_LEVELS: Final = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL", "msg": "INFO"}
_ON_THE_WAY: Final = ("structlog", __name__)


class LogwellProcessor:
    """Sends each event, and hands it on unchanged. Stands in front of the renderer.

    An entry has the event as its message, the other values as attributes, the exception of
    `exc_info`, the place of the call, and what `log_context` adds. Nothing is raised into
    the application. An event that the standard library's logging takes to Logwell as well
    is left to that.

    Args:
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
    """

    def __init__(self, logger_provider: LoggerProvider | None = None) -> None:
        self._handler = TranslatingHandler(logger_provider=logger_provider)

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Send the event."""
        try:
            if not _comes_by_logging(logger):
                self._handler.handle(_record(logger, method_name, event_dict))
        except Exception:  # noqa: BLE001 - what logs is not to notice
            self._handler._counts.records_lost += 1  # noqa: SLF001 - our own class
        return event_dict


def _comes_by_logging(logger: Any) -> bool:
    return isinstance(logger, logging.Logger) and any(
        is_opentelemetry(type(handler)) for handler in handlers_of(logger)
    )


def _record(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> logging.LogRecord:
    event = dict(event_dict)
    event["_from_structlog"] = True
    level = str(event.get("level") or method_name)
    number = logging.getLevelName(_LEVELS.get(level, level.upper()))
    name = event.get("logger") or getattr(logger, "name", None) or "structlog"
    frame = _caller()
    record = logging.LogRecord(
        str(name),
        number if isinstance(number, int) else logging.INFO,
        "" if frame is None else frame.f_code.co_filename,
        0 if frame is None else frame.f_lineno,
        event,
        None,
        None,
        None if frame is None else frame.f_code.co_name,
    )
    if not isinstance(number, int):
        record.levelname = level.upper()
    return record


def _caller() -> FrameType | None:
    """The frame that called structlog."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as logging itself finds it
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module not in _ON_THE_WAY and not module.startswith("structlog."):
            return frame
        frame = frame.f_back
    return None
