"""What a record's message is made of: the template, or a dictionary.

Of a dictionary the event is the message and the rest attributes. It is what structlog's
`wrap_for_formatter` hands to the standard library, and what
`logger.info({"event": "order placed", "order_id": 7})` does.
"""

from __future__ import annotations

import copy
import logging
import sys
from typing import Any, Final, cast

from logwell_otel._encoding.values import bounded, safe_str

_MAX_NAME: Final = 1024
_MESSAGES: Final = ("event", "message", "msg")

# What structlog puts into an event for its own use, or what the record has anyway.
_OF_STRUCTLOG: Final = frozenset(
    {
        "_from_structlog",
        "_logger",
        "_name",
        "_record",
        "level",
        "level_number",
        "logger",
        "timestamp",
    }
)

# structlog's CallsiteParameterAdder; the record's own are those of the call as well, but where
# structlog logs from another thread.
_CALL_SITE: Final = {
    "filename": "filename",
    "func_name": "funcName",
    "lineno": "lineno",
    "module": "module",
    "pathname": "pathname",
    "process": "process",
    "process_name": "processName",
    "thread": "thread",
    "thread_name": "threadName",
}

OWN_FIELDS: Final = [*vars(logging.LogRecord("", 0, "", 0, "", None, None))]
"""What a record has before anybody has added to it, in order.

`makeLogRecord` would ask the application's record factory, whose additions are attributes.
"""

_TAKEN: Final = frozenset(OWN_FIELDS) | {"asctime", "message", "taskName"}


class Templates:
    """Whether records carry their message's template as an attribute.

    Attributes:
        wanted: True once an exporter of this process has the setting `message_template`.
            Handlers do not know what is behind their provider.
    """

    def __init__(self) -> None:
        self.wanted = False


templates: Final = Templates()


def template_of(fields: dict[str, Any]) -> str | None:
    """Return what a record's arguments are formatted into, None where there are none.

    A message without arguments is no template: values may have been written into it.
    """
    template, arguments = fields.get("msg"), fields.get("args")
    if type(template) is not str or not template:
        return None
    if type(arguments) not in (tuple, dict, list) or not arguments:
        return None
    return bounded(template)


def unfolded(record: logging.LogRecord) -> logging.LogRecord:
    """Make a record of one whose message is a dictionary; that one stays as it is.

    Args:
        record: Its `msg` is a dictionary.

    Returns:
        A record with the event as message (all of the dictionary where it names none), its
        exception in `exc_info` or `exc_text`, and everything else as attributes. A name that
        a record has itself ends with an underscore: `name_`.
    """
    try:
        return _unfolded(record)
    except Exception:  # noqa: BLE001 - names may be objects of any kind: it is sent as it is
        return record


def _unfolded(record: logging.LogRecord) -> logging.LogRecord:
    # A name that is no text may have code of its own for everything, comparison included.
    event = {
        name if type(name) is str else safe_str(name, _MAX_NAME): value
        for name, value in cast("dict[Any, Any]", record.msg).items()
    }
    fields = record.__dict__.copy()
    fields["args"] = None
    message = next((name for name in _MESSAGES if name in event), None)
    if message is not None:
        fields["msg"] = event.pop(message)
    if "_from_structlog" in event and type(event.get("positional_args")) is tuple:
        # Of structlog's loggers for the standard library, in front of its formatter for them.
        fields["args"] = event.pop("positional_args")
    _exception(event, fields)
    if "_logger" in fields or "_from_structlog" in event:
        for own in ("_logger", "_name"):
            fields.pop(own, None)
        for parameter, field in _CALL_SITE.items():
            if parameter in event:
                fields[field] = event.pop(parameter)
        event = {name: value for name, value in event.items() if name not in _OF_STRUCTLOG}
    for name, value in event.items():
        fields[f"{name}_" if name in _TAKEN else name] = value
    made = copy.copy(record)
    made.__dict__ = fields
    return made


def _exception(event: dict[str, Any], fields: dict[str, Any]) -> None:
    """Move what structlog has of an exception and a stack to where logging has it."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException) or (type(info) is tuple and info[:1] != (None,)):
        fields["exc_info"] = info
    if type(event.get("exception")) is str:
        fields["exc_text"] = event.pop("exception")
    if type(event.get("stack")) is str:
        fields["stack_info"] = event.pop("stack")
    event.pop("stack_info", None)
