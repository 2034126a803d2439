"""The API key and other secrets: where they come from, and that they are shown nowhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote

from logwell_otel.errors import LogwellError, LogwellErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from typing_extensions import Self

_KEY: Final = re.compile(r"lw_[A-Za-z0-9_-]{32}")
_KEY_LIKE: Final = re.compile(r"lw_[A-Za-z0-9_-]{8,}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_FILE_CHARACTERS: Final = 4096
_SHORTEST_SECRET: Final = 4
_MASK: Final = "***"


def key_problem(value: str) -> str | None:
    """What is wrong with the form of an API key, without showing any of it; None if nothing is."""
    if _KEY.fullmatch(value):
        return None
    if not value:
        return "nothing"
    if not value.startswith("lw_"):
        return f"{len(value)} characters that do not begin with 'lw_'"
    if len(value) != 35:
        return f"{len(value)} characters"
    return "a character outside A-Z, a-z, 0-9, '_' and '-'"


def token_problem(value: str) -> str | None:
    """What is wrong with the form of a bearer token, likewise."""
    if not value:
        return "nothing"
    if len(value) >= _FILE_CHARACTERS:
        return f"{_FILE_CHARACTERS:,} characters or more"
    if not _TOKEN.fullmatch(value):
        return f"{len(value)} characters with white space or some outside ASCII among them"
    return None


class Credential:
    """A secret that requests carry.

    One from a file is read again when the server refuses it: secrets mounted into a
    container are rotated while the program runs.

    Args:
        value: The secret.
        path: The file it came from, None when it was given as text.
    """

    __slots__ = ("_path", "_value")

    def __init__(self, value: str, path: Path | None = None) -> None:
        self._value = value
        self._path = path

    @staticmethod
    def problem(value: str) -> str | None:
        """What is wrong with the form of `value`, without showing any of it."""
        raise NotImplementedError

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the secret in `path`. White space around it and a byte order mark do not count.

        Raises:
            OSError: The file cannot be read.
            ValueError: It holds none of the right form; the text says why.
        """
        # Not all of it: somebody may have named a log file, or /dev/zero.
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            value = file.read(_FILE_CHARACTERS).strip()
        if problem := cls.problem(value):
            raise ValueError(problem)
        return cls(value, path)

    def reveal(self) -> str:
        """The secret itself: for the Authorization header only."""
        return self._value

    def reload(self) -> bool:
        """Read the file again; True if it holds another secret now."""
        if self._path is None:
            return False
        try:
            fresh = self.from_file(self._path)
        except (OSError, ValueError):
            # Seen in the middle of a rotation: the old one stays, the next refusal looks again.
            return False
        changed = fresh._value != self._value  # noqa: SLF001 - our own class
        self._value = fresh._value  # noqa: SLF001
        return changed

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} from file>" if self._path else f"<{name}>"

    def __reduce__(self) -> NoReturn:
        # A pickle is where a secret is least expected.
        raise TypeError(
            f"this {type(self).__name__} is not pickled: it would leave the process in clear text"
        )


class ApiKey(Credential):
    """The key of a Logwell project."""

    __slots__ = ()
    problem = staticmethod(key_problem)


class BearerToken(Credential):
    """The token of a policy server."""

    __slots__ = ()
    problem = staticmethod(token_problem)


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


def config_error(message: str) -> LogwellError:
    """An `INVALID_CONFIG` error, not retryable."""
    return LogwellError(message, LogwellErrorCode.INVALID_CONFIG)
