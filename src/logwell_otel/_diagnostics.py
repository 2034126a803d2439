"""What goes wrong: contained, told to people, and without anybody's secrets in it."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from logwell_otel.errors import ErrorCallback, FlushCallback, LogwellError


LOGGER_NAME: Final = "logwell_otel"
_KEY_LIKE: Final = re.compile(r"lw_[A-Za-z0-9_-]{8,}")
_SHORTEST_SECRET: Final = 4
_MASK: Final = "***"
THROTTLE_SECONDS: Final = 60.0
_MAX_PENDING: Final = 1000


class contained:  # noqa: N801 - used as contextlib.suppress is
    """Runs a block for whose exceptions there is somebody to tell: none goes further.

    For code of other people, and for threads that must go on.

    Args:
        tell: Called with what was raised: says it, or counts it.
        exits: True contains `sys.exit()` and a cancelled task as well. They cannot end a
            program from a thread of ours, but would end the thread. An interrupt goes
            through in any case.
    """

    __slots__ = ("_exits", "_tell")

    def __init__(self, tell: Callable[[Any], object], *, exits: bool = False) -> None:
        self._tell = tell
        self._exits = exits

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            return False
        if not (self._exits or isinstance(error, Exception)):
            return False
        self._tell(error)
        return True


class Notices:
    """Collects what there is to tell, and tells it when `dispatch` is called.

    Whatever happens is put here by any thread and told by the sender's, outside every lock:
    a callback that logs, flushes or takes long can then neither deadlock nor hold up the
    application.

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
        self._pending: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}
        self.failed_callbacks = 0
        """Exceptions that callbacks, and logging handlers that got a warning, raised."""
        self.untold = 0
        """Calls and warnings left out because too many were pending."""
        self._untold_said = 0

    def error(self, error: LogwellError) -> None:
        """Hand `error` to `on_error`."""
        if self._on_error is not None:
            self._add(self._call, self._on_error, error)

    def flushed(self, count: int) -> None:
        """Hand `count` to `on_flush`."""
        if self._on_flush is not None and count:
            self._add(self._call, self._on_flush, count)

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
                text = f"{text} ({left_out} more like this since it was last said.)"
        self._add(self._write, text)

    def _add(self, function: Callable[..., Any], *arguments: Any) -> None:
        with self._lock:
            # Bounded: a callback that hangs must not make this grow.
            if len(self._pending) >= _MAX_PENDING:
                self._pending.popleft()
                self.untold += 1
            self._pending.append((function, arguments))

    def dispatch(self, *, callbacks: bool = True) -> None:
        """Tell everything that is pending. Runs foreign code: hold no lock.

        Args:
            callbacks: False writes the warnings only, and leaves the calls pending.
        """
        while True:
            with self._lock:
                if (telling := self._next(callbacks=callbacks)) is None:
                    return
                left_out, self._untold_said = self.untold - self._untold_said, self.untold
            function, arguments = telling
            if left_out:
                self._write(
                    f"{left_out} warnings and calls of on_error and on_flush were left out: a "
                    "callback takes longer than what it is called for."
                )
            function(*arguments)

    def _next(self, *, callbacks: bool) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        for place, (function, _) in enumerate(self._pending):
            if callbacks or function == self._write:
                telling = self._pending[place]
                del self._pending[place]
                return telling
        return None

    def _call(self, callback: Callable[[Any], object], value: object) -> None:
        with contained(partial(self._callback_failed, callback), exits=True):
            callback(value)

    def _callback_failed(self, callback: Callable[[Any], object], error: BaseException) -> None:
        self.failed_callbacks += 1
        # Not its repr: that of a functools.partial shows its arguments.
        name = getattr(callback, "__qualname__", type(callback).__qualname__)
        self.say(
            f"The callback {name} raised {described(error)}. Delivery goes on without it.",
            about=f"callback {name}",
        )

    def _write(self, text: str) -> None:
        with contained(self._could_not_write, exits=True):
            self._say(hide_keys(text))

    def _could_not_write(self, _: BaseException) -> None:
        # A handler of the application's raised instead of writing: there is no better way to
        # say so than the one that just failed.
        self.failed_callbacks += 1


