"""Writes our warnings where people see them, on a thread that nobody waits for.

A standard error that nobody reads (`Popen(stderr=PIPE)`, a paused terminal, a stuck log
driver) blocks whoever writes to it, and a log handler of the application's may do anything.
A warning may cost itself, nothing else: neither the sender nor a caller nor the exit of the
program.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._process import PerProcess, Worker, at_the_very_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGGER_NAME: Final = "logwell_otel"
THREAD_NAME: Final = "LogwellWarnings"

_MOST_WAITING: Final = 100
_PATIENCE: Final = 0.2
"""Seconds that a caller, or the exit, waits at most for a warning to be written, so that it
stands where it belongs among the program's own lines. Not while another one hangs."""

# What a pipe takes without blocking once it takes anything: POSIX has it at 512 at least.
_PIECE: Final = getattr(select, "PIPE_BUF", 512)


class Writer:
    """Warnings on their way to handlers and to standard error. Belongs to one process.

    Attributes:
        unwritten: Warnings that were not written: too many were waiting, or a stream or a
            handler failed.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Any]] = deque()
        self._worker = Worker(THREAD_NAME, self._step)
        self._handler: logging.Handler | None = None
        self._hangs = False
        self._told = 0
        self.unwritten = 0
        at_the_very_end(self._exit, after_others=True)

    def write(self, text: str) -> None:
        """Have `text` written. Raises nothing, and waits for a moment at most."""
        written = threading.Lock()
        written.acquire()
        if len(self._waiting) >= _MOST_WAITING:
            with suppress(IndexError):  # taken by the thread meanwhile
                self._waiting.popleft()
                self.unwritten += 1
        self._waiting.append((text, written))
        if not self._worker.wake():
            while self._write_next(wait=False):  # at exit Python 3.12 starts no more threads
                pass
        elif not (self._hangs or self._worker.is_current_thread()):
            self._hangs = not written.acquire(timeout=_PATIENCE)

    def _step(self) -> float | None:
        return 0.0 if self._write_next(wait=True) else None

    def _write_next(self, *, wait: bool) -> bool:
        try:
            text, written = self._waiting.popleft()
        except IndexError:
            return False
        if unwritten := self.unwritten - self._told:
            self._told = self.unwritten
            text = f"{text} ({unwritten} of our warnings before this one could not be written.)"
        try:
            self._hand_out(text, wait=wait)
        except BaseException:  # noqa: BLE001 - a handler of the application's: counted
            self.unwritten += 1
        self._handler = None
        self._hangs = False
        written.release()
        return True

    def _hand_out(self, text: str, *, wait: bool) -> None:
        logger = logging.getLogger(LOGGER_NAME)
        if not logger.isEnabledFor(logging.WARNING):
            return  # somebody does not want to know
        record = logger.makeRecord(
            LOGGER_NAME, logging.WARNING, __file__, 0, "%s", (text,), None, "warn"
        )
        if not logger.filter(record):
            return
        handlers = [*handlers_of(logger)] or [*filter(None, [logging.lastResort])]
        for handler in handlers:
            if record.levelno >= handler.level:
                self._hand_to(handler, record, wait=wait)
        listening = [each for each in handlers if not isinstance(each, logging.NullHandler)]
        # With zero-code instrumentation the only handler is OpenTelemetry's, which turns the
        # line into a record; ours are never exported by us, so it also goes to stderr.
        if listening and all(is_opentelemetry(type(each)) for each in listening):
            self._to_stream(sys.stderr, f"{LOGGER_NAME}: {text}\n", wait=wait)

    def _hand_to(self, handler: logging.Handler, record: logging.LogRecord, *, wait: bool) -> None:
        stream = getattr(handler, "stream", None)
        plain = getattr(type(handler), "emit", None) is logging.StreamHandler.emit
        if plain and stream in (sys.stderr, sys.stdout):
            # Not by its own `emit`: that would wait for the stream with the handler's lock in
            # its hand, which `logging.shutdown` waits for at exit, and what a full disk does
            # not take would stay in the stream and turn the program's exit status into 120.
            if handler.filter(record):
                terminator = handler.terminator  # type: ignore[attr-defined] # a StreamHandler
                self._to_stream(stream, handler.format(record) + terminator, wait=wait)
            return
        if (descriptor := _descriptor(stream)) is not None:
            self._wait_for(descriptor, wait=wait)
        elif not wait and not is_opentelemetry(type(handler)):
            # Nobody knows how long it takes, and there is no thread to find out.
            self._to_stream(sys.stderr, f"{LOGGER_NAME}: {record.getMessage()}\n", wait=False)
            return
        self._handler = handler
        handler.handle(record)
        self._handler = None

    def _to_stream(self, stream: Any, text: str, *, wait: bool) -> None:
        descriptor = _descriptor(stream)
        if descriptor is None:
            # None (pythonw, a daemon) or closed: there is nobody left to tell. Any other has no
            # descriptor because somebody collects what is written to it.
            with suppress(AttributeError, OSError, ValueError):
                stream.write(text)
                stream.flush()
            return
        # Not through the stream: what blocks in it holds its lock, for which the interpreter
        # waits at exit, and aborts. One that was not flushed keeps its lines for later.
        data = text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace")
        for start in range(0, len(data), _PIECE):
            self._wait_for(descriptor, wait=wait)
            os.write(descriptor, data[start : start + _PIECE])

    def _wait_for(self, descriptor: int, *, wait: bool) -> None:
        """Wait until it can be written to; without `wait`, raise if it cannot be now."""
        if not hasattr(select, "poll"):
            return  # Windows, where a pipe cannot be asked
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if poll.poll(0):
            return
        if not wait:
            raise BlockingIOError("nobody reads it")
        self._hangs = True
        poll.poll()

    def _exit(self) -> None:
        with suppress(IndexError):  # nothing waits
            _, written = self._waiting[-1]
            if not self._hangs and self._worker.running:
                written.acquire(timeout=_PATIENCE)
        if (handler := self._handler) is not None:
            # It hangs, and `logging.shutdown`, which comes next, waits for its lock.
            handler.createLock()

    def __repr__(self) -> str:
        return f"<Writer {len(self._waiting)} waiting, {self.unwritten} unwritten>"


_writer: Final = PerProcess(Writer)


def warn(text: str) -> None:
    """Log a warning where a person sees it. Waits for nobody, and raises nothing."""
    _writer.get().write(text)


def unwritten() -> int:
    """Warnings of this process that could not be written."""
    return _writer.get().unwritten


def _descriptor(stream: Any) -> int | None:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None


def handlers_of(logger: logging.Logger) -> Iterator[logging.Handler]:
    """The handlers that records of `logger` reach."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def _is_opentelemetry(kind: type) -> bool:
    # By name: importing them to ask would take packages that need not be there.
    return any(
        (base.__module__.startswith("opentelemetry.") and base.__name__ == "LoggingHandler")
        or (
            base.__module__ == "logwell_otel._translation" and base.__name__ == "TranslatingHandler"
        )
        for base in kind.__mro__
    )


is_opentelemetry: Final[Callable[[type], bool]] = lru_cache(maxsize=256)(_is_opentelemetry)
"""True for a class of handlers that hand records to OpenTelemetry: its own two, and ours."""
