"""The sampler in front of a standard-library handler: a file, a console, anybody's."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

from opentelemetry import trace

from logwell_otel.sampling.sampler import RATE_ATTRIBUTE

if TYPE_CHECKING:
    from logwell_otel.sampling.sampler import Sampler
    from logwell_otel.wire import Level


class SamplingFilter(logging.Filter):
    """Lets a record pass when the sampler keeps it, and writes the rate on it.

    The rate becomes an attribute of the record, `%(sampling.rate)s` in a format. A record
    that has one was decided before and passes: the same filter may be on many handlers, and
    a record that came through a queue is not decided twice.

    Args:
        sampler: Decides.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self._sampler = sampler
        # A dropped record goes on to the next handler, where it must be dropped too
        # without being counted again. That happens in the same thread, before the thread
        # logs anything else.
        self._last = _Last()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes."""
        if RATE_ATTRIBUTE in record.__dict__:
            return True
        if self._last.dropped is not None and self._last.dropped() is record:
            return False
        try:
            level = level_of(record.levelno)
            message = "" if self._sampler.always_keeps(level) else record.getMessage()
            trace_id = trace.get_current_span().get_span_context().trace_id
            decision = self._sampler.decide(level, message, trace_id)
        except Exception:  # noqa: BLE001 - the handler's own report of a bad format says more
            return True
        if decision.keep:
            record.__dict__[RATE_ATTRIBUTE] = decision.rate
        else:
            self._last.dropped = weakref.ref(record)
        return decision.keep


class _Last(threading.local):
    dropped: weakref.ref[logging.LogRecord] | None = None


def level_of(number: int) -> Level:
    """Return the level of a standard-library record; numbers in between count downwards."""
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    if number < logging.ERROR:
        return "warn"
    return "error" if number < logging.CRITICAL else "fatal"
