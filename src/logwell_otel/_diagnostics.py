"""What goes wrong: contained, told to people, and without anybody's secrets in it."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

from logwell_otel._clock import monotonic
from logwell_otel._writer import LOGGER_NAME, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from logwell_otel.errors import ErrorCallback, FlushCallback, LogwellError


__all__ = [
    "LOGGER_NAME",
    "Notices",
    "Once",
    "Secrets",
    "contained",
    "count",
    "described",
    "entries",
    "hide_keys",
    "is_for_the_program",
    "warn",
    "was",
]

_KEY_LIKE: Final = re.compile(r"lw_[A-Za-z0-9_-]{8,}")
_SHORTEST_SECRET: Final = 4
_MASK: Final = "***"
THROTTLE_SECONDS: Final = 60.0
_MAX_PENDING: Final = 1000


def is_for_the_program(error: BaseException) -> bool:
    """True for an exit or an interrupt on the main thread: a signal handler may have raised it.

    What ends a program must then end it, wherever it was. On any other thread `sys.exit()`
    and the like end that thread alone, which is OpenTelemetry's or ours and must live; and a
    cancelled task, or a generator that is closed, is never what runs here.
    """
    if isinstance(error, (Exception, GeneratorExit)) or type(error).__name__ == "CancelledError":
        return False
    return threading.current_thread() is threading.main_thread()


class contained:  # noqa: N801 - used as contextlib.suppress is
    """Runs a block for whose exceptions there is somebody to tell: none goes further.

    For code of other people, and for threads that must go on. What is meant for the program
    goes through, see `is_for_the_program`.

    Args:
        tell: Called with what was raised: says it, or counts it.
    """

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Any], object]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or is_for_the_program(error):
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
        clock: Callable[[], float] = monotonic,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._on_error = on_error
        self._on_flush = on_flush
        self._clock = clock
        self._say = say or warn_of_process
        self._pending: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        # Entered again where a signal handler logs in the middle of it.
        self._lock = threading.RLock()
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
        with contained(partial(self._callback_failed, callback)):
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
        with contained(self._could_not_write):
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
    with suppress(BaseException):  # its text cannot be made
        return f"{name}: {error}"
    return name


def warn_of_process(text: str) -> None:
    """A warning with the process id: several workers may write the same line to one stream."""
    warn(f"{text} [process {os.getpid()}]")


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
