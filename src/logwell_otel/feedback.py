"""Delivering a record must not make records.

Nothing that a request of ours logs or traces comes back, while the application's own
requests through the same libraries do.
Measured without it: with the root logger at DEBUG, one application record causes
requests for ever, since httpcore logs each step of a request.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context

from logwell_otel.otel import SUPPRESS_INSTRUMENTATION

if TYPE_CHECKING:
    from collections.abc import Iterator

_delivering: Final = ContextVar("logwell_otel_delivering", default=False)

# A filter on a parent logger does not see what its children log, so each is named.
_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _delivering.get()


def install() -> None:
    """Put the filter on the HTTP libraries' loggers. Doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_not_ours)


@contextmanager
def delivering() -> Iterator[None]:
    """Marks what runs inside, in this context, as delivery: not logged, not traced."""
    mark = _delivering.set(True)
    token = otel_context.attach(otel_context.set_value(SUPPRESS_INSTRUMENTATION, True))
    try:
        yield
    finally:
        otel_context.detach(token)
        _delivering.reset(mark)
