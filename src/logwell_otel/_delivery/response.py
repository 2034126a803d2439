"""An answer -> what it means and what to do: the error table of `docs/errors.md`."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from logwell_otel._clock import wall_clock
from logwell_otel._delivery.isolation import ANSWERED_500
from logwell_otel._delivery.retry import retry_after
from logwell_otel._diagnostics import entries, was
from logwell_otel._encoding.chunk import Chunk
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import IngestResponse
from logwell_otel.errors import LogwellError, LogwellErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable


_MAX_QUOTED: Final = 200


class Action(Enum):
    """What delivery does with a chunk after an answer."""

    DONE = "done"
    """Settled: stored, except the entries that were refused one by one."""
    TAKEN = "taken"
    """A success that says nothing of the entries: stored, if a Logwell server is behind it."""
    RETRY = "retry"
    """Nothing is known of the entries: send again, less and less often."""
    SUSPECT = "suspect"
    """The server's own 500: an outage, passing trouble or a poison entry, which answer the same."""
    PAUSE = "pause"
    """429: later, and more slowly from now on."""
    HOLD = "hold"
    """The server or its address is not the right one for this key: a person must act."""
    SPLIT = "split"
    """The server says that these are too many entries."""
    SHRINK = "shrink"
    """413: something in front of the server allows smaller requests only, or says so."""
    INVALID = "invalid"
    """The server says that the content is wrong."""


class Outcome(NamedTuple):
    """What an answer means.

    Attributes:
        action: What to do.
        error: What to tell, None when all was stored.
        response: The counts, for `DONE`.
        problem: Of the error's text, what happened.
        advice: Of the error's text, what to do; empty where nobody need do anything.
        refusal: The server's own code for a refusal, such as `unauthorized`.
        cause: What became of the request, in words that follow "was".
        sent: False if the request never went out, which says nothing about its entries.
        timed_out: It went out, and its time was over before an answer came.
    """

    action: Action
    error: LogwellError | None = None
    response: IngestResponse | None = None
    problem: str = ""
    advice: str = ""
    refusal: str | None = None
    cause: str = ""
    sent: bool = True
    timed_out: bool = False

    @property
    def is_the_servers(self) -> bool:
        """True for an answer to a request without entries that shows that answers come back."""
        return self.refusal in _OWN or self.action in (Action.DONE, Action.TAKEN)


class _Refusal(msgspec.Struct):
    """The body of the server's own 4xx answers."""

    error: str
    message: str


class _Counts(msgspec.Struct):
    """The body of a 200, as little of it as we need to know that entries were stored."""

    accepted: int
    rejected: Any = 0
    errors: Any = None


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)
_COUNTS: Final = msgspec.json.Decoder(_Counts)
# What msgspec raises for a body; nested too deep is not among its own.
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError)
# The server's are `invalid_json`, `validation_error` …; gateways write `Forbidden`.
_OWN_ERROR: Final = re.compile(r"[a-z]+(_[a-z]+)*")
_ABOUT_ENTRIES: Final = {
    "batch_too_large": Action.SPLIT,
    "invalid_json": Action.INVALID,
    "validation_error": Action.INVALID,
}
"""The server's own errors that are about entries. Anything else, whoever says it, is not."""

_OWN: Final = frozenset({*_ABOUT_ENTRIES, "unauthorized", "rate_limited"})

_NOT_SENT: Final = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
# What httpcore calls a request of which no byte went out.

_JSON: Final = "application/json"

_CHECK_ENDPOINT: Final = "Check endpoint (LOGWELL_ENDPOINT), and what stands in front of the server"
_IN_FRONT: Final = "The server has taken requests before: see what stands in front of it"
_ADVICE: Final = {
    404: _CHECK_ENDPOINT,
    405: _CHECK_ENDPOINT,
    407: "Check the user name and the password in HTTPS_PROXY or HTTP_PROXY",
    421: _CHECK_ENDPOINT,
    500: "If it lasts, see the server's own log",
}
_CHECK_WAY: Final = "Check that the server is up, and what stands in front of it"
_SENT_AGAIN: Final = "Entries are held and sent again."


