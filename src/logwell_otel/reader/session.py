"""Who reads: user name and password, the session they give, and the file that keeps it."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.secrets import Secret
from logwell_otel._config.settings import in_home
from logwell_otel.errors import LogwellError, LogwellErrorCode, config_error

if TYPE_CHECKING:
    from collections.abc import Mapping

COOKIE_NAME: Final = "better-auth.session_token"
"""The end of the cookie's name: its prefix depends on the server's set-up."""

_MAX_PASSWORD_FILE: Final = 4096


class Account(Secret):
    """A user's name and password. The password is shown nowhere.

    Args:
        username: The name.
        password: The password.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self._password = password

    @classmethod
    def resolve(
        cls,
        username: str | None,
        password: str | None,
        password_file: str | os.PathLike[str] | None,
        environ: Mapping[str, str] = os.environ,
    ) -> Account | None:
        """From arguments or `LOGWELL_USERNAME`, `LOGWELL_PASSWORD`, `LOGWELL_PASSWORD_FILE`.

        Returns:
            None where no user name is given.

        Raises:
            LogwellError: `INVALID_CONFIG`: a name without a password, a file that cannot be
                read.
        """
        username = username or environ.get("LOGWELL_USERNAME") or None
        file = password_file or environ.get("LOGWELL_PASSWORD_FILE") or None
        if password is None and file is not None:
            password = _password_of(Path(file))
        if password is None:
            password = environ.get("LOGWELL_PASSWORD") or None
        if username is None:
            return None
        if password is None:
            raise config_error(
                "password (LOGWELL_PASSWORD or LOGWELL_PASSWORD_FILE): expected the password of "
                f"{username!r}, got none."
            )
        return cls(username, password)

    def body(self) -> bytes:
        """What signs in."""
        return json.dumps({"username": self.username, "password": self._password}).encode()

    def __repr__(self) -> str:
        return f"<Account {self.username}>"


def _password_of(path: Path) -> str:
    problem = None
    try:
        # Editors on Windows put a byte order mark in front.
        text = (in_home(path) or path).read_text(encoding="utf-8-sig")[:_MAX_PASSWORD_FILE]
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "not text"
    else:
        return text.rstrip("\r\n")
    raise config_error(f"password_file (LOGWELL_PASSWORD_FILE): cannot read {path}: {problem}.")


class SessionFile:
    """Sessions by server, in a file that only its owner can read.

    Args:
        path: By default `LOGWELL_SESSION_FILE`, else `logwell/session.json` in
            `XDG_CONFIG_HOME` or `~/.config`.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path: Path | None = Path(path) if path else _default_path(os.environ)
        """None for a user without a home directory: nothing is kept."""

    def load(self, endpoint: str, username: str | None = None) -> str | None:
        """The cookie kept for a server, None where there is none.

        Args:
            endpoint: The server's base URL.
            username: Whose it must be; None for anybody's.

        Raises:
            LogwellError: `INVALID_CONFIG` when others can read the file.
        """
        if self.path is None:
            return None
        try:
            mode = self.path.stat().st_mode
        except OSError:
            return None
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise config_error(
                f"The session file {self.path} can be read by others. Sign in again after "
                f"removing it: anybody with it reads your logs."
            )
        kept = self._read().get(endpoint)
        if not isinstance(kept, dict) or username not in {None, kept.get("username")}:
            return None
        cookie = kept.get("cookie")
        return cookie if isinstance(cookie, str) else None

    def save(self, endpoint: str, username: str, cookie: str) -> None:
        """Keep a cookie; 0600 from its first byte on.

        Raises:
            LogwellError: `INVALID_CONFIG` when it cannot be written.
        """
        kept = {"username": username, "cookie": cookie}
        self._write({**self._read(), endpoint: kept})

    def forget(self, endpoint: str) -> bool:
        """Remove a server's cookie; False if there was none."""
        sessions = self._read()
        if sessions.pop(endpoint, None) is None:
            return False
        if sessions:
            self._write(sessions)
        elif self.path is not None:
            self.path.unlink(missing_ok=True)
        return True

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            sessions = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # there is no session in it, whatever it is
        return sessions if isinstance(sessions, dict) else {}

    def _write(self, sessions: dict[str, Any]) -> None:
        if self.path is None:
            raise config_error(
                "The session cannot be kept, since this user has no home directory: name a file in "
                "LOGWELL_SESSION_FILE."
            )
        problem = None
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(sessions, file)
            new.replace(self.path)
        except OSError as error:
            problem = error.strerror or str(error)
        if problem is not None:
            with suppress(OSError):  # it is not there, or nothing can be done in that directory
                new.unlink()
            raise config_error(f"The session cannot be kept in {self.path}: {problem}.")

    def __repr__(self) -> str:
        return f"<SessionFile {self.path}>"


def _default_path(environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CONFIG_HOME")
    named = environ.get("LOGWELL_SESSION_FILE")
    if named:
        return in_home(named)
    if base and Path(base).is_absolute():
        return Path(base, "logwell", "session.json")
    return in_home("~/.config/logwell/session.json")


def cookie_of(set_cookie: str) -> str | None:
    """`name=value` of the session's cookie as received: the server wants it back as it was."""
    for part in set_cookie.split(", "):
        cookie = part.partition(";")[0].strip()
        name, _, value = cookie.partition("=")
        if name.endswith(COOKIE_NAME) and value:
            return cookie
    return None


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait; None where it names none.

    That is a number in all answers of this server, and in those of most gateways.
    """
    wait = headers.get("x-retry-after") or headers.get("retry-after") or ""
    return float(wait) if wait.isascii() and wait.isdecimal() else None


def sign_in_problem(status: int, headers: Mapping[str, str], username: str) -> LogwellError:
    """What an answer to a sign-in that failed means."""
    if status in {400, 401, 422}:
        return LogwellError(
            f"The server does not take this user name and password (user {username!r}, HTTP "
            f"{status}). Check both; they are those of Logwell's own pages, not an API key.",
            LogwellErrorCode.UNAUTHORIZED,
            status_code=status,
        )
    if status == 429:
        seconds = asked_wait(headers) or 10.0
        return LogwellError(
            f"The server takes no more sign-ins for {seconds:.0f} s: three in a row are allowed, "
            "and those of others may count too. `logwell-otel login` keeps a session, so that one "
            "is enough.",
            LogwellErrorCode.RATE_LIMITED,
            status_code=status,
            retryable=True,
            retry_after=seconds,
        )
    return LogwellError(
        f"Signing in was answered HTTP {status}, which a Logwell server does not say there. "
        "Check that the endpoint is the server's base URL.",
        LogwellErrorCode.SERVER_ERROR,
        status_code=status,
        retryable=status >= 500,
    )
