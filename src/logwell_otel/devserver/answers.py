"""The server's answers, and those of the proxies in front of it."""

from __future__ import annotations

import json
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .faults import FaultOutcome

FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""Content types a browser's form can send from another site: answered 403."""

RETRY_AFTER = "60"
"""Seconds; the real server says this whatever the wait is."""

_ACCEPTED = re.compile(r"([^/ \t]+)/([^; \t]+)[ \t]*(?:;[ \t]*q=([01](?:\.[0-9]*)?))?")
_PAGE = "<!doctype html>\n<html lang='en'>\n<title>{0}</title>\n<h1>{0}</h1>\n<p>{1}</p>\n</html>\n"


def json_answer(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer; lone surrogates come out escaped, as from `JSON.stringify`."""
    return Response(compact_json(content), status, headers=headers, media_type="application/json")


def compact_json(content: Any) -> str:
    """JSON without spaces, all but ASCII escaped."""
    return json.dumps(content, separators=(",", ":"))


def error(status: int, code: str, message: str) -> Response:
    """One of the server's own refusals."""
    headers = {"Retry-After": RETRY_AFTER} if status == 429 else None
    return json_answer({"error": code, "message": message}, status, headers)


def unauthorized(message: str) -> Response:
    """401."""
    return error(401, "unauthorized", message)


def no_session(accept: str | None) -> Response:
    """401 of what needs a session: JSON or, without an `Accept` header, a page."""
    if _prefers_json(accept):
        return json_answer({"message": "Unauthorized"}, 401)
    return Response(_PAGE.format(401, "Unauthorized"), 401, media_type="text/html")


def wrong_method(method: str, allowed: str) -> Response:
    """405."""
    answer = Response(f"{method} method not allowed", 405, headers={"Allow": allowed})
    answer.headers["Content-Type"] = "application/octet-stream"
    return answer


def rate_limited() -> Response:
    """429."""
    return error(429, "rate_limited", "Rate limit exceeded. Retry in 60 seconds.")


def unsupported_media_type() -> Response:
    """415."""
    return error(415, "unsupported_media_type", "Content-Type must be application/json")


def forbidden_form() -> Response:
    """403, the answer to what could be a form of another site."""
    answer = Response("Cross-site POST form submissions are forbidden", 403)
    answer.headers["Content-Type"] = "application/octet-stream"
    return answer


def misdirected(host: str) -> Response:
    """421: the request names a host that is not this server's, as after DNS rebinding."""
    return PlainTextResponse(f"This is the development server, not {host[:200]!r}\n", 421)


def foreign_origin(origin: str) -> Response:
    """403: a page of another site asks."""
    return PlainTextResponse(f"Requests from {origin[:200]!r} are forbidden\n", 403)


def too_large() -> Response:
    """413; the connection ends, since the body was not read."""
    return Response(status_code=413, headers={"Connection": "close"})


def server_error(accept: str | None) -> Response:
    """500, as a page or as JSON, whichever the `Accept` header prefers.

    Without the header it is the page; `*/*` means JSON.
    """
    message = "Internal server error"
    if _prefers_json(accept):
        return json_answer({"id": secrets.token_urlsafe(9), "message": message}, 500)
    return Response(_PAGE.format(500, message), 500, media_type="text/html")


def _prefers_json(accept: str | None) -> bool:
    json_rank = _rank(accept or "", "application", "json")
    page_rank = _rank(accept or "", "text", "html")
    return json_rank is not None and (page_rank is None or json_rank <= page_rank)


def _rank(accept: str, kind: str, subtype: str) -> tuple[float, int, int] | None:
    """Where a type comes in an `Accept` header's order of preference: the smallest is first.

    By `q`, then types named outright before wildcards, then as listed.
    """
    ranks = [
        (-float(match[3] or 1), (match[1] == "*") + (match[2] == "*"), place)
        for place, item in enumerate(accept.split(","))
        if (match := _ACCEPTED.match(item.strip()))
        and match[1] in {kind, "*"}
        and match[2] in {subtype, "*"}
    ]
    return min(ranks, default=None)


def fault_answer(outcome: FaultOutcome, accept: str | None) -> Response:
    """What the switch `Faults.answer` asks for."""
    if outcome.body is None:
        answer = _usual(outcome.status, accept)
    else:
        answer = Response(outcome.body, outcome.status)
        answer.headers["Content-Type"] = "text/html; charset=utf-8"
    for name, value in outcome.headers.items():
        answer.headers[name] = value
    return answer


def _usual(status: int, accept: str | None) -> Response:
    if status == 401:
        return unauthorized("Invalid API key")
    if status == 413:
        return too_large()
    if status == 415:
        return unsupported_media_type()
    if status == 429:
        return rate_limited()
    if status == 500:
        return server_error(accept)
    if status in {204, 304}:  # These have no body.
        return Response(status_code=status)
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return Response(_PAGE.format(f"{status} {phrase}", "proxy"), status, media_type="text/html")