def outcome_of(
    answer: Answer | NoAnswer,
    *,
    mask: Callable[[str], str] = str,
    now: Callable[[], float] = wall_clock,
    proven: bool = False,
) -> Outcome:
    """What `answer` means.

    Args:
        answer: What came back.
        mask: Takes secrets out of texts that are quoted.
        now: Wall clock, for a `Retry-After` that is a date.
        proven: The server has accepted requests of this process: its address is right.
    """
    outcome = _meaning(answer, mask, now, proven=proven)
    if outcome.error is None:
        return outcome
    sent = isinstance(answer, Answer) or not (
        answer.cause == "process" or answer.reason.startswith(_NOT_SENT)
    )
    timed_out = isinstance(answer, NoAnswer) and answer.timed_out
    return outcome._replace(cause=_cause(answer, mask), sent=sent, timed_out=timed_out)


def _meaning(
    answer: Answer | NoAnswer, mask: Callable[[str], str], now: Callable[[], float], *, proven: bool
) -> Outcome:
    if isinstance(answer, NoAnswer):
        return _unanswered(answer, proven=proven)
    status = answer.status
    # The common case first: what follows is for texts that nobody needs then.
    if 200 <= status < 300 and (response := _stored(answer)) is not None:
        return Outcome(Action.DONE, response=response)
    wait = retry_after(answer.headers.get("retry-after"), now)
    refusal = _refusal(answer)
    said = _said(answer, refusal, mask)
    if 200 <= status < 300:
        # Captive portals, and proxies during a deploy, answer 200 too: with a page, which may be
        # in an encoding that leaves nothing to read.
        page = _kind(answer) == "text/html" and "content-encoding" in answer.headers
        return _outcome(
            Action.RETRY if page or answer.body.strip() else Action.TAKEN,
            f"Something answered {status}, but not as a Logwell server does{said}",
            LogwellErrorCode.SERVER_ERROR,
            advice=f"{_IN_FRONT}." if proven else "Check endpoint (LOGWELL_ENDPOINT).",
            meanwhile=_SENT_AGAIN,
            status=status,
            retryable=True,
        )
    if 300 <= status < 400:
        target = quoted(answer.headers.get("location", "nowhere"), mask)
        return _outcome(
            Action.HOLD,
            f"The server redirects to {target}, which is not followed because the API key would "
            "travel along",
            LogwellErrorCode.INVALID_CONFIG,
            advice=f"{_IN_FRONT}."
            if proven
            else "If that is your server, set endpoint (LOGWELL_ENDPOINT) to it.",
            meanwhile="Entries are held.",
            status=status,
        )
    if status == 401:
        return _outcome(
            Action.HOLD,
            f"The server refuses the API key{said}",
            LogwellErrorCode.UNAUTHORIZED,
            advice="Check api_key (LOGWELL_API_KEY) or the file in api_key_file "
            "(LOGWELL_API_KEY_FILE) against the project's settings on the server.",
            meanwhile="Entries are held; the next try is in 30 s.",
            status=status,
            refusal=refusal,
        )
    if status == 413:
        return _outcome(
            Action.SHRINK,
            f"Something in front of the server says that the request is too large{said}",
            LogwellErrorCode.SERVER_ERROR,
            handled="it is sent in parts where that helps, else later",
            advice="The server's own limit is 512 KiB, and no request of ours reaches it.",
            status=status,
            refusal=refusal,
            retryable=True,
        )
    if status == 429:
        return _outcome(
            Action.PAUSE,
            f"The server's rate limit is reached{said}: all processes of the project share it",
            LogwellErrorCode.RATE_LIMITED,
            advice="Entries are held and sent more slowly. If it lasts, log less, or raise the "
            "limit on the server.",
            status=status,
            refusal=refusal,
            retryable=True,
            wait=wait,
        )
    if status == 400 and refusal is not None and refusal.error in _ABOUT_ENTRIES:
        action = _ABOUT_ENTRIES[refusal.error]
        return _outcome(
            action,
            f"The server refuses the request{said}",
            LogwellErrorCode.VALIDATION_ERROR,
            handled="it is sent in parts"
            + ("" if action is Action.SPLIT else ", and what is refused even alone is dropped"),
            status=status,
            refusal=refusal,
        )
    advice = _ADVICE.get(status, _CHECK_WAY)
    return _outcome(
        # The server's own is JSON, since that is asked for. A page may be a gateway's, which
        # does not know what became of the request.
        Action.SUSPECT if status == 500 and _kind(answer) == _JSON else Action.RETRY,
        f"The server answered {status}{said}",
        LogwellErrorCode.SERVER_ERROR,
        advice=f"{_IN_FRONT if proven and advice == _CHECK_ENDPOINT else advice}.",
        meanwhile=_SENT_AGAIN,
        status=status,
        retryable=True,
        wait=wait,
    )


