"""loguru's messages, by a sink.

    logger.add(LogwellSink(), level="INFO")

What is bound, by `bind` or `contextualize`, becomes attributes, of any name. `enqueue=True`
works and is not needed: the sink does not wait.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from logwell_otel._duplicates import duplicates
from logwell_otel._translation import TranslatingHandler
from logwell_otel.context import log_context

if TYPE_CHECKING:
    from types import FrameType

    from opentelemetry._logs import LoggerProvider


class LogwellSink:
    """A sink of loguru's: one record for each message.

    Its message is loguru's without the format of the sink, its severity by the level's
    number; it has the exception, the place of the call and what `log_context` adds. A level
    of one's own keeps its name.

    Args:
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
    """

    def __init__(self, logger_provider: LoggerProvider | None = None) -> None:
        self._handler = TranslatingHandler(logger_provider=logger_provider)

    def __call__(self, message: Any) -> None:
        """Send a message; loguru calls this."""
        intercepted = _being_handled()
        if intercepted is not None and duplicates.has_been_given(
            intercepted, self._handler.provider
        ):
            return
        found = message.record
        error = found["exception"]
        record = logging.LogRecord(
            found["name"] or "loguru",
            found["level"].no,
            found["file"].path,
            found["line"],
            found["message"],
            None,
            None if error is None else (error.type, error.value, error.traceback),
            found["function"],
        )
        record.levelname = found["level"].name
        record.created = found["time"].timestamp()
        record.thread, record.process = found["thread"].id, found["process"].id
        # As context, because a bound name may be any: `name` and `args` too.
        with log_context(found["extra"]):
            self._handler.handle(record)


def _being_handled() -> logging.LogRecord | None:
    """The record of the standard library's logging that a handler is just giving to loguru.

    With the `InterceptHandler` of loguru's documentation it comes here, and to the handler
    that `configure` installs afterwards.
    """
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - as logging itself finds it
    while frame is not None:
        if frame.f_code.co_name == "callHandlers" and frame.f_globals.get("__name__") == "logging":
            record = frame.f_locals.get("record")
            return record if isinstance(record, logging.LogRecord) else None
        frame = frame.f_back
    return None
