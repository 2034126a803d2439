"""An answer that is not the one that was asked for -> what it means, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from logwell_otel._delivery.response import quoted
from logwell_otel._http import Answer, NoAnswer
from logwell_otel.cli.check.result import Finding, failed, warning

if TYPE_CHECKING:
    from logwell_otel._config.options import Config

_ENDPOINT: Final = "endpoint (LOGWELL_ENDPOINT)"
_OWN_ERRORS: Final = frozenset(
    {
        "batch_too_large",
        "invalid_json",
        "rate_limited",
        "unauthorized",
        "unsupported_media_type",
        "validation_error",
    }
)
_GATEWAY: Final = frozenset({502, 503, 504})


def explain(answer: Answer | NoAnswer, config: Config) -> Finding:
    """What an answer other than the right one means."""
    if isinstance(answer, NoAnswer):
        return failed(
            f"no answer: {answer.reason}",
            "If it lasts, see the server's own log, and what stands between here and there.",
        )
    status, kind = answer.status, kind_of(answer)
    if 300 <= status < 400:
        target = quoted(answer.headers.get("location", "nowhere"), config.secrets.mask)
        return failed(
            f"redirected ({status}) to {target}",
            f"Redirects are not followed, because the key would travel along. If that is your "
            f"server, set {_ENDPOINT} to it.",
        )
    if status == 407:
        return failed(
            "the proxy asks for a user name and password (407)",
            "Put them into the proxy's URL: HTTPS_PROXY=http://user:password@host:port.",
        )
    if status in _GATEWAY and not is_json(answer):
        return failed(
            f"answered {status} with {kind}: a proxy in front of a server that does not answer it",
            "Start the server, or see where the proxy passes requests on to.",
        )
    if status >= 500:
        return failed(f"answered {status} with {kind}", "See the server's own log.")
    return failed(
        f"answered {status} with {kind}, which is not as a Logwell server answers",
        f"Correct {_ENDPOINT}: it is the base URL, with the path prefix if the server has one; "
        "or see what stands in front of the server.",
    )


def explain_ingest(answer: Answer | NoAnswer, config: Config) -> Finding:
    """What an answer of `/v1/ingest` other than the right one means."""
    if isinstance(answer, NoAnswer):
        return explain(answer, config)
    own = own_error(answer)
    if own is None:
        if answer.status == 500:
            return failed(
                "answered 500, although its health is good",
                "See the server's own log: a full disk or a missing table, for example.",
            )
        return explain(answer, config)
    if own.error == "unauthorized":
        return failed(
            f"the server does not know this API key (401: {_said(own, config)})",
            "Compare its last 4 characters with the keys in the project's settings on the server. "
            "One that was refused is refused for 30 s more even once it exists.",
        )
    if own.error == "rate_limited":
        return warning(
            "the project's rate limit is used up (429)",
            "Try again in a minute. If it is so most of the time, see docs/pacing.md.",
        )
    return failed(
        f"answered {answer.status} {own.error}: {_said(own, config)}",
        "Please report this: entries are made so that the server takes them.",
    )


class OwnError(msgspec.Struct):
    """The body of the server's own 4xx answers."""

    error: str
    message: str = ""


_OWN_ERROR: Final = msgspec.json.Decoder(OwnError)


def own_error(answer: Answer | NoAnswer) -> OwnError | None:
    """The refusal of a Logwell server; None if the answer is none."""
    if isinstance(answer, NoAnswer) or not is_json(answer):
        return None
    try:
        own = _OWN_ERROR.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return own if own.error in _OWN_ERRORS else None


def _said(own: OwnError, config: Config) -> str:
    return quoted(own.message, config.secrets.mask) or own.error


def is_json(answer: Answer) -> bool:
    """Whether the answer says that it is JSON."""
    return kind_of(answer) == "application/json"


def kind_of(answer: Answer) -> str:
    """The answer's media type, fit to be shown."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return quoted(kind, str) or "no content type"
