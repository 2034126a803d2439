"""The standard library's logging -> OpenTelemetry, where a logging call never raises.

One pass over a record and one translation, through OpenTelemetry's API alone. What it yields
is what OpenTelemetry's own handler yields, but for the differences that docs/context.md
names. That one (1.45) lets a bad %-format, an attribute whose `__str__` raises, a list that
contains itself and an exception whose text cannot be had raise out of `logger.info()` into
the application.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry._logs import (
    LogRecord,
    NoOpLogger,
    SeverityNumber,
    get_logger,
    get_logger_provider,
)
from opentelemetry.context import get_current
from opentelemetry.semconv.attributes import code_attributes
from opentelemetry.trace import INVALID_SPAN_CONTEXT, get_current_span

from logwell_otel._duplicates import comes_out_of_a_queue, duplicates
from logwell_otel._encoding.events import OWN_FIELDS, template_of, templates, unfolded
from logwell_otel._encoding.exceptions import exc_info_details, raised_at
from logwell_otel._encoding.mapping import level_of_logger
from logwell_otel._encoding.values import (
    MAX_CHARACTERS,
    Digits,
    bounded,
    clean_attributes,
    clean_value,
    describe,
    safe_str,
    showable,
    shown,
)
from logwell_otel._otel import (
    CleanAttributes,
    Goal,
    ReadWriteLogRecord,
    goal_of,
    provider_of,
    resolved,
)
from logwell_otel._process import Uninterrupted, is_exiting, is_interruption, losses
from logwell_otel._server_errors import is_a_servers
from logwell_otel._wire import TEMPLATE_ATTRIBUTE
from logwell_otel._writer import LOGGER_NAME
from logwell_otel.context import current_context
from logwell_otel.errors import config_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry._logs import LoggerProvider
    from typing_extensions import Self

_MAX_SHOWN_ARGUMENTS: Final = 200
_MAX_NAME: Final = 1024
# One for each named logger; a program that makes names up does not fill the memory.
_MAX_LOGGERS: Final = 2048
_MAX_SEVERITIES: Final = 64
# Texts up to here are not measured: in UTF-8 they take no more than an entry has room for.
_SHORT: Final = MAX_CHARACTERS // 4

# What logging itself puts into a record: https://docs.python.org/3/library/logging.html#logrecord-attributes
_FIELDS: Final = frozenset(
    {
        "args",
        "asctime",
        "created",
        "exc_info",
        "exc_text",
        "filename",
        "funcName",
        "getMessage",
        "levelname",
        "levelno",
        "lineno",
        "message",
        "module",
        "msecs",
        "msg",
        "name",
        "pathname",
        "process",
        "processName",
        "relativeCreated",
        "stack_info",
        "taskName",
        "thread",
        "threadName",
    }
)
_OWN_COUNT: Final = len(OWN_FIELDS)
_NOTHING: Final[dict[str, Any]] = dict.fromkeys(OWN_FIELDS)
# Attributes that long are taken as they are.
_PLAIN: Final = 1024

_ATTRIBUTES: Final = "opentelemetry.attributes"

# The stable name, and the one before it.
_EVENT: Final = "otel.event.name"
_EARLIER_EVENT: Final = "event.name"

_FILE: Final = code_attributes.CODE_FILE_PATH
_FUNCTION: Final = code_attributes.CODE_FUNCTION_NAME
_LINE: Final = code_attributes.CODE_LINE_NUMBER
_STACK: Final = code_attributes.CODE_STACKTRACE

# Seconds since 1970, in the years that the server's database has.
_FIRST: Final = -62_135_596_800.0
_LAST: Final = 253_402_300_800.0

# What `makeLogRecord` calls the level of a record that was given a number alone.
_NO_LEVEL: Final = "Level None"
# As OpenTelemetry's handler has them.
_TEXTS: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}

# From which of logging's levels on a record has at least that level: below DEBUG it is debug.
_THRESHOLDS: Final = {
    "debug": logging.NOTSET,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "off": sys.maxsize,
}

# %d, %5.2f, %(name)s: what a text in the place of a number cannot be formatted by.
_NUMBER_FORMAT: Final = re.compile(r"%(\([^)]*\))?[-#0 +]*\d*(?:\.\d+)?[hlL]?[diuoxXeEfFgG]")

_new: Final[Any] = object.__new__

# One for all handlers: what one of them logs by accident, the others must not pick up.
_emitting: ContextVar[bool] = ContextVar("logwell_otel_handler_emitting", default=False)


class TranslatingHandler(logging.Handler):
    """Hands records of the standard library's logging to OpenTelemetry, and never raises.

    What `LogwellHandler` and the handler that `configure` installs are made from.

    Whatever a record is made of, the logging call returns; what is wrong with it is
    replaced, counted in `counts` and said in the record. KeyboardInterrupt, SystemExit
    and other exceptions that are not `Exception` pass.

    Args:
        level: Records below it are left out. Default: none.
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.
        levels: Least severe levels by logger, in place of `level` for that logger and those
            below it: `{"httpx": "warn", "noisy": "off"}`. Default: none.
    """

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        logger_provider: LoggerProvider | None = None,
        levels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(level)
        self._provider = logger_provider
        # Numbers of logging's levels, of the handler's own under the name of all loggers.
        self._thresholds = {name: _THRESHOLDS[level] for name, level in (levels or {}).items()}
        self.setLevel(self.level)
        self._begin()

    def _begin(self) -> None:
        self._counts = HandlerCounts()
        self._uninterrupted = Uninterrupted(self._emit, self._drop)
        # None for those whose records go nowhere.
        self._goals: dict[str, Goal | None] = {}
        self._severities: dict[tuple[int, str], tuple[SeverityNumber | None, str]] = {}
        duplicates.one_more_handler()

    def __copy__(self) -> Self:
        """Another handler, with the same settings: what both are given is sent once."""
        made = _new(type(self))
        vars(made).update(vars(self), filters=self.filters[:])
        made.createLock()
        made._begin()  # noqa: SLF001 - our own class
        return cast("Self", made)

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - logging's name
        """Leave out records below `level`, but for loggers that have a level of their own."""
        super().setLevel(level)
        self._threshold = self.level
        # logging itself asks for this one before the handler is called.
        self.level: int = min([self.level, *self._thresholds.values()])

    @property
    def provider(self) -> object:
        """The LoggerProvider that records go to."""
        return resolved(self._provider)

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
        # Of values that OpenTelemetry cuts it warns for each: nothing of the application's.
        losses.get().count += record.name not in (LOGGER_NAME, _ATTRIBUTES)

    def _emit(self, record: logging.LogRecord) -> None:
        token = _emitting.set(True)
        try:
            fields = record.__dict__
            args = fields.get("args")
            if issubclass(type(fields.get("msg")), dict) and (
                args is None or (type(args) is tuple and args == ())
            ):
                record = unfolded(record)
                fields = record.__dict__
            name = fields.get("name")
            if self._thresholds and self._left_out(name, fields.get("levelno")):
                return
            try:
                goal = self._goals[name]  # type: ignore[index]
            except Exception:  # noqa: BLE001 - a new one, or one that cannot be looked up
                goal = self._goal(name)
            if goal is not None:
                self._hand_over(record, fields, goal)
        except Exception:  # noqa: BLE001 - logging never raises into the application
            self._counts.records_lost += 1
            self._report(record)
        finally:
            _emitting.reset(token)

    def handle(self, record: logging.LogRecord) -> Any:
        """Hand over a record that the handler's filters let pass, unless another one has.

        Without logging's lock, which `emit` does not need: threads do not wait for one another.
        """
        passed: Any = True
        if self.filters:
            try:
                passed = self.filter(record)
            except Exception:  # noqa: BLE001 - a filter is the application's code
                # Not sent: what the filter was to keep back, or take out, nobody knows.
                self._counts.records_lost += 1
                self._report(record)
                return False
            if not passed:
                return passed
            # Since Python 3.12 a filter may give another record.
            record = record if passed is True else passed
        if not (duplicates.possible and self._is_duplicate(record)):
            self.emit(record)
        return passed

    def _is_duplicate(self, record: logging.LogRecord) -> bool:
        """Whether this record, or the one that it is a copy of, has been handed over."""
        fields, provider = record.__dict__, self.provider
        if self._thresholds and self._left_out(fields.get("name"), fields.get("levelno")):
            return False
        if comes_out_of_a_queue(record) and duplicates.has_a_twin(record, provider, copied=True):
            return True
        return duplicates.has_been_given(record, provider)

    def format(self, record: logging.LogRecord) -> str:
        """Return the body of a record; called when a formatter is set."""
        try:
            return super().format(_without_exception(record))
        except Exception:  # noqa: BLE001 - a formatter is the application's code
            before = self.counts
            message = self._message(record)
            if self._counts == before:
                self._counts.messages_unformatted += 1
            return message

    def flush(self) -> None:
        """Ask the provider to flush, without waiting for it."""
        if is_exiting():
            return  # logging.shutdown() calls this there, and the exit delivers by itself
        provider = get_logger_provider() if self._provider is None else self._provider
        flush = getattr(provider, "force_flush", None)
        if not callable(flush):
            return
        try:
            # Under logging's lock, which a processor that logs would wait for.
            threading.Thread(target=flush, name="logwell-otel-flush").start()
        except RuntimeError:
            # Python 3.12 starts none any more at exit, where logging.shutdown() calls this.
            # The provider has its own exit handler.
            return

    def _left_out(self, name: object, level: object) -> bool:
        known = name if type(name) is str else _name(name)
        threshold = level_of_logger(known, self._thresholds)
        number = _whole(level)
        return number is not None and number < (self._threshold if threshold is None else threshold)

    def _goal(self, name: object) -> Goal | None:
        """Find the logger of OpenTelemetry's for one of logging's."""
        known = name if type(name) is str else _name(name)
        made = get_logger(known, logger_provider=self._provider)
        goal = None if isinstance(made, NoOpLogger) else goal_of(made)
        if len(self._goals) >= _MAX_LOGGERS:
            self._goals = {}
        self._goals[known] = goal
        return goal

    def _hand_over(  # noqa: C901, PLR0912, PLR0915 - a call costs more than most of these steps
        self, record: logging.LogRecord, fields: dict[str, Any], goal: Goal
    ) -> None:
        """Emit OpenTelemetry's record of one of logging's, made in one pass over it."""
        # Another thread may be formatting the same record, which adds to it.
        names = [*fields]
        if names[:_OWN_COUNT] == OWN_FIELDS:
            del names[:_OWN_COUNT]
        else:  # made by hand, or by a class of the application's
            fields = {**_NOTHING, **fields}
        try:
            number, text = self._severities[fields["levelno"], fields["levelname"]]
        except Exception:  # noqa: BLE001 - a new one, or one that cannot be looked up
            number, text = self._severity(fields["levelno"], fields["levelname"])
        body = self._message(record) if self.formatter is None else self.format(record)
        attributes: dict[str, Any] = {}
        plain = True
        for name in names:
            if name not in _FIELDS:
                value = attributes[name] = fields[name]
                # As most are. The rest is looked at with care, all of it together.
                kind = type(value)
                if kind is str:
                    if len(value) > _PLAIN:
                        plain = False
                elif not (kind is int or kind is float or kind is bool or value is None):
                    plain = False
                if type(name) is not str or not name:
                    plain = False
        if not plain:
            attributes, replaced = clean_attributes(attributes)
            self._counts.values_replaced += replaced
        event = None
        if _EVENT in attributes or _EARLIER_EVENT in attributes:
            event = _event_of(attributes)
        if templates.wanted and (template := template_of(fields)) is not None:
            attributes[TEMPLATE_ATTRIBUTE] = template
        if context := current_context():
            # In front, where OpenTelemetry's limit of attributes takes away first.
            attributes = {
                **{name: context[name] for name in context if name not in attributes},
                **attributes,
            }
        path, line, function = fields["pathname"], fields["lineno"], fields["funcName"]
        if type(path) is str and path:
            attributes[_FILE] = path
        if type(function) is str and function:
            attributes[_FUNCTION] = function
        if type(line) is not int:
            line = _whole(line)
        if line is not None and line > 0:
            attributes[_LINE] = line
        info, info_text, stack = fields["exc_info"], fields["exc_text"], fields["stack_info"]
        if info is not None or info_text is not None:
            attributes.update(exc_info_details(info, info_text))
            if is_a_servers(fields["name"], function):
                attributes.update(raised_at(info))
        if type(stack) is str and stack:
            attributes[_STACK] = bounded(stack)
        created = fields["created"]
        at = (
            int(created * 1e9)
            if type(created) is float and _FIRST <= created < _LAST
            else _nanoseconds(created)
        )
        if len(body) > _SHORT:
            body = bounded(body)
        dropped = 0
        if len(attributes) > goal.most >= 0:
            # The oldest, as OpenTelemetry does; it would log a warning for each.
            dropped = len(attributes) - goal.most
            attributes = dict(islice(attributes.items(), dropped, None))
        if goal.most >= 0:
            emit_clean(
                goal,
                timestamp=at,
                number=number,
                text=text,
                body=body,
                attributes=attributes,
                dropped=dropped,
                event=event,
            )
        else:
            made = LogRecord(
                timestamp=at,
                severity_text=text,
                severity_number=number,
                body=body,
                attributes=attributes,
                event_name=event,
            )
            goal.logger.emit(made)

    def _severity(self, levelno: object, levelname: object) -> tuple[SeverityNumber | None, str]:
        number = _whole(levelno)
        if type(levelname) is str and levelname and levelname != _NO_LEVEL:
            text = levelname
        elif levelname is None or type(levelname) is str:
            text = "" if number is None else safe_str(logging.getLevelName(number), _MAX_NAME)
        else:
            text = safe_str(levelname, _MAX_NAME)
        found = (severity_number(number), _TEXTS.get(text, text))
        if type(levelno) is int and type(levelname) is str:
            if len(self._severities) >= _MAX_SEVERITIES:
                self._severities = {}
            self._severities[levelno, levelname] = found
        return found

    def _report(self, record: logging.LogRecord) -> None:
        try:
            # On stderr, if logging.raiseExceptions is on: the standard library's way.
            self.handleError(record)
        except Exception:  # noqa: BLE001 - handleError lets a RecursionError out
            self._counts.errors_unreported += 1

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
            if message == "":
                # All that is left where what a formatter made became a record again.
                message = record.__dict__.get("message") or ""
            return message if type(message) is str else str.__str__(message)
        except Exception:  # noqa: BLE001 - formatting runs the arguments' own code
            fields = record.__dict__
            return self._repaired_message(fields.get("msg", ""), fields.get("args"))

    def _repaired_message(self, template: object, arguments: object) -> str:
        """Return the message with what cannot be had replaced, unformatted if need be."""
        plain, replaced = shown(template)
        text = str(plain)
        reason = ""
        # What has a text stays what it is, so that %d finds a number; what does not even work
        # a second time is not asked a third.
        for safe in (showable, shown):
            try:
                values, more = _each(arguments, safe)
                template = text
                if any(type(value) is Digits for value in _items(values)):
                    template = _NUMBER_FORMAT.sub(r"%\1s", text)
                message = str.__str__(template % values) if values else text
            except Exception as error:  # noqa: BLE001 - a format may ask for what no value has
                reason = reason or describe(error)
            else:
                self._counts.values_replaced += replaced + more
                return message
        plain, more = shown(arguments)
        self._counts.values_replaced += replaced + more
        self._counts.messages_unformatted += 1
        return f"{text} [not formatted: {reason}; arguments: {repr(plain)[:_MAX_SHOWN_ARGUMENTS]}]"


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


def number_of_level(level: str) -> int:
    """Return the number from which on a logger lets records of one of our levels pass."""
    return max(_THRESHOLDS[level], logging.DEBUG)


def make_safe(
    handler: logging.Handler,
    provider: LoggerProvider | None = None,
    levels: Mapping[str, str] | None = None,
) -> None:
    """Have a handler of OpenTelemetry's do what `TranslatingHandler` does.

    Its level and filters stay.

    Args:
        handler: The handler. One of ours, or one with an `emit` of its own, is left alone.
        provider: Where records go. Default: where the handler's went.
        levels: Least severe levels by logger, in place of the handler's own.
    """
    if isinstance(handler, TranslatingHandler) or "emit" in vars(handler):
        return
    goal = provider or cast("LoggerProvider", provider_of(handler))
    safe = TranslatingHandler(handler.level, goal, levels)
    safe.formatter, handler.level = handler.formatter, safe.level
    # On the object: its class is OpenTelemetry's, and other objects' of it.
    vars(handler).update(emit=safe.handle, flush=safe.flush)


def level_of(level: int | str) -> int:
    """Return the number of a logging level.

    Raises:
        LogwellError: `INVALID_CONFIG`: there is no such level.
    """
    if isinstance(level, int):
        return level
    try:
        number = logging.getLevelName(level.strip().upper())
    except AttributeError:  # it is no text
        number = None
    if isinstance(number, int):
        return number
    raise config_error(f"level: expected the name or number of a logging level, got {level!r}.")


def emit_clean(
    goal: Goal,
    *,
    timestamp: int | None,
    number: SeverityNumber | None,
    text: str | None,
    body: Any,
    attributes: dict[str, Any],
    dropped: int = 0,
    event: str | None,
) -> None:
    """Emit a record of attributes that are clean, and at most `goal.most`.

    What `Logger.emit(LogRecord(…))` does, without looking at the attributes once more.
    """
    context = get_current()
    try:
        span = get_current_span(context).get_span_context() if context else INVALID_SPAN_CONTEXT
    except Exception:  # noqa: BLE001 - a span may be of a class of the application's
        span = INVALID_SPAN_CONTEXT
    limits, logger = goal.limits, goal.logger
    clean = _new(CleanAttributes)
    clean.clean, clean.most = attributes, limits.max_log_record_attributes
    if dropped:
        clean.dropped = dropped
    log = _new(LogRecord)
    log.timestamp, log.observed_timestamp = timestamp, time_ns()
    log.context = context
    log.trace_id, log.span_id, log.trace_flags = span.trace_id, span.span_id, span.trace_flags
    log.severity_text, log.severity_number = text, number
    log.body, log.attributes, log.event_name, log.exception = body, clean, event, None
    record = _new(ReadWriteLogRecord)
    record.log_record, record.limits = log, limits
    record.resource, record.instrumentation_scope = logger.resource, logger.instrumentation_scope  # type: ignore[attr-defined]
    logger.emit(record)


def severity_number(level: int | None) -> SeverityNumber | None:
    """Return OpenTelemetry's number for one of logging's levels.

    As OpenTelemetry's own handler, but for the levels below DEBUG, which that one leaves
    without a number: they are its TRACE.

    Args:
        level: 10 is DEBUG, 50 CRITICAL. None gives None.
    """
    if level is None:
        return None
    if level <= 0:
        return SeverityNumber.UNSPECIFIED
    tens, ones = divmod(min(level, 59), 10)
    if tens == 0:
        ones -= 5  # 5 is what most libraries call TRACE
    return SeverityNumber(1 + 4 * tens + min(max(ones, 0), 3))


def _without_exception(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record of which a formatter makes the message alone: the rest are attributes."""
    fields = record.__dict__
    if not any(fields.get(name) is not None for name in ("exc_info", "exc_text", "stack_info")):
        return record
    alone = copy.copy(record)
    alone.exc_info = alone.exc_text = alone.stack_info = None
    return alone


