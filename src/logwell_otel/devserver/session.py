"""Signing in: the cookie without which nothing can be read, and who may try how often."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from . import answers
from .ingest import RateLimit
from .store import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

COOKIE = "__Secure-better-auth.session_token"
TRIES_A_MINUTE = 10

_WEEK = 7 * 24 * 3600
_ATTRIBUTES = "Path=/; HttpOnly; Secure; SameSite=Lax"
_USERNAME = re.compile(r"[A-Za-z0-9_.]+")
_MIN_USERNAME = 3
_PAUSE = 10.0
_TRIES = 3
_GET_SESSION_TRIES = 100


class Tries:
    """The limiter that starts again only after a pause of 10 s; kept by client address.

    Args:
        most: Tries before a pause is asked for.
        clock: Seconds that never go backwards.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def wait(self, address: str) -> int:
        """Count one try of `address`; the seconds it must wait instead, 0 for none."""
        now = self._clock()
        count, last = self._seen.get(address, (0, -math.inf))
        if now - last > _PAUSE:
            count = 0
        if count >= self._most:
            return max(1, math.ceil(last + _PAUSE - now))
        self._seen[address] = (count + 1, now)
        return 0


class Sessions:
    """The one account, and the sessions that are open. Used by the server's thread alone.

    Args:
        username: Three characters or more of letters, digits, `_` and `.`.
        password: Its password.
        clock: For the limits of tries.

    Raises:
        ValueError: A real server would take no such user name.
    """

    def __init__(
        self, username: str, password: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._password = password
        del password  # what shows a frame's locals would show it
        if len(username) < _MIN_USERNAME or not _USERNAME.fullmatch(username):
            raise ValueError(
                "the user name must be three or more of A-Z a-z 0-9 _ ., got " + repr(username)
            )
        self._secret = secrets.token_bytes(32)
        self._open: dict[str, dict[str, Any]] = {}
        self._sign_ins = Tries(_TRIES, clock)
        self._looks = Tries(_GET_SESSION_TRIES, clock)
        self._minute = RateLimit(TRIES_A_MINUTE, clock)
        now = utc_now()
        self._user = {
            "name": "Admin",
            "email": f"{username.lower()}@example.com",
            "emailVerified": False,
            "image": None,
            "createdAt": now,
            "updatedAt": now,
            "username": username.lower(),
            "displayUsername": username,
            "id": secrets.token_urlsafe(24),
        }

    def routes(self) -> list[Route]:
        """Signing in and out, and the session."""
        return [
            Route("/api/auth/sign-in/username", self._sign_in, methods=["POST"]),
            Route("/api/auth/sign-out", self._sign_out, methods=["POST"]),
            Route("/api/auth/get-session", self._get_session, methods=["GET"]),
        ]

    def is_open(self, request: Request) -> bool:
        """Whether the request carries the cookie of an open session."""
        return self._token(request) is not None

    def _token(self, request: Request) -> str | None:
        for cookie in request.headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            token, _, signature = unquote(value).partition(".")
            if (
                name == COOKIE
                and token in self._open
                and hmac.compare_digest(signature.encode(), self._sign(token).encode())
            ):
                return token
        return None

    def _sign(self, token: str) -> str:
        return hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()

    async def _sign_in(self, request: Request) -> Response:
        address = request.headers.get("x-forwarded-for", "").split(",")[0].strip()
        if not self._minute.take():
            return answers.json_answer(
                {
                    "error": "rate_limited",
                    "message": "Too many login attempts. Retry in 60 seconds.",
                },
                429,
                {"Retry-After": answers.RETRY_AFTER},
            )
        wait = self._sign_ins.wait(address)
        if wait:
            return _too_many(wait)
        refused = _wrong_origin(request)
        if refused is not None:
            return refused
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return _problem(
                415,
                "UNSUPPORTED_MEDIA_TYPE",
                f'Content-Type "{media_type}" is not allowed. Allowed types: application/json',
            )
        try:
            sent = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _problem(400, "BAD_REQUEST", "Invalid JSON in request body")
        return self._check(sent if isinstance(sent, dict) else {})

    def _check(self, sent: dict[str, Any]) -> Response:
        for field in ("username", "password"):
            if not isinstance(sent.get(field), str):
                return _problem(
                    400,
                    "VALIDATION_ERROR",
                    f"[body.{field}] Invalid input: expected string, received undefined",
                )
        username, password = sent["username"], sent["password"]
        if len(username) < _MIN_USERNAME:
            return _problem(422, "USERNAME_TOO_SHORT", "Username is too short")
        if not _USERNAME.fullmatch(username):
            return _problem(422, "INVALID_USERNAME", "Username is invalid")
        # JSON can hold half a surrogate pair, which UTF-8 cannot.
        known = hmac.compare_digest(
            password.encode(errors="surrogatepass"), self._password.encode(errors="surrogatepass")
        )
        if not known or username.lower() != self._user["username"]:
            return _problem(401, "INVALID_USERNAME_OR_PASSWORD", "Invalid username or password")
        token, now = secrets.token_urlsafe(24), utc_now()
        self._open[token] = {"createdAt": now, "id": secrets.token_urlsafe(24)}
        answer = answers.json_answer({"redirect": False, "token": token, "user": self._user})
        signed = quote(f"{token}.{self._sign(token)}", safe="")
        if sent.get("rememberMe") is False:
            answer.headers.append("Set-Cookie", f"{COOKIE}={signed}; {_ATTRIBUTES}")
            other = quote(f"true.{self._sign('true')}", safe="")
            name = COOKIE.replace("session_token", "dont_remember")
            answer.headers.append("Set-Cookie", f"{name}={other}; {_ATTRIBUTES}")
        else:
            answer.headers.append(
                "Set-Cookie", f"{COOKIE}={signed}; Max-Age={_WEEK}; {_ATTRIBUTES}"
            )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        refused = _wrong_origin(request)
        if refused is not None:
            return refused
        token = self._token(request)
        if token is not None:
            del self._open[token]
        answer = answers.json_answer({"success": True})
        for part in ("session_token", "session_data", "dont_remember"):
            name = COOKIE.replace("session_token", part)
            answer.headers.append("Set-Cookie", f"{name}=; Max-Age=0; {_ATTRIBUTES}")
        return answer

    async def _get_session(self, request: Request) -> Response:
        wait = self._looks.wait(request.headers.get("x-forwarded-for", ""))
        if wait:
            return _too_many(wait)
        token = self._token(request)
        if token is None:
            return answers.json_answer(None)
        session = self._open[token]
        return answers.json_answer(
            {
                "session": {
                    "expiresAt": session["createdAt"],
                    "token": token,
                    "createdAt": session["createdAt"],
                    "updatedAt": session["createdAt"],
                    "ipAddress": request.client.host if request.client else "",
                    "userAgent": request.headers.get("user-agent", ""),
                    "userId": self._user["id"],
                    "id": session["id"],
                },
                "user": self._user,
            }
        )


def own_origin(request: Request) -> str:
    """The origin under which the client reached this server."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def sent_origin(request: Request) -> str | None:
    """`Origin`, or that of the `Referer`; None where neither says anything."""
    origin = request.headers.get("origin")
    if origin is None:
        parts = urlsplit(request.headers.get("referer", ""))
        origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else None
    return None if origin == "null" else origin


def _wrong_origin(request: Request) -> Response | None:
    if "cookie" not in request.headers:
        return None  # What no browser sent with a session cannot be forged by another site.
    origin = sent_origin(request)
    if origin is None:
        return _problem(403, "MISSING_OR_NULL_ORIGIN", "Missing or null Origin")
    if origin != own_origin(request):
        return _problem(403, "INVALID_ORIGIN", "Invalid origin")
    return None


def _too_many(wait: int) -> Response:
    answer = PlainTextResponse(
        json.dumps({"message": "Too many requests. Please try again later."}), 429
    )
    answer.headers["X-Retry-After"] = str(wait)
    answer.headers["Content-Type"] = "text/plain;charset=utf-8"
    return answer


def _problem(status: int, code: str, message: str) -> Response:
    return answers.json_answer({"message": message, "code": code}, status)
