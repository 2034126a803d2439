"""An answer -> what it means and what to do: the error table of `docs/delivery.md`."""

from __future__ import annotations

import email.utils
import math
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.transport import Answer, NoAnswer
from logwell_otel.wire import IngestResponse

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_RETRY_AFTER: Final = 3600.0
_MAX_QUOTED: Final = 200


class Action(Enum):
    """What delivery does with a chunk after an answer."""

    DONE = "done"
    """Settled: stored, except the entries that were refused one by one."""
    RETRY = "retry"
    """Nothing is known of the entries: send again, less and less often."""
    SUSPECT = "suspect"
    """500: an outage, passing trouble or a poison entry, which answer the same."""
    PAUSE = "pause"
    """429: later, and more slowly from now on."""
    HOLD = "hold"
    """The server or its address is not the right one for this key: a person must act."""
    SPLIT = "split"
    """Too large as a request."""
    INVALID = "invalid"
    """The server says that the content is wrong."""


class Outcome(NamedTuple):
    """What an answer means.

    Attributes:
        action: What to do.
        error: What to tell, None when all was stored.
        response: The counts, for `DONE`.
    """

    action: Action
    error: LogwellError | None = None
    response: IngestResponse | None = None


class _ServerError(msgspec.Struct):
    """The body of the server's own 4xx answers."""

    error: str
    message: str = ""


_RESPONSE: Final = msgspec.json.Decoder(IngestResponse)
_SERVER_ERROR: Final = msgspec.json.Decoder(_ServerError)


def outcome_of(
    answer: Answer | NoAnswer,
    *,
    mask: Callable[[str], str] = str,
    now: Callable[[], float] = time.time,
) -> Outcome:
    """What `answer` means.

    Args:
        answer: What came back.
        mask: Takes secrets out of texts that are quoted.
        now: Wall clock, for a `Retry-After` that is a date.
    """
    if isinstance(answer, NoAnswer):
        return _outcome(
            Action.RETRY,
            f"No answer from the server: {answer.reason}. Entries are held and sent again.",
            LogwellErrorCode.NETWORK_ERROR,
            retryable=True,
        )
    status = answer.status
    wait = retry_after(answer.headers.get("retry-after"), now)
    said = mask(_said(answer))
    if 200 <= status < 300:
        return _accepted(answer, said)
    if 300 <= status < 400:
        target = mask(answer.headers.get("location", "nowhere")[:_MAX_QUOTED])
        return _outcome(
            Action.HOLD,
            f"The server redirects to {target}, which is not followed because the API key would "
            "travel along. If that is your server, set endpoint (LOGWELL_ENDPOINT) to it. Entries "
            "are held.",
            LogwellErrorCode.INVALID_CONFIG,
            status=status,
        )
    if status == 401:
        return _outcome(
            Action.HOLD,
            f"The server refuses the API key{said}. Check api_key (LOGWELL_API_KEY) against the "
            "project's settings on the server. Entries are held; the next try is in 30 s.",
            LogwellErrorCode.UNAUTHORIZED,
            status=status,
        )
    if status == 413:
        return _outcome(
            Action.SPLIT,
            f"The request was too large{said}; it is sent in parts. A limit lower than the "
            "server's own 512 KiB is that of a proxy in front of it.",
            LogwellErrorCode.VALIDATION_ERROR,
            status=status,
        )
    if status == 429:
        return _outcome(
            Action.PAUSE,
            "The server's rate limit is reached: all processes of the project share it. Entries "
            "are held and sent more slowly.",
            LogwellErrorCode.RATE_LIMITED,
            status=status,
            retryable=True,
            wait=wait,
        )
    if status in (400, 403, 415) and (own := _own_error(answer)) is not None:
        return _outcome(
            Action.SPLIT if own.error == "batch_too_large" else Action.INVALID,
            f"The server refuses the request{said}.",
            LogwellErrorCode.VALIDATION_ERROR,
            status=status,
        )
    return _outcome(
        Action.SUSPECT if status == 500 else Action.RETRY,
        f"The server answered {status}{said}. Entries are held and sent again.",
        LogwellErrorCode.SERVER_ERROR,
        status=status,
        retryable=True,
        wait=wait,
    )


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Seconds of a Retry-After header, which is a number of seconds or a date (RFC 9110).

    None where there is none or it cannot be read; at least 0 and at most an hour.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now()
        except (TypeError, ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _accepted(answer: Answer, said: str) -> Outcome:
    try:
        response = _RESPONSE.decode(answer.body)
    except msgspec.MsgspecError:
        response = None
    if response is None or response.accepted < 0 or response.rejected < 0:
        # Captive portals, and proxies during a deploy, answer 200 too.
        return _outcome(
            Action.RETRY,
            f"Something answered {answer.status}, but not as a Logwell server does{said}. Check "
            "endpoint (LOGWELL_ENDPOINT). Entries are held and sent again.",
            LogwellErrorCode.SERVER_ERROR,
            status=answer.status,
            retryable=True,
        )
    return Outcome(Action.DONE, response=response)


def _own_error(answer: Answer) -> _ServerError | None:
    try:
        return _SERVER_ERROR.decode(answer.body)
    except msgspec.MsgspecError:
        return None


def _said(answer: Answer) -> str:
    """The answer's text in a form to put into a sentence: a page of HTML is not quoted."""
    own = _own_error(answer)
    if own is not None:
        return f" ({' '.join(f'{own.error}: {own.message}'.split())[:_MAX_QUOTED].rstrip(': ')})"
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if kind and kind != "application/json":
        return f" (with {kind[:40]}, so perhaps a proxy in front of it)"
    return ""


def _outcome(
    action: Action,
    message: str,
    code: LogwellErrorCode,
    *,
    status: int | None = None,
    retryable: bool = False,
    wait: float | None = None,
) -> Outcome:
    error = LogwellError(message, code, status_code=status, retryable=retryable, retry_after=wait)
    return Outcome(action, error)