class Once:
    """Says when something begins to fail and when it works again, not each time in between.

    Args:
        subject: What, as a sentence begins.
        consequence: What that means, as a sentence.
        say: Writes a warning for people. What it raises is counted.

    Attributes:
        failures: Since it worked last.
        unsaid: Warnings that a logging handler of the application raised for.
    """

    def __init__(self, subject: str, consequence: str, say: Callable[[str], object]) -> None:
        self._subject = subject
        self._consequence = consequence
        self._say = say
        self.failures = 0
        self.unsaid = 0

    def failed(self, what: str) -> None:
        """It failed; said the first time only."""
        self.failures += 1
        if self.failures == 1:
            self._write(f"{self._subject} {what}. {self._consequence}")

    def worked(self, what: str) -> None:
        """It worked; said if it had failed."""
        if self.failures:
            self.failures = 0
            self._write(f"{self._subject} {what} again.")

    def _write(self, text: str) -> None:
        with contained(self._could_not_write):
            self._say(hide_keys(text))

    def _could_not_write(self, _: Exception) -> None:
        # A handler of the application's raised: there is nobody left to tell.
        self.unsaid += 1


def described(error: BaseException) -> str:
    """Its class and text, whatever its `__str__` does."""
    name = type(error).__name__
    with suppress(Exception):  # its text cannot be made
        return f"{name}: {error}"
    return name


def warn(text: str) -> None:
    """Log a warning where a person sees it.

    With zero-code instrumentation the only handler is OpenTelemetry's, which turns the
    line into a record; ours are never exported by us, so it also goes to stderr.
    """
    logger = logging.getLogger(LOGGER_NAME)
    logger.warning("%s", text)
    if not logger.isEnabledFor(logging.WARNING):
        return  # somebody does not want to know
    handlers = [
        handler for handler in handlers_of(logger) if not isinstance(handler, logging.NullHandler)
    ]
    if handlers and all(is_opentelemetry(handler) for handler in handlers):
        # Not print(), which takes stdout where there is no stderr.
        with suppress(AttributeError, OSError, ValueError):
            # None (pythonw, a daemon), full or closed: there is nobody left to tell.
            sys.stderr.write(f"{LOGGER_NAME}: {text}\n")
            sys.stderr.flush()


def handlers_of(logger: logging.Logger) -> list[logging.Handler]:
    """The handlers that records of `logger` reach."""
    handlers: list[logging.Handler] = []
    current: logging.Logger | None = logger
    while current is not None:
        handlers += current.handlers
        current = current.parent if current.propagate else None
    return handlers


def is_opentelemetry(handler: logging.Handler) -> bool:
    """True for a handler that hands records to OpenTelemetry: its own two, and ours."""
    return _is_opentelemetrys(type(handler))  # type: ignore[arg-type] # a class has a hash


@lru_cache(maxsize=256)
def _is_opentelemetrys(kind: type) -> bool:
    # By name: importing them to ask would take packages that need not be there.
    return any(
        (base.__module__.startswith("opentelemetry.") and base.__name__ == "LoggingHandler")
        or (base.__module__ == "logwell_otel.handler" and base.__name__ == "LogwellHandler")
        for base in kind.__mro__
    )


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 entry`, `2 entries`; `many` is by default `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def entries(number: int) -> str:
    """`1 entry`, `2 entries`."""
    return count(number, "entry", "entries")


def was(number: int) -> str:
    """`was` or `were`."""
    return "was" if number == 1 else "were"


class Secrets:
    """Takes secrets out of texts that somebody else wrote: exceptions, servers' answers.

    Args:
        texts: What to hide, besides everything that looks like an API key.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        # Also as an exception or a URL would quote them.
        forms = {form for text in texts for form in (text, repr(text)[1:-1], _quoted(text))}
        # The longest first: a secret that is part of another would leave the rest of it.
        self._texts = sorted(
            (form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True
        )

    def mask(self, text: str) -> str:
        """`text` with every secret replaced by `***`; those under 4 characters stay."""
        for secret in self._texts:
            text = text.replace(secret, _MASK)
        return hide_keys(text)

    def __repr__(self) -> str:
        return "<Secrets>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Secrets are not pickled: they would leave the process in clear text")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def hide_keys(text: str) -> str:
    """`text` without anything that could be a key: people swap two variables."""
    return _KEY_LIKE.sub(_MASK, text)