def quoted(text: str, mask: Callable[[str], str]) -> str:
    """`text` fit to be quoted: no secrets, no control characters, one line, not too long."""
    # Masked before it is cut: of a secret that is cut in two, no half would be found.
    line = " ".join(mask(text).split())
    shown = "".join(part if part.isprintable() else "\N{REPLACEMENT CHARACTER}" for part in line)
    return shown if len(shown) <= _MAX_QUOTED else f"{shown[: _MAX_QUOTED - 1]}…"


def _cause(answer: Answer | NoAnswer, mask: Callable[[str], str]) -> str:
    """What became of a request that was not accepted, for a sentence about an entry."""
    if isinstance(answer, NoAnswer):
        return f"left without an answer by something before the server: {answer.reason}"
    kind = quoted(_kind(answer), mask)
    if answer.status == 500 and kind == _JSON:
        return ANSWERED_500
    said = ", ".join(filter(None, (str(answer.status), kind)))
    refused = "refused" if answer.status >= 400 else "answered"
    return f"{refused} by something before the server: {said}"


def _unanswered(answer: NoAnswer, *, proven: bool) -> Outcome:
    if answer.cause == "network":
        problem, code = "No answer from the server", LogwellErrorCode.NETWORK_ERROR
        advice = "Check that endpoint (LOGWELL_ENDPOINT) is right and can be reached from here."
        if proven:
            advice = "It has taken requests before: see that it is up and can be reached from here."
        if "CERTIFICATE_VERIFY_FAILED" in answer.reason:
            advice = (
                "If the server's certificate is signed by an authority of your own, name that in "
                "certificate_file (LOGWELL_CERTIFICATE_FILE)."
            )
    elif answer.cause == "process":
        problem = "An error of this process, which can make no request"
        code = LogwellErrorCode.INTERNAL_ERROR
        advice = (
            "That is neither the network nor the server, but what this process has: its packages, "
            "files, descriptors or memory."
        )
    else:
        problem, code = "A request failed with an error of its own", LogwellErrorCode.INTERNAL_ERROR
        advice = "This is a defect of logwell-otel or of a package it uses; please report it."
    return _outcome(
        Action.RETRY,
        f"{problem}: {answer.reason}",
        code,
        advice=advice,
        meanwhile=_SENT_AGAIN,
        retryable=True,
    )


def _stored(answer: Answer) -> IngestResponse | None:
    """The counts of an answer that is a Logwell server's, None for any other."""
    try:
        counts = _COUNTS.decode(_text(answer))
    except _UNREADABLE:
        return None
    if counts.accepted < 0:
        return None
    rejected = counts.rejected if isinstance(counts.rejected, int) else 0
    errors = counts.errors if isinstance(counts.errors, list) else []
    return IngestResponse(
        accepted=counts.accepted,
        rejected=max(0, rejected),
        errors=[text for text in errors if isinstance(text, str)],
    )


