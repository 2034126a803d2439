"""The API key and other secrets: where they come from, and that they are shown nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar
from urllib.parse import unquote

from logwell_otel._config.settings import as_text

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from logwell_otel._config.settings import Resolver


_KEY: Final = re.compile(r"lw_[A-Za-z0-9_-]{32}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_FILE_CHARACTERS: Final = 4096


class Secret:
    """A value that is never pickled: it would leave the process in clear text."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        # A pickle is where a secret is least expected.
        raise TypeError(
            f"{type(self).__name__} is not pickled: it would leave the process in clear text"
        )


class Credential(Secret):
    """A secret that requests carry.

    One from a file is read again when the server refuses it: secrets mounted into a
    container are rotated while the program runs.

    Args:
        value: The secret.
        path: The file it came from, None when it was given as text.

    Attributes:
        noun: What it is called in errors.
        form: What it looks like.
    """

    __slots__ = ("_path", "_value")
    noun: ClassVar[str]
    form: ClassVar[str]

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


class ApiKey(Credential):
    """The key of a Logwell project."""

    __slots__ = ()
    noun = "key"
    form = "'lw_' and 32 characters of A-Z, a-z, 0-9, '_' and '-'"

    @staticmethod
    def problem(value: str) -> str | None:
        """What is wrong with it: too short, say."""
        if _KEY.fullmatch(value):
            return None
        if not value:
            return "nothing"
        if not value.startswith("lw_"):
            return f"{len(value)} characters that do not begin with 'lw_'"
        if len(value) != 35:
            return f"{len(value)} characters"
        return "a character outside A-Z, a-z, 0-9, '_' and '-'"


class BearerToken(Credential):
    """The token of a policy server."""

    __slots__ = ()
    noun = "token"
    form = "printable ASCII characters without white space"

    @staticmethod
    def problem(value: str) -> str | None:
        """What is wrong with it: white space, say."""
        if not value:
            return "nothing"
        if len(value) >= _FILE_CHARACTERS:
            return f"{_FILE_CHARACTERS:,} characters or more"
        if not _TOKEN.fullmatch(value):
            return f"{len(value)} characters with white space or some outside ASCII among them"
        return None


_Kind = TypeVar("_Kind", bound=Credential)


def credential_of(settings: Resolver, name: str, kind: type[_Kind]) -> _Kind | None:
    """The setting `name`, or what is in the file that the setting `<name>_file` names.

    Raises:
        LogwellError: `INVALID_CONFIG`: it has another form. Nothing of it is shown.
    """
    value, path = settings.secret(name)
    if path is not None:
        try:
            return kind.from_file(path)
        except (OSError, ValueError) as error:
            problem = str(error)
        # Outside of `except`, see Resolver.error.
        expected = f"a file that holds a {kind.noun}: {kind.form}"
        raise settings.error(f"{name}_file", expected, f"a file with {problem}")
    if value is None:
        return None
    if found := kind.problem(value):
        raise settings.error(name, kind.form, found)
    return kind(value)


# Further headers of every request: their values are shown nowhere either.

_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",  # an answer in gzip would not be understood, and so sent for again
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
# RFC 9110: a header's name is a token; its value has no control characters.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_SHORTEST_WORD: Final = 8


class Headers(Secret, Mapping[str, str]):
    """Header names and values. The values are secrets as often as not, and never shown."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def secrets(self) -> Iterator[str]:
        """What must not be shown."""
        for value in self._values.values():
            yield value
            # `Bearer abc…` may be quoted without its first word.
            yield from (word for word in value.split() if len(word) >= _SHORTEST_WORD)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self._values)}>" if self._values else "<Headers>"


def headers_of(settings: Resolver, setting: str) -> Headers:
    """The headers that `setting` names: a mapping, or `name=value,name=value`.

    Values are percent-decoded in the second form, as OpenTelemetry's are.

    Raises:
        LogwellError: `INVALID_CONFIG`. No value is shown, nor a name that is none:
            `X-Token: abc=` has its secret in front of the `=`.
    """
    value = settings.raw(setting)
    if value is None:
        return Headers({})
    if isinstance(value, Mapping):
        pairs = _of_mapping(settings, setting, value)
    elif isinstance(value, str):
        pairs = _of_text(settings, setting, value)
    else:
        expected = "a mapping or name=value,name=value"
        raise settings.error(setting, expected, type(value).__name__)
    headers: dict[str, str] = {}
    for number, (name, text) in enumerate(pairs, 1):
        if problem := _header_problem(name, text, headers):
            expected, found = problem
            raise settings.error(setting, expected, f"{found} (header {number})")
        headers[name] = text
    return Headers(headers)


def _header_problem(name: str, value: str, before: Iterable[str]) -> tuple[str, str] | None:
    """What was expected of a header, and what was found; None where nothing is wrong."""
    if not _NAME.fullmatch(name):
        return "names of letters, digits and hyphens", "another character in the name"
    if name.lower() in _OURS:
        return "no header that the exporter itself sets", name
    if name.lower() in map(str.lower, before):
        return "each header once", f"{name} again"
    if not _VALUE.fullmatch(value):
        return "values of printable ASCII", "another character in the value"
    return None


def _of_mapping(
    settings: Resolver, setting: str, value: Mapping[Any, Any]
) -> Iterator[tuple[str, str]]:
    for number, pair in enumerate(value.items(), 1):
        # YAML reads digits as a number; what it reads as something else, such as null or
        # true, has lost the spelling that was meant.
        name, text = map(as_text, pair)
        if name is None or text is None:
            found = " and ".join(type(one).__name__ for one in pair)
            expected = "texts as names and values"
            raise settings.error(setting, expected, f"{found} (header {number})")
        yield name.strip(), text.strip()


def _of_text(settings: Resolver, setting: str, value: str) -> Iterator[tuple[str, str]]:
    for number, part in enumerate(filter(None, map(str.strip, value.split(","))), 1):
        name, separator, text = part.partition("=")
        if not separator:
            raise settings.error(setting, "name=value,name=value", f"no '=' in part {number}")
        yield unquote(name.strip()), unquote(text.strip()).strip()
