"""An exception as the attributes of a record, once.

One unhandled exception passes several that log it: the request log, then the server
(`uvicorn.error`, `gunicorn.error`). The request's record is the complete one; it marks
the exception, and the logging handler leaves the stack trace out of what follows.
"""

from __future__ import annotations

import traceback

from opentelemetry.semconv.attributes import exception_attributes

from logwell_otel._diagnostics import is_for_the_program
from logwell_otel._encoding.values import describe

_MARK = "__logwell_recorded__"


def exception_details(error: BaseException, *, stacktrace: bool = True) -> dict[str, str]:
    """Describe an exception by the semantic conventions, never raising.

    Args:
        error: The exception, with its traceback where it has one.
        stacktrace: False leaves `exception.stacktrace` out.

    Returns:
        `exception.type` (with its module unless that is `builtins`), `exception.message`,
        and `exception.stacktrace` with causes and contexts, as Python prints it.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", None):
        name = f"{kind.__module__}.{name}"
    details = {exception_attributes.EXCEPTION_TYPE: name}
    try:
        details[exception_attributes.EXCEPTION_MESSAGE] = str(error)
    except BaseException as failure:  # the exception's own code may raise anything
        if is_for_the_program(failure):
            raise
        details[exception_attributes.EXCEPTION_MESSAGE] = f"<unprintable: {describe(failure)}>"
    if stacktrace:
        details[exception_attributes.EXCEPTION_STACKTRACE] = _stacktrace(error)
    return details


def mark_recorded(error: BaseException) -> None:
    """Say that a record with this exception's stack trace has been emitted.

    An attribute on the exception itself, because nothing else is as long-lived and as
    exact: exceptions of built-in types take no weak reference, and holding the object
    elsewhere would keep every frame of its traceback alive.
    """
    # Past an overridden __setattr__: a frozen dataclass may well be an exception.
    BaseException.__setattr__(error, _MARK, True)


def is_recorded(error: BaseException) -> bool:
    """True if `mark_recorded` was called for this exception."""
    return _MARK in BaseException.__getattribute__(error, "__dict__")


def _stacktrace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except BaseException as failure:  # formatting runs the exception's own code
        if is_for_the_program(failure):
            raise
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}<not formatted: {describe(failure)}>"
