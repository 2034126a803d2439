"""Records for exceptions that nothing caught, on the main thread and on others."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from logwell_otel._encoding.exceptions import (
    exception_details,
    is_recorded,
    mark_recorded,
    raised_at,
)
from logwell_otel._encoding.values import describe
from logwell_otel.context import add_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry._logs import LoggerProvider

_SCOPE = "logwell_otel.uncaught"


class UncaughtCapture:
    """What `capture_uncaught` returns.

    Attributes:
        failures: Exceptions left without a record because emitting it raised.
    """

    def __init__(self, logger_provider: LoggerProvider | None = None) -> None:
        self.failures: int = 0
        self._logger = get_logger(_SCOPE, logger_provider=logger_provider)
        self._active = False
        self._sys_before: Callable[..., Any] = sys.excepthook
        self._threading_before: Callable[..., Any] = threading.excepthook
        # Bound once: restoring compares identities.
        self._sys_hook = self._on_main
        self._threading_hook = self._on_thread

    def install(self) -> None:
        """Install the hooks, in front of those that are already there."""
        self._active = True
        self._sys_before, sys.excepthook = sys.excepthook, self._sys_hook
        self._threading_before, threading.excepthook = threading.excepthook, self._threading_hook

    def uninstall(self) -> None:
        """Stop recording, and restore the earlier hooks where ours are still in front."""
        global _installed  # noqa: PLW0603 - sys.excepthook is one for the process
        self._active = False
        if sys.excepthook is self._sys_hook:
            sys.excepthook = self._sys_before
        if threading.excepthook is self._threading_hook:
            threading.excepthook = self._threading_before
        if _installed is self:
            _installed = None

    def _on_main(
        self,
        kind: type[BaseException],
        error: BaseException,
        traceback: TracebackType | None,
    ) -> None:
        self._record(error, SeverityNumber.FATAL, "FATAL", {})
        self._sys_before(kind, error, traceback)

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        attributes = {} if args.thread is None else {"thread.name": args.thread.name}
        self._record(args.exc_value, SeverityNumber.ERROR, "ERROR", attributes)
        self._threading_before(args)

    def _record(
        self,
        error: BaseException | None,
        severity: SeverityNumber,
        text: str,
        attributes: dict[str, Any],
    ) -> None:
        # KeyboardInterrupt and SystemExit end a program, they do not fail it.
        if not self._active or not isinstance(error, Exception):
            return
        try:
            details = exception_details(error, stacktrace=not is_recorded(error))
            record = LogRecord(
                severity_number=severity,
                severity_text=text,
                body=f"Uncaught {describe(error)}",
                attributes={**raised_at(error), **details, **attributes},
            )
            add_context(record)
            self._logger.emit(record)
            mark_recorded(error)
        except Exception:  # noqa: BLE001 - the hook that prints the traceback must still run
            self.failures += 1


_installed: UncaughtCapture | None = None


def capture_uncaught(logger_provider: LoggerProvider | None = None) -> UncaughtCapture:
    """Emit a record for every uncaught exception of the main thread and of threads.

    Fatal on the main thread, error on others (with `thread.name`), with type, message, stack
    trace and the line that raised it. The hooks that were there run afterwards, as before.
    Called again, it changes nothing.

    An asyncio task's unretrieved exception needs no hook: asyncio logs it, with its
    traceback, to the logger `asyncio`, on uvloop too, and the logging handler sends it.

    Args:
        logger_provider: Where records go. Default: the global one, also when it is set
            only later.

    Returns:
        The installed capture; `uninstall()` ends it.
    """
    global _installed  # noqa: PLW0603 - sys.excepthook is one for the process
    if _installed is None:
        _installed = UncaughtCapture(logger_provider)
        _installed.install()
    return _installed
