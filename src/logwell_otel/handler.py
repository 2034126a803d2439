"""The standard library's logging -> OpenTelemetry, where a logging call never raises.

Built on OpenTelemetry's own handler, whose mapping it keeps. That one (1.45) lets a bad
%-format, an attribute whose `__str__` raises, a list that contains itself and an
exception whose text cannot be had raise out of `logger.info()` into the application.
"""

from __future__ import annotations

import copy
import logging
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, LoggerProvider, LogRecord, NoOpLogger, get_logger_provider

from logwell_otel._diagnostics import LOGGER_NAME
from logwell_otel._encoding.exceptions import exception_details, is_recorded
from logwell_otel._encoding.values import clean_attributes, clean_value, describe
from logwell_otel._process import Uninterrupted, is_interruption, losses
from logwell_otel.context import add_context
from logwell_otel.errors import config_error

try:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
except ImportError as error:
    raise ImportError(
        "logwell_otel.handler needs OpenTelemetry's logging handler, which "
        "opentelemetry-instrumentation-logging has had since 0.61b0 (OpenTelemetry 1.40): "
        "pip install 'opentelemetry-instrumentation-logging>=0.61b0'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_SHOWN_ARGUMENTS = 200

# One for all handlers: what one of them logs by accident, the others must not pick up.
_emitting: ContextVar[bool] = ContextVar("logwell_otel_handler_emitting", default=False)


class LogwellLoggingHandler(LoggingHandler):
    """Hands records of the standard library's logging to OpenTelemetry, and never raises.

    Differs from OpenTelemetry's handler in that

    - whatever a record is made of, the logging call returns; what is wrong with it is
      replaced, counted in `counts` and said in the record. KeyboardInterrupt, SystemExit
      and other exceptions that are not `Exception` pass;
    - the source location is always added (`code.file.path`, `code.line.number`,
      `code.function.name`);
    - attributes of `log_context` and `set_global_context` are added;
    - an exception has its type with the module and its whole text, and its stack trace
      stands in `exception.stacktrace` alone, not in the body of a formatted message too.
      Where the request log has recorded the exception, its stack trace is not repeated.

    Args:
        level: Records below it are left out. Default: none.
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
    """

    def __init__(
        self, level: int = logging.NOTSET, logger_provider: LoggerProvider | None = None
    ) -> None:
        self._counts = HandlerCounts()
        self._uninterrupted = Uninterrupted(self._emit, self._drop)
        provider = get_logger_provider() if logger_provider is None else logger_provider
        super().__init__(
            level=level,
            logger_provider=_SafeProvider(provider, self._counts),
            log_code_attributes=True,
        )

    @property
    def counts(self) -> HandlerCounts:
        """What has been kept from the application so far, as a copy."""
        return replace(self._counts)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to OpenTelemetry. Raises nothing that is an `Exception`."""
        if _emitting.get() and not (self._uninterrupted.busy and is_interruption()):
            self._drop(record)
        else:
            self._uninterrupted(record)

    def _drop(self, record: logging.LogRecord) -> None:
        self._counts.records_recursive += 1
        losses.get().count += record.name != LOGGER_NAME

    def _emit(self, record: logging.LogRecord) -> None:
        token = _emitting.set(True)
        try:
            super().emit(self._prepared(record))
        except Exception:  # noqa: BLE001 - logging never raises into the application
            self._counts.records_lost += 1
            self._report(record)
        finally:
            _emitting.reset(token)

    def format(self, record: logging.LogRecord) -> str:
        """Return the body of a record; called when a formatter is set."""
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 - a formatter is the application's code
            before = self.counts
            message = self._message(record)
            if self._counts == before:
                self._counts.messages_unformatted += 1
            return message

    def flush(self) -> None:
        """Ask the provider to flush, without waiting for it."""
        try:
            super().flush()
        except RuntimeError:
            # OpenTelemetry's starts a thread, which Python 3.12 refuses at exit, where
            # logging.shutdown() calls this. The provider has its own exit handler.
            return

    def _prepared(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy of the record in which nothing is left that raises."""
        if self.formatter is None:
            # A plain record: one of a class of its own may format its message itself, again.
            safe = logging.LogRecord.__new__(logging.LogRecord)
            safe.__dict__.update(record.__dict__)
            safe.msg, safe.args = self._message(record), None
        else:
            safe = copy.copy(record)
        error = _exception_of(record)
        safe.exc_info = safe.exc_text = None
        if error is not None:
            for name, text in exception_details(error, stacktrace=not is_recorded(error)).items():
                setattr(safe, name, text)
        return safe

    def _report(self, record: logging.LogRecord) -> None:
        try:
            # On stderr, if logging.raiseExceptions is on: the standard library's way.
            self.handleError(record)
        except Exception:  # noqa: BLE001 - handleError lets a RecursionError out
            self._counts.errors_unreported += 1

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except Exception:  # noqa: BLE001 - formatting runs the arguments' own code
            return self._repaired_message(record)

    def _repaired_message(self, record: logging.LogRecord) -> str:
        """Return the message with what cannot be had replaced, unformatted if need be."""
        template, replaced = clean_value(record.msg)
        arguments, more = clean_value(record.args)
        self._counts.values_replaced += replaced + more
        text = str(template)
        try:
            return text % arguments if arguments else text
        except Exception as error:  # noqa: BLE001 - a format may ask for what no value has
            self._counts.messages_unformatted += 1
            shown = repr(arguments)[:_MAX_SHOWN_ARGUMENTS]
            return f"{text} [not formatted: {describe(error)}; arguments: {shown}]"


@dataclass
class HandlerCounts:
    """What a handler has kept from the application.

    Attributes:
        values_replaced: Attribute values and arguments that could not be had; the record
            was sent with a placeholder that says why.
        messages_unformatted: Messages whose arguments did not fit their format; sent as
            they were written, with the reason. A formatter that raised counts too.
        records_lost: Records that could not be handed over at all: a processor raised.
        records_recursive: Records logged while a record was being handled, by a
            `__str__`, by OpenTelemetry or by an exporter; not sent, or there is no end.
        errors_unreported: Lost records that could not even be reported on stderr.
    """

    values_replaced: int = 0
    messages_unformatted: int = 0
    records_lost: int = 0
    records_recursive: int = 0
    errors_unreported: int = 0


def install_handler(
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
    """
    added: logging.Handler | None = None
    if found := _handlers_of(logger):
        for handler in found:
            make_safe(handler)
    else:
        added = LogwellLoggingHandler(threshold, provider)
        logger.addHandler(added)
    if threshold != logging.NOTSET and logger.getEffectiveLevel() > threshold:
        logger.setLevel(threshold)
    return added


def make_safe(handler: LoggingHandler, provider: LoggerProvider | None = None) -> None:
    """Have a handler of OpenTelemetry's do what `LogwellLoggingHandler` does.

    Its level and filters stay.

    Args:
        handler: The handler. One of ours, or one with an `emit` of its own, is left alone.
        provider: Where records go. Default: the global one.
    """
    if isinstance(handler, LogwellLoggingHandler) or "emit" in vars(handler):
        return
    safe = LogwellLoggingHandler(logger_provider=provider)
    safe.formatter = handler.formatter
    # On the object: its class is OpenTelemetry's, and other objects' of it.
    vars(handler).update(emit=safe.emit, flush=safe.flush)


def level_of(level: int | str) -> int:
    """Return the number of a logging level.

    Raises:
        LogwellError: `INVALID_CONFIG`: there is no such level.
    """
    if isinstance(level, int):
        return level
    number = logging.getLevelName(level.strip().upper())
    if isinstance(number, int):
        return number
    raise config_error(f"level: expected the name or number of a logging level, got {level!r}.")


def _handlers_of(logger: logging.Logger) -> list[LoggingHandler]:
    """OpenTelemetry's handlers that records of `logger` reach, ours among them."""
    found: list[LoggingHandler] = []
    current: logging.Logger | None = logger
    while current is not None:
        found += [handler for handler in current.handlers if isinstance(handler, LoggingHandler)]
        current = current.parent if current.propagate else None
    return found


def _exception_of(record: logging.LogRecord) -> BaseException | None:
    # Records that other libraries make or unpickle hold more than logging itself puts in.
    info: Any = record.exc_info
    candidate = info[1] if isinstance(info, tuple) and len(info) == 3 else info
    return candidate if isinstance(candidate, BaseException) else None


class _SafeProvider(LoggerProvider):
    """Stands between OpenTelemetry's handler and the real provider.

    The one place where a translated record can be made safe through public interfaces
    alone; and attributes whose names the standard library's records use themselves
    (`name`, `module`, `process`) pass only here.
    """

    def __init__(self, provider: LoggerProvider, counts: HandlerCounts) -> None:
        self._provider = provider
        self._counts = counts

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Logger:
        logger = self._provider.get_logger(name, version, schema_url, attributes)
        return logger if isinstance(logger, NoOpLogger) else _SafeLogger(name, logger, self._counts)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        flush = getattr(self._provider, "force_flush", None)
        return True if flush is None else bool(flush(timeout_millis))


class _SafeLogger(Logger):
    def __init__(self, name: str, logger: Logger, counts: HandlerCounts) -> None:
        super().__init__(name)
        self._logger = logger
        self._counts = counts

    def emit(self, record: LogRecord | None = None, **fields: Any) -> None:
        if record is None:
            self._logger.emit(**fields)
            return
        record.attributes, replaced = clean_attributes(record.attributes or {})
        add_context(record)
        record.body, more = clean_value(record.body)
        self._counts.values_replaced += replaced + more
        self._logger.emit(record)

    def enabled(self, **question: Any) -> bool:
        # Not in the interface before OpenTelemetry 1.45; there, every logger is.
        ask = getattr(self._logger, "enabled", None)
        return True if ask is None else bool(ask(**question))
