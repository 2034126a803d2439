"""Further headers of every request: read, checked, and their values shown nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import unquote

from logwell_otel.settings import as_text

if TYPE_CHECKING:
    from logwell_otel.settings import Settings

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


class Headers(Mapping[str, str]):
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

    def __reduce__(self) -> NoReturn:
        raise TypeError("Headers are not pickled: they would leave the process in clear text")


def headers_of(settings: Settings) -> Headers:
    """The setting `headers`: a mapping, or `name=value,name=value`.

    Values are percent-decoded in the second form, as OpenTelemetry's are.

    Raises:
        LogwellError: `INVALID_CONFIG`. No value is shown, nor a name that is none:
            `X-Token: abc=` has its secret in front of the `=`.
    """
    value = settings.raw("headers")
    if value is None:
        return Headers({})
    if isinstance(value, Mapping):
        pairs = _of_mapping(settings, value)
    elif isinstance(value, str):
        pairs = _of_text(settings, value)
    else:
        expected = "a mapping or name=value,name=value"
        raise settings.error("headers", expected, type(value).__name__)
    headers: dict[str, str] = {}
    seen: set[str] = set()
    for number, (name, text) in enumerate(pairs, 1):
        if not _NAME.fullmatch(name):
            expected, found = (
                "names of letters, digits and hyphens",
                "another character in the name",
            )
        elif name.lower() in _OURS:
            expected, found = "no header that the exporter itself sets", name
        elif name.lower() in seen:
            expected, found = "each header once", f"{name} again"
        elif not _VALUE.fullmatch(text):
            expected, found = "values of printable ASCII", "another character in the value"
        else:
            seen.add(name.lower())
            headers[name] = text
            continue
        raise settings.error("headers", expected, f"{found} (header {number})")
    return Headers(headers)


def _of_mapping(settings: Settings, value: Mapping[Any, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, (name, text) in enumerate(value.items(), 1):
        # YAML reads digits as a number; what it reads as something else, such as null or
        # true, has lost the spelling that was meant.
        pair = as_text(name), as_text(text)
        if pair[0] is None or pair[1] is None:
            found = f"{type(name).__name__} and {type(text).__name__} (header {number})"
            raise settings.error("headers", "texts as names and values", found)
        pairs.append((pair[0].strip(), pair[1].strip()))
    return pairs


def _of_text(settings: Settings, value: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, part in enumerate(filter(None, map(str.strip, value.split(","))), 1):
        name, separator, text = part.partition("=")
        if not separator:
            raise settings.error("headers", "name=value,name=value", f"no '=' in part {number}")
        pairs.append((unquote(name.strip()), unquote(text.strip()).strip()))
    return pairs
