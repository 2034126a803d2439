"""What can go wrong, by name."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class LogwellErrorCode(str, Enum):
    """Every outcome that is not a stored entry has one of these codes."""

    NETWORK_ERROR = "NETWORK_ERROR"
    """No answer: connecting, TLS, a time-out, a lost connection. Retried."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """The server refused the API key (401). Entries stay held."""
    VALIDATION_ERROR = "VALIDATION_ERROR"
    """The server refused entries for what they are. Never sent again."""
    RATE_LIMITED = "RATE_LIMITED"
    """More requests than the server takes (429). Retried, more slowly."""
    SERVER_ERROR = "SERVER_ERROR"
    """An answer that says nothing about the entries (5xx, a proxy's page). Retried."""
    QUEUE_OVERFLOW = "QUEUE_OVERFLOW"
    """More entries than can be held: the oldest were dropped."""
    EXPIRED = "EXPIRED"
    """Entries waited in the spool for longer than `spool_max_age`, and were dropped."""
    INTERNAL_ERROR = "INTERNAL_ERROR"
    """An error of this process, which can make no request, or a defect. Retried."""
    INVALID_CONFIG = "INVALID_CONFIG"
    """A setting is wrong, or the server redirects elsewhere."""

    def __str__(self) -> str:
        return self.value


class LogwellError(Exception):
    """One failure, with what a program needs to act on it.

    Raised only while an exporter is being constructed (`INVALID_CONFIG`);
    afterwards handed to `on_error`, never raised into the application.

    Args:
        message: What happened, what it means and what to do. Never holds the
            API key, header values or proxy credentials.
        code: One of `LogwellErrorCode`.
        status_code: HTTP status of the answer, None where there was none.
        retryable: True if the entries concerned are tried again.
        retry_after: Seconds the server asked to wait, None where it did not.
    """

    def __init__(
        self,
        message: str,
        code: LogwellErrorCode,
        *,
        status_code: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status_code = status_code
        self.retryable = retryable
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling passes args alone and would lose the rest:
        # errors cross process borders in multiprocessing and Celery.
        return (
            _rebuild,
            (self.message, self.code, self.status_code, self.retryable, self.retry_after),
        )

    def __repr__(self) -> str:
        status = "" if self.status_code is None else f", status_code={self.status_code}"
        return f"LogwellError({self.code}: {self.message!r}{status}, retryable={self.retryable})"


def _rebuild(
    message: str,
    code: LogwellErrorCode,
    status_code: int | None,
    retryable: bool,
    retry_after: float | None,
) -> LogwellError:
    return LogwellError(
        message, code, status_code=status_code, retryable=retryable, retry_after=retry_after
    )


def config_error(message: str) -> LogwellError:
    """An `INVALID_CONFIG` error, not retryable."""
    return LogwellError(message, LogwellErrorCode.INVALID_CONFIG)


ErrorCallback = Callable[[LogwellError], object]


FlushCallback = Callable[[int], object]


class WithoutFrames:
    """Takes the frames off a configuration error that leaves the block.

    What shows the locals of frames (rich, `pytest -l`, error trackers) would show the key that
    was given, and what may have been meant as one. The error's text says which setting it is.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error anew."""
        del traceback
        if isinstance(error, (LogwellError, TypeError)):
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None)
