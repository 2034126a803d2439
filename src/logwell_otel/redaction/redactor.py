"""`Redactor`: takes what must not be logged out of an entry, wherever it stands in it."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from logwell_otel._encoding.values import CIRCULAR, text_of_bytes
from logwell_otel.redaction.cards import MAX_CARD, MIN_CARD, is_card_number, names_an_id
from logwell_otel.redaction.names import SecretKeys, is_marked, marker
from logwell_otel.redaction.pairs import names_a_value
from logwell_otel.redaction.text import TextRedactor

if TYPE_CHECKING:
    from logwell_otel._wire import LogEntry


_PREFILTER_DEPTH = 4
_MAX_NAMES = 4096
_MAX_NAME = 128

_MAX_DEPTH = 32
"""Below this depth a value becomes one text, which is then redacted as a text."""

_LABEL = re.compile(r"[\w.-]+")

_LABELS = ("name", "key", "Name", "Key", "header", "field", "option", "parameter")
"""What a name's own name is, beside a `value`."""

_HARMLESS: frozenset[type] = frozenset(
    [
        *(bool, float, type(None), uuid.UUID, decimal.Decimal),
        *(dt.datetime, dt.date, dt.time, dt.timedelta),
    ]
)
"""Types whose values hold nothing, whatever they are."""


class Redactor:
    """Replaces personal data and credentials by markers such as `[redacted:email]`.

    What is found, and what is not, is listed in `docs/redaction.md`. Every built-in
    detector takes time linear in the length of a text. May be shared by threads.

    Args:
        extra_patterns: Kind -> regular expression. Every match in any text becomes
            `[redacted:kind]`. These run on every text and cost what they cost.
        extra_keys: More names whose values are secrets: `patient_id` also means
            `patientId` and `x-patient-id`.
        allow: What may stay: a name (`session.id`), a text exactly as it would be found
            (`support@example.com`), or a compiled expression that matches the whole of it.
        also: What else to look for: `phone`, `ip`, `iban`, `national_id`. They run on every
            text as well.

    Raises:
        LogwellError: `INVALID_CONFIG` for an extra pattern that is no regular expression, or
            something else in `also`.
    """

    def __init__(
        self,
        *,
        extra_patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        extra_keys: Iterable[str] = (),
        allow: Iterable[str | re.Pattern[str]] = (),
        also: Iterable[str] = (),
    ) -> None:
        extra_keys = tuple(extra_keys)
        allow, also = tuple(allow), tuple(also)
        self._made_of = (dict(extra_patterns or {}), extra_keys, allow, also)
        self._allowed_texts = frozenset(item for item in allow if isinstance(item, str))
        self._allowed_patterns = [item for item in allow if isinstance(item, re.Pattern)]
        self._keys = SecretKeys(extra_keys, self._allowed_texts)
        self._text = TextRedactor(
            self._keys, extra_patterns or {}, extra_keys, also, self._is_allowed
        )
        self._plain_names: set[str] = set()

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        """Redact an entry's message and its metadata, names included.

        Containers in the metadata are replaced, never changed: they may be the
        application's own objects.

        Returns:
            The entry that was given, with new values where something was found.
        """
        texts = [entry.message]
        seen_whole = self._collect(entry.metadata, texts, 0)
        if seen_whole and self._text.holds_nothing(texts):
            return entry
        entry.message = self._text.redact(entry.message)
        if not (seen_whole and self._text.holds_nothing(texts[1:])):
            entry.metadata = Traversal(self._keys, self._text).mapping(entry.metadata)
        return entry

    def redact_text(self, text: str) -> str:
        """Redact one text that is in no entry."""
        return self._text.redact(text)

    def _is_allowed(self, text: str) -> bool:
        return text in self._allowed_texts or any(
            pattern.fullmatch(text) for pattern in self._allowed_patterns
        )

    def _collect(self, mapping: Mapping[Any, Any], texts: list[str], depth: int) -> bool:
        """Collect the texts to look at in a mapping; False when only a traversal can tell."""
        # Nearly always all names are known, and asking once is faster than one by one.
        names_are_plain = self._plain_names.issuperset(mapping) or all(
            map(self._is_plain_name, mapping)
        )
        return names_are_plain and self._collect_values(mapping.values(), texts, depth)

    def _collect_values(self, values: Iterable[Any], texts: list[str], depth: int) -> bool:
        known = self._text.known_texts
        for value in values:
            cls = type(value)
            if cls is str:
                if value not in known:
                    texts.append(value)
            elif cls is int:
                if MIN_CARD <= value <= MAX_CARD:
                    return False
            elif cls not in _HARMLESS and not self._collect_container(value, texts, depth):
                return False
        return True

    def _collect_container(self, value: Any, texts: list[str], depth: int) -> bool:
        if depth == _PREFILTER_DEPTH:
            return False
        cls = type(value)
        if cls is dict:
            # A name and a value beside each other, as in a list of headers, take the traversal.
            return not any(map(_ends_in_value, value)) and self._collect(value, texts, depth + 1)
        if cls is list or cls is tuple:
            # So do those in one list.
            return not self._may_hold_pair(value) and self._collect_values(value, texts, depth + 1)
        return False

    def _may_hold_pair(self, items: Sequence[Any]) -> bool:
        if len(items) == 2 and type(items[0]) is str:
            return self._keys.kind(items[0]) is not None
        return any(type(item) is str and item[:1] == "-" for item in items)

    def _is_plain_name(self, name: Any) -> bool:
        if type(name) is not str or self._keys.kind(name) is not None:
            return False
        if not self._text.holds_nothing([name]):
            return False
        if len(self._plain_names) >= _MAX_NAMES:
            self._plain_names.clear()
        if len(name) <= _MAX_NAME:
            self._plain_names.add(name)
        return True