def _kind(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip()


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")


def _refusal(answer: Answer) -> _Refusal | None:
    try:
        refusal = _REFUSAL.decode(_text(answer))
    except _UNREADABLE:
        return None
    return refusal if _OWN_ERROR.fullmatch(refusal.error) else None


def _said(answer: Answer, refusal: _Refusal | None, mask: Callable[[str], str]) -> str:
    """The answer's text in a form to put into a sentence: a page of HTML is not quoted."""
    if refusal is not None:
        return f" ({quoted(f'{refusal.error}: {refusal.message}', mask).rstrip(': ')})"
    kind = _kind(answer)
    if kind and kind != _JSON:
        return f" (with {quoted(kind, mask)}, so perhaps from a proxy in front of it)"
    return ""


def _outcome(
    action: Action,
    problem: str,
    code: LogwellErrorCode,
    *,
    handled: str = "",
    advice: str = "",
    meanwhile: str = "",
    status: int | None = None,
    retryable: bool = False,
    wait: float | None = None,
    refusal: _Refusal | None = None,
) -> Outcome:
    happened = f"{problem}; {handled}." if handled else f"{problem}."
    message = " ".join(filter(None, (happened, advice, meanwhile)))
    error = LogwellError(message, code, status_code=status, retryable=retryable, retry_after=wait)
    own_code = None if refusal is None else refusal.error
    return Outcome(action, error, problem=problem, advice=advice, refusal=own_code)


# Errors that name the entries they are about.

_INDEX: Final = re.compile(r"Entry at index ([0-9]{1,9}): ?(.*)", re.DOTALL)
_MAX_NAMED: Final = 5
_MAX_MESSAGE: Final = 120


class _Named(msgspec.Struct):
    level: str = "?"
    message: str = "?"


_NAMED: Final = msgspec.json.Decoder(_Named)


def refusals(chunk: Chunk, response: IngestResponse, mask: Callable[[str], str]) -> LogwellError:
    """Entries refused one by one in a 200."""
    entries = chunk.entries()
    named: list[str] = []
    for text in response.errors[:_MAX_NAMED]:
        match = _INDEX.fullmatch(text)
        if match and int(match[1]) < len(entries):
            entry = name(entries[int(match[1])], mask)
            named.append(f"{entry} ({quoted(match[2], mask)})")
        else:
            named.append(quoted(text, mask))
    more = response.rejected - len(named)
    if more > 0:
        named.append(f"and {more} more")
    return LogwellError(
        f"The server refused {response.rejected} of {chunk.count} entries, which are not sent "
        f"again: {'; '.join(named)}.",
        LogwellErrorCode.VALIDATION_ERROR,
        status_code=200,
    )


def refused_entries(chunk: Chunk, response: IngestResponse) -> Chunk | None:
    """The entries that a 200 refused one by one, as far as it names them."""
    own = chunk.entries()
    matches = [_INDEX.fullmatch(text) for text in response.errors]
    places = sorted({int(match[1]) for match in matches if match and int(match[1]) < len(own)})
    return Chunk.of_entries([own[place] for place in places]) if places else None


def set_aside(chunk: Chunk, cause: str, hours: float, mask: Callable[[str], str]) -> LogwellError:
    """An entry that nothing takes, from now on out of the way."""
    ours = " Please report it: entries are made so that the server can store them."
    return LogwellError(
        f"One entry is set aside: every request with it was {cause}, while others were accepted. "
        f"It is {name(chunk.entries()[0], mask)}. It is tried again, more and more seldom, for "
        f"{hours:.0f} h.{ours if cause == ANSWERED_500 else ''}",
        LogwellErrorCode.SERVER_ERROR,
        retryable=True,
    )


def given_up(
    chunk: Chunk, cause: str, whole: Callable[[bytes], str], *, dead_letter: bool
) -> LogwellError:
    """Entries that nothing took for all their life.

    Args:
        chunk: The entries.
        cause: What became of their latest request.
        whole: An entry as it may be written out.
        dead_letter: They are kept in the spool.
    """
    kept = (
        "They are kept as dead letters: logwell-otel spool list --dead"
        if dead_letter
        else "; ".join(map(whole, chunk.entries()[:_MAX_NAMED]))
    )
    return LogwellError(
        f"{entries(chunk.count)} {was(chunk.count)} given up: every request with one was {cause}, "
        f"while others were accepted. {kept}",
        LogwellErrorCode.VALIDATION_ERROR,
    )


def invalid(chunk: Chunk, cause: LogwellError, mask: Callable[[str], str]) -> LogwellError:
    """An entry that the server does not take even alone."""
    return LogwellError(
        f"One entry was refused and is not sent again: {name(chunk.entries()[0], mask)}. "
        f"{cause.message}",
        LogwellErrorCode.VALIDATION_ERROR,
        status_code=cause.status_code,
    )


def name(entry: bytes, mask: Callable[[str], str]) -> str:
    """Level and the beginning of the message, for people."""
    try:
        fields = _NAMED.decode(entry)
    except msgspec.MsgspecError:
        return "an entry that cannot be read"
    message = quoted(fields.message, mask)
    if len(message) > _MAX_MESSAGE:
        message = message[: _MAX_MESSAGE - 1] + "…"
    return f"{fields.level} {message!r}"