def _each(
    arguments: object, safe: Callable[[object], tuple[Any, int]]
) -> tuple[tuple[Any, ...] | dict[str, Any], int]:
    """Make each of a record's arguments safe; a list, of a record that was JSON, is a tuple."""
    kind = type(arguments)
    if arguments is None:
        return (), 0
    if kind is dict:
        pairs = {name: safe(value) for name, value in cast("Any", arguments).items()}
        return {name: value for name, (value, _) in pairs.items()}, _total(pairs.values())
    if issubclass(kind, tuple):
        made = [safe(value) for value in tuple.__getitem__(cast("Any", arguments), slice(None))]
    elif kind is list:
        made = [safe(value) for value in cast("Any", arguments)]
    else:
        made = [safe(arguments)]
    return tuple(value for value, _ in made), _total(made)


def _total(made: Iterable[tuple[Any, int]]) -> int:
    return sum(replaced for _, replaced in made)


def _items(values: tuple[Any, ...] | dict[str, Any]) -> Iterable[Any]:
    return values.values() if type(values) is dict else values


def _event_of(attributes: dict[str, Any]) -> str | None:
    """Take the event's name out of attributes, under both names, whichever counts."""
    name, earlier = attributes.pop(_EVENT, None), attributes.pop(_EARLIER_EVENT, None)
    given = earlier if name is None else name
    return None if given is None else safe_str(given)


def _name(name: object) -> str:
    """Return the name of a logger that has none, or one that is no text."""
    return "unknown" if name is None else safe_str(name, _MAX_NAME) or "unknown"


def _whole(value: object) -> int | None:
    """Return a whole number that a field holds in some form, None for anything else."""
    if type(value) is int or value is None or type(value) is bool:
        return value if type(value) is int else None
    plain, _ = clean_value(value)
    if type(plain) is str:
        named = logging.getLevelName(plain.strip().upper())
        plain = named if type(named) is int else plain
    try:
        return int(float(plain))
    except (TypeError, ValueError, OverflowError):
        return None


def _nanoseconds(seconds: object) -> int | None:
    """Return a time since 1970, None for what is none: the time of observation counts."""
    plain, _ = clean_value(seconds)
    try:
        number = float(plain)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number * 1e9) if _FIRST <= number < _LAST and type(plain) is not bool else None
