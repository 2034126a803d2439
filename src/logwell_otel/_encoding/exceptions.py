"""An exception as the attributes of a record, once.

One unhandled exception passes several that log it: the request log, then the server
(`uvicorn.error`, `gunicorn.error`). The request's record is the complete one; it marks
the exception, and the logging handler leaves the stack trace out of what follows.
"""

from __future__ import annotations

import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from opentelemetry.semconv.attributes import code_attributes, exception_attributes

from logwell_otel._diagnostics import is_for_the_program
from logwell_otel._encoding.values import bounded, describe, type_name

_TYPE: Final = exception_attributes.EXCEPTION_TYPE
_MESSAGE: Final = exception_attributes.EXCEPTION_MESSAGE
_STACKTRACE: Final = exception_attributes.EXCEPTION_STACKTRACE
_MARK: Final = "__logwell_recorded__"
_REQUEST: Final = "__logwell_request__"

request_is_logged: Final[ContextVar[bool]] = ContextVar(
    "logwell_otel_request_is_logged", default=False
)
"""True inside of a request whose own record will have the exception that ends it."""
REQUEST_EXCEPTION: Final = "http.server.request.exception"
"""The event of an exception that FastAPI emits by OpenTelemetry's API, and others may
(https://opentelemetry.io/docs/specs/semconv/http/http-exceptions/)."""

# Past what an exception or its class has under these names.
_qualname_of: Final = type.__dict__["__qualname__"].__get__
_module_of: Final = type.__dict__["__module__"].__get__
_traceback_of: Final = BaseException.__dict__["__traceback__"].__get__


def exception_details(
    error: BaseException,
    *,
    stacktrace: bool = True,
    trace: TracebackType | None = None,
) -> dict[str, str]:
    """Describe an exception by the semantic conventions, never raising.

    Args:
        error: The exception, with its traceback where it has one.
        stacktrace: False leaves `exception.stacktrace` out.
        trace: Its traceback where it has none itself, as after a way through a pickle.

    Returns:
        `exception.type` (with its module unless that is `builtins`), `exception.message`,
        and `exception.stacktrace` with causes and contexts, as Python prints it.
    """
    details = {_TYPE: _name_of(type(error))}
    try:
        details[_MESSAGE] = bounded(str.__str__(str(error)))
    except BaseException as failure:  # the exception's own code may raise anything
        if is_for_the_program(failure):
            raise
        details[_MESSAGE] = f"<unprintable: {describe(failure)}>"
    if stacktrace:
        details[_STACKTRACE] = _stacktrace(error, _traceback_of(error) or trace)
    return details


def exc_info_details(info: object, text: object = None) -> dict[str, str]:
    """Describe the exception of a record of the standard library's logging, never raising.

    Such records are also made by hand, unpickled or read from a socket, and then hold what
    was left of it.

    Args:
        info: Its `exc_info`: an exception, or a tuple of type, exception and traceback, of
            which any may be missing. A text of several lines is taken for a stack trace.
        text: Its `exc_text`: the stack trace that a formatter made.

    Returns:
        As `exception_details`; without a stack trace where `is_recorded` says that it has
        been sent. Empty where there is no exception.
    """
    if info is None and text is None:
        return {}
    # Formatters for JSON have the stack trace in the exception's place.
    text = info if text is None and type(info) is str and "\n" in info else text
    kind = message = error = trace = None
    for part in info if type(info) is tuple or type(info) is list else (info,):
        found = type(part)
        if issubclass(found, BaseException):
            error = part
        elif issubclass(found, type) and issubclass(part, BaseException):
            kind = part
        elif found is TracebackType:
            trace = part
        elif found is str and part is not info:
            message = part
    if error is not None:
        details = exception_details(error, stacktrace=not is_recorded(error), trace=trace)
        if _STACKTRACE not in details or _traceback_of(error) or trace:
            return details
    else:
        details = {} if kind is None else {_TYPE: _name_of(kind)}
        if message is not None and kind is not None:
            details[_MESSAGE] = bounded(message)
        if trace is not None:
            name = details.get(_TYPE, "")
            last = f"{name}: {message}" if message else name
            details[_STACKTRACE] = bounded(_frames(trace) + last)
            return details
    if type(text) is str and text.strip():
        details[_STACKTRACE] = bounded(text)
    return details


def raised_at(info: object) -> dict[str, Any]:
    """Return where an exception was raised, and in which request, as attributes.

    Args:
        info: An exception, or what `exc_info` of a record holds.
    """
    parts = info if type(info) is tuple or type(info) is list else (info,)
    error = next((part for part in parts if issubclass(type(part), BaseException)), None)
    if error is None:
        return {}
    request = _marks_of(error).get(_REQUEST, {})
    trace = _traceback_of(error)
    if trace is None:
        return {**request}
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return {
        **request,
        code_attributes.CODE_FILE_PATH: code.co_filename,
        code_attributes.CODE_FUNCTION_NAME: code.co_name,
        code_attributes.CODE_LINE_NUMBER: trace.tb_lineno,
    }


def mark_recorded(error: BaseException) -> None:
    """Say that a record with this exception's stack trace has been emitted.

    An attribute on the exception itself, because nothing else is as long-lived and as
    exact: exceptions of built-in types take no weak reference, and holding the object
    elsewhere would keep every frame of its traceback alive.
    """
    # Past an overridden __setattr__: a frozen dataclass may well be an exception.
    BaseException.__setattr__(error, _MARK, True)


def mark_request(error: BaseException, attributes: dict[str, Any]) -> None:
    """Say what records of this exception's request carry: what logs it stands outside of that."""
    BaseException.__setattr__(error, _REQUEST, attributes)


def mark_request_exception(log: Any) -> None:
    """Mark the exception of such an event: the server logs it once more.

    The event gets the place where it was raised: its message is always the same, and the server
    would take all exceptions of an application for one incident.
    """
    if log.event_name == REQUEST_EXCEPTION:
        error = getattr(log, "exception", None)
        if isinstance(error, BaseException):
            mark_recorded(error)
            if isinstance(log.attributes, MutableMapping):
                for name, value in raised_at(error).items():
                    log.attributes.setdefault(name, value)


def is_recorded(error: BaseException | None) -> bool:
    """True if `mark_recorded` was called for this exception."""
    return error is not None and _MARK in _marks_of(error)


def _marks_of(error: BaseException) -> dict[str, Any]:
    try:
        marks = BaseException.__getattribute__(error, "__dict__")
    except Exception:  # noqa: BLE001 - its class may have a `__dict__` of its own making
        return {}
    return marks if type(marks) is dict else {}


def _name_of(kind: type) -> str:
    name, module = str.__str__(_qualname_of(kind)), _module_of(kind)
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"


def _stacktrace(error: BaseException, trace: TracebackType | None) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as failure:  # formatting runs the exception's own code
        if is_for_the_program(failure):
            raise
        text = f"{_frames(trace)}{type_name(error)} <not formatted: {describe(failure)}>"
    return bounded(text)


def _frames(trace: TracebackType | None) -> str:
    try:
        return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(trace))
    except Exception as failure:  # noqa: BLE001 - a module's loader is asked for its lines
        return f"<no stack trace: {describe(failure)}>\n"
