"""Telling people: callbacks and warnings, from one thread, outside every lock.

Whatever happens is put here by any thread and told by the sender's: a callback that logs,
flushes or takes long can then neither deadlock nor hold up the application.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwell_otel.config import ErrorCallback, FlushCallback
    from logwell_otel.errors import LogwellError

LOGGER_NAME: Final = "logwell_otel"
THROTTLE_SECONDS: Final = 60.0
_MAX_PENDING: Final = 1000


class Notices:
    """Collects what there is to tell, and tells it when `dispatch` is called.

    Args:
        on_error: Called with every `LogwellError`.
        on_flush: Called with the number of entries each time some were stored.
        clock: Monotonic clock, in seconds.
        say: Writes a warning for people; by default through the standard library's
            logging, and to stderr where only OpenTelemetry would hear it.
    """

    def __init__(
        self,
        on_error: ErrorCallback | None = None,
        on_flush: FlushCallback | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._on_error = on_error
        self._on_flush = on_flush
        self._clock = clock
        self._say = say or warn
        # Bounded: a callback that hangs must not make this grow. Told newest last.
        self._pending: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque(
            maxlen=_MAX_PENDING
        )
        self._lock = threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}
        self.failed_callbacks = 0
        """Exceptions that callbacks raised."""
        self.failed_warnings = 0
        """Exceptions that the application's own log handlers raised at our warnings."""

    def error(self, error: LogwellError) -> None:
        """Hand `error` to `on_error`."""
        if self._on_error is not None:
            self._pending.append((self._call, (self._on_error, error)))

    def flushed(self, count: int) -> None:
        """Hand `count` to `on_flush`."""
        if self._on_flush is not None and count:
            self._pending.append((self._call, (self._on_flush, count)))

    def say(self, text: str, *, about: str | None = None) -> None:
        """Write a warning.

        Args:
            text: The warning.
            about: A topic that is told at most once a minute; what was left out is then
                counted and said with the next one. None: said every time.
        """
        if about is not None:
            now = self._clock()
            with self._lock:
                told_at, left_out = self._told.get(about, (-THROTTLE_SECONDS, 0))
                if now - told_at < THROTTLE_SECONDS:
                    self._told[about] = (told_at, left_out + 1)
                    return
                self._told[about] = (now, 0)
            if left_out:
                text = f"{text} ({left_out} more like this in the last minute.)"
        self._pending.append((self._write, (text,)))

    def dispatch(self) -> None:
        """Tell everything that is pending. Runs foreign code: hold no lock."""
        while self._pending:
            try:
                function, arguments = self._pending.popleft()
            except IndexError:  # another thread was faster: two of them stop at once
                return
            function(*arguments)

    def _write(self, text: str) -> None:
        # Logging runs the application's handlers and filters. One that raises would end the
        # sender's thread, and at shutdown reach the application.
        try:
            self._say(text)
        except Exception:  # noqa: BLE001 - counted; there is no other way to say anything
            self.failed_warnings += 1

    def _call(self, callback: Callable[[Any], object], value: object) -> None:
        try:
            callback(value)
        except Exception as error:  # noqa: BLE001 - counted, and said once a minute
            self.failed_callbacks += 1
            name = getattr(callback, "__qualname__", repr(callback))
            self.say(
                f"The callback {name} raised {type(error).__name__}: {error}. "
                "Delivery goes on without it.",
                about=f"callback {name}",
            )


def warn(text: str) -> None:
    """Log a warning where a person sees it.

    With zero-code instrumentation the only handler is OpenTelemetry's, which turns the
    line into a record; ours are never exported by us, so it also goes to stderr.
    """
    logger = logging.getLogger(LOGGER_NAME)
    logger.warning("%s", text)
    handlers = _handlers_of(logger)
    if handlers and all(_is_opentelemetry(handler) for handler in handlers):
        try:
            print(f"{LOGGER_NAME}: {text}", file=sys.stderr, flush=True)  # noqa: T201
        except (AttributeError, OSError, ValueError):
            # No stderr (pythonw, a daemon) or a closed one: there is nobody left to tell.
            return


def _handlers_of(logger: logging.Logger) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    current: logging.Logger | None = logger
    while current is not None:
        handlers += current.handlers
        current = current.parent if current.propagate else None
    return handlers


def _is_opentelemetry(handler: logging.Handler) -> bool:
    return any(
        base.__module__.startswith("opentelemetry.") and base.__name__ == "LoggingHandler"
        for base in type(handler).__mro__
    )
