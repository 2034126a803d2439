"""A record that several handlers of ours are given is handed over once."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._otel import provider_of

if TYPE_CHECKING:
    import logging
    from types import FrameType

_MOST_TWINS: Final = 20_000
"""Records on their way through a queue that are remembered at most, some 5 MB."""


class Duplicates:
    """Tells of each record whether it has been handed to a provider before.

    Nothing is put into the record: formatters that print every attribute would show it.

    Attributes:
        possible: True once there are two handlers. Before that nobody need ask.
    """

    def __init__(self) -> None:
        self.possible = False
        self._handlers = 0
        self._given: weakref.WeakKeyDictionary[logging.LogRecord, list[object]] = (
            weakref.WeakKeyDictionary()
        )
        # Entered again where a signal handler logs.
        self._lock = threading.RLock()
        self._originals: dict[tuple[Any, ...], int] = {}
        self._copies: dict[tuple[Any, ...], int] = {}

    def one_more_handler(self) -> None:
        """There is one handler more."""
        self._handlers += 1
        self.possible = self._handlers > 1

    def has_been_given(self, record: logging.LogRecord, provider: object) -> bool:
        """Whether this record was handed to that provider; from now on it was."""
        try:
            given = self._given.setdefault(record, [])
        except Exception:  # noqa: BLE001 - of a class that cannot be hashed or referred to
            return False
        if any(known is provider for known in given):
            return True
        given.append(provider)
        return False

    def has_a_twin(self, record: logging.LogRecord, provider: object, *, copied: bool) -> bool:
        """Whether its original, or its copy that went through a queue, was handed over.

        A `QueueHandler` copies what it is given, and the copy may be handled before its
        original or after it. Whichever comes second has a twin.

        Args:
            record: The record.
            provider: Where it is to go.
            copied: True for one that comes out of a queue, False for one that also went
                into one.
        """
        fields = record.__dict__
        try:
            key = (id(provider), *(fields.get(name) for name in _SAME_IN_A_COPY))
            mine, others = self._originals, self._copies
            if copied:
                mine, others = others, mine
            with self._lock:
                if waiting := others.get(key, 0):
                    others[key] = waiting - 1
                    if waiting == 1:
                        del others[key]
                    return True
                mine[key] = mine.get(key, 0) + 1
                if len(mine) > _MOST_TWINS:
                    del mine[next(iter(mine))]
        except Exception:  # noqa: BLE001 - a field that cannot be hashed
            return False
        return False


_SAME_IN_A_COPY: Final = (
    "created",
    "relativeCreated",
    "process",
    "thread",
    "name",
    "levelno",
    "pathname",
    "lineno",
)

duplicates: Final = Duplicates()


STRUCTLOGS_INSTRUMENTATION: Final = "opentelemetry.instrumentation.structlog"
_NEAREST_FRAMES: Final = 16


def is_sent_by_structlog(provider: object) -> bool:
    """Whether OpenTelemetry's structlog instrumentation has sent what is being logged.

    It stands in structlog's chain of processors, and where structlog hands on to the standard
    library's logging, the event comes by here next, as the text that was made of it.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as `logging` itself does
    for _ in range(_NEAREST_FRAMES):
        if frame is None:
            break
        if frame.f_globals.get("__name__") == "structlog._base":
            chain = getattr(frame.f_locals.get("self"), "_processors", ())
            return any(
                type(processor).__module__ == STRUCTLOGS_INSTRUMENTATION
                and provider_of(processor) is provider
                for processor in chain
            )
        frame = frame.f_back
    return False


def comes_out_of_a_queue(record: logging.LogRecord) -> bool:
    """Whether it was logged by another thread of this process."""
    fields = record.__dict__
    # Of a record that was made by hand they may be any object, with a comparison of its own.
    thread, process = fields.get("thread"), fields.get("process")
    return (
        type(thread) is int
        and thread != threading.get_ident()
        and type(process) is int
        and process == os.getpid()
    )