class Traversal:
    """Redacts metadata of any shape, value by value: what the prefilter could not rule out.

    Made anew for each entry: it remembers what it has seen.

    What has no finding in it is handed back as the same object.

    Args:
        keys: Which names name a secret.
        text: The detectors for texts.
    """

    def __init__(self, keys: SecretKeys, text: TextRedactor) -> None:
        self._keys = keys
        self._text = text
        # A container that is in many places (or in itself) is walked once: ten lists
        # that each hold the next one ten times would be 10^10 values otherwise.
        self._seen: dict[tuple[int, str], Any] = {}
        self._in_list_of_pairs = False

    def mapping(self, mapping: Mapping[Any, Any], depth: int = 0) -> dict[Any, Any]:
        """Redact a mapping's names and values."""
        redacted: dict[Any, Any] = {}
        changed = type(mapping) is not dict
        for name, value in mapping.items():
            new_name = self._name(name)
            new_value = self._named(self._label(mapping, name), value, depth)
            while new_name is not name and new_name in redacted:
                new_name += "#"
            changed = changed or new_name is not name or new_value is not value
            redacted[new_name] = new_value
        return redacted if changed else mapping  # type: ignore[return-value] # changed if no dict

    def _name(self, name: Any) -> Any:
        return self._text.redact(name) if isinstance(name, str) else name

    @staticmethod
    def _label(mapping: Mapping[Any, Any], name: Any) -> Any:
        """Say under which name a value stands: `{"name": "Cookie", "value": …}` is a pair."""
        if _ends_in_value(name):
            prefix = name[: -len("value")]
            for label in (mapping.get(prefix + word) for word in _LABELS):
                if isinstance(label, (str, bytes)):
                    return label
        return name

    def _named(self, name: Any, value: Any, depth: int) -> Any:
        if isinstance(name, bytes):
            name = text_of_bytes(name)
        if not isinstance(name, str):
            return self._value(value, depth, "")
        kind = self._keys.kind(name)
        if kind is None:
            return self._value(value, depth, name)
        if value is None or isinstance(value, bool) or value in ("", b""):
            return value
        if kind == "session" and isinstance(value, int):
            return value
        if isinstance(value, str) and (
            is_marked(value)
            or self._text.is_allowed(value)
            or (kind == "session" and value.isdigit())
        ):
            return value
        return marker(kind)

    def _value(self, value: Any, depth: int, name: str) -> Any:
        if isinstance(value, str):
            redacted = self._text.redact(value, name)
            return value if redacted == value else redacted
        if type(value) in _HARMLESS:
            return value
        if isinstance(value, int):
            return self._number(value, name)
        if isinstance(value, (bytes, bytearray)):
            return self._as_text(value, text_of_bytes(bytes(value)), name)
        if isinstance(value, (Mapping, Sequence, AbstractSet)) and depth < _MAX_DEPTH:
            return self._container(value, depth, name)
        return self._as_text(value, _str_or_nothing(value), name)

    def _number(self, value: int, name: str) -> int | str:
        if not MIN_CARD <= value <= MAX_CARD or names_an_id(name):
            return value
        digits = str(value)
        is_card = is_card_number(digits) and not self._text.is_allowed(digits)
        return marker("card") if is_card else value

    def _as_text(self, value: Any, text: str, name: str) -> Any:
        """Keep a value of another type as it is, unless its text holds something."""
        redacted = self._text.redact(text, name)
        return value if redacted == text else redacted

    def _container(self, value: Any, depth: int, name: str) -> Any:
        place = (id(value), name)
        if place in self._seen:
            return self._seen[place]
        self._seen[place] = CIRCULAR
        result = (
            self.mapping(value, depth + 1)
            if isinstance(value, Mapping)
            else self._items(value, depth + 1, name)
        )
        self._seen[place] = result
        return result

    def _items(self, items: Iterable[Any], depth: int, name: str) -> Any:
        before = list(items)
        among_pairs = self._in_list_of_pairs
        self._in_list_of_pairs = all(_is_two(item) for item in before)
        after = [self._value(item, depth, name) for item in before]
        for place, label in self._labels(before, among_pairs=among_pairs):
            after[place] = self._named(label, before[place], depth)
        self._in_list_of_pairs = among_pairs
        if all(new is old for new, old in zip(after, before, strict=True)):
            return items
        return tuple(after) if isinstance(items, tuple) else after

    def _labels(self, items: list[Any], *, among_pairs: bool) -> Iterator[tuple[int, str]]:
        """Say which items stand behind their name: in a pair, or in a list of arguments."""
        for place, item in enumerate(items[:-1]):
            if not isinstance(item, (str, bytes)) or len(item) > _MAX_NAME:
                continue
            label = item if isinstance(item, str) else text_of_bytes(item)
            kind = self._keys.kind(label)
            if kind is None or _LABEL.fullmatch(label) is None:
                continue
            value = items[place + 1]
            value = text_of_bytes(value) if isinstance(value, bytes) else value
            if label.startswith("-"):
                if not (isinstance(value, str) and value.startswith("-")):
                    yield place + 1, label
            elif len(items) == 2 and (
                not isinstance(value, str)
                or names_a_value(value, kind, self._keys, among_pairs=among_pairs)
            ):
                yield place + 1, label


def _is_two(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2


def _ends_in_value(name: Any) -> bool:
    return isinstance(name, str) and name[-5:] in ("value", "Value")


def _str_or_nothing(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return ""
