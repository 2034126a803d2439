"""`Redactor`: takes what must not be logged out of an entry, wherever it stands in it."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, cast

import msgspec

from logwell_otel._encoding.fields import RESERVED
from logwell_otel._encoding.values import CIRCULAR, text_of_bytes
from logwell_otel.redaction.cards import MAX_CARD, MIN_CARD, is_card_number, names_an_id
from logwell_otel.redaction.commands import COMMANDS
from logwell_otel.redaction.labelled import LABELS, TYPED, VALUES
from logwell_otel.redaction.names import SecretKeys, is_marked, marker
from logwell_otel.redaction.pairs import is_count, is_evident, names_a_value
from logwell_otel.redaction.text import TextRedactor

if TYPE_CHECKING:
    from logwell_otel._wire import LogEntry


_PREFILTER_DEPTH = 4
_MAX_NAMES = 4096
_MAX_NAME = 128

_MAX_DEPTH = 32
"""Below this depth a value becomes one text, which is then redacted as a text."""

_LABEL = re.compile(r"[\w.-]+[:=]?")

_LABELS = frozenset((*LABELS.split(), "loc", "type", "id"))
_VALUES = frozenset(VALUES.split())

_COMMAND = re.compile(rf"(?:^|/)(?:{COMMANDS})\Z")
_WITHIN = 8
"""Of so many arguments one may be a command: `["sudo", "-u", "postgres", "mysql", …]`."""


_HARMLESS: frozenset[type] = frozenset(
    [
        *(bool, float, type(None), uuid.UUID, decimal.Decimal, msgspec.Raw),
        *(dt.datetime, dt.date, dt.time, dt.timedelta),
    ]
)
"""Types whose values hold nothing, whatever they are. JSON that is ready is the exporter's own."""


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
        metadata = entry.metadata
        known = self._text.known_texts
        texts = [] if entry.message in known else [entry.message]
        mine = len(texts)
        # Nearly always all names are known, and asking once is faster than one by one.
        whole = self._plain_names.issuperset(metadata) or self._has_plain_names(metadata)
        whole = whole and self._collect_values(metadata.values(), texts, 0)
        if whole and (not texts or self._text.holds_nothing(texts)):
            return entry
        rest_holds_nothing = whole and self._text.holds_nothing(texts[mine:])
        if mine:
            # Where it is not the rest, it is the message.
            entry.message = self._text.redact(entry.message, sure=rest_holds_nothing)
        if not rest_holds_nothing:
            entry.metadata = Traversal(self._keys, self._text).mapping(metadata)
        return entry

    @property
    def takes_ready(self) -> bool:
        """Whether entries may hold ready JSON: ids, and what was redacted once for many records.

        A subclass may look at everything, and so do patterns that are not ours.
        """
        return (
            type(self) is Redactor
            and not self._text.looks_for_more
            and all(self._keys.kind(name) is None for name in RESERVED)
        )

    def redact_text(self, text: str) -> str:
        """Redact one text that is in no entry."""
        return self._text.redact(text)

    def _is_allowed(self, text: str) -> bool:
        return text in self._allowed_texts or any(
            pattern.fullmatch(text) for pattern in self._allowed_patterns
        )

    def _collect(self, mapping: Mapping[Any, Any], texts: list[str], depth: int) -> bool:
        """Collect the texts to look at in a mapping; False when only a traversal can tell."""
        return self._has_plain_names(mapping) and self._collect_values(
            mapping.values(), texts, depth
        )

    def _has_plain_names(self, mapping: Mapping[Any, Any]) -> bool:
        return all(
            self._is_plain_name(name) or self._is_plain_value(mapping, name) for name in mapping
        )

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
            return self._collect(value, texts, depth + 1)
        if cls is list or cls is tuple:
            # So do those in one list.
            return not self._may_hold_pair(value) and self._collect_values(value, texts, depth + 1)
        return False

    def _may_hold_pair(self, items: Sequence[Any]) -> bool:
        return any(
            type(item) is str and (item[:1] == "-" or self._keys.kind(item) is not None)
            for item in items
        )

    def _is_plain_value(self, mapping: Mapping[Any, Any], name: Any) -> bool:
        """Tell of a name like `value` whether it stands beside none of a secret."""
        return (
            _names_a_value(name)
            and self._keys.kind(name) is None
            and self._text.holds_nothing([name])
            and label_beside(mapping, self._keys) is None
        )

    def _is_plain_name(self, name: Any) -> bool:
        if type(name) is not str or self._keys.kind(name) is not None or _names_a_value(name):
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
        beside = label_beside(mapping, self._keys)
        for name, value in mapping.items():
            new_name = self._name(name)
            label = name if beside is None else _label_of(mapping, name, beside)
            new_value = self._named(label, value, depth)
            while new_name is not name and new_name in redacted:
                new_name += "#"
            changed = changed or new_name is not name or new_value is not value
            redacted[new_name] = new_value
        return redacted if changed else mapping  # type: ignore[return-value] # changed if no dict

    def _name(self, name: Any) -> Any:
        return self._text.redact(name) if isinstance(name, str) else name

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
        if isinstance(value, int) and (kind == "session" or is_count(name, kind, value)):
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
        if (line := self._command_line(before)) is not None:
            after = line
        for place, label in self._labels(before, among_pairs=among_pairs):
            after[place] = self._named(label, before[place], depth)
        self._in_list_of_pairs = among_pairs
        if all(new is old for new, old in zip(after, before, strict=True)):
            return items
        return tuple(after) if isinstance(items, tuple) else after

    def _command_line(self, items: list[Any]) -> list[Any] | None:
        """Redact a command and its arguments, as one line; None for what is none."""
        if not any(isinstance(item, str) and _COMMAND.search(item) for item in items[:_WITHIN]):
            return None
        whole = "".join(map(str, items))
        quote = next((quote for quote in "\"'" if quote not in whole), None)
        if quote is None or not all(isinstance(item, str) for item in items):
            return None
        between = f"{quote} {quote}"
        words = self._text.redact(quote + between.join(items) + quote)[1:-1].split(between)
        if len(words) != len(items):
            return None
        return [old if new == old else new for old, new in zip(items, words, strict=True)]

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
            elif (
                not isinstance(value, str)
                or names_a_value(value, kind, self._keys, among_pairs=among_pairs)
                if len(items) == 2
                else isinstance(value, str) and is_evident(value, kind)
            ):
                yield place + 1, label


def _is_two(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2


def label_beside(mapping: Mapping[Any, Any], keys: SecretKeys) -> str | None:
    """Return the name of a secret that is a value itself: `{"name": "Cookie", "value": …}`.

    Args:
        mapping: What such a name and its value may stand in.
        keys: Which names name a secret.
    """
    if not any(map(_names_a_value, mapping)):
        return None
    for word, value in mapping.items():
        if not _names_a_label(word):
            continue
        label = value
        if word == "loc" and isinstance(label, (list, tuple)) and label:
            label = label[-1]  # where in its input pydantic found something wrong
        label = text_of_bytes(label) if isinstance(label, bytes) else label
        kind = keys.kind(label) if isinstance(label, str) else None
        if kind is not None and (word not in ("type", "id") or kind in TYPED):
            return cast("str", label)
    return None


def _label_of(mapping: Mapping[Any, Any], name: Any, beside: str) -> Any:
    """Say under which name a value stands where there is a secret's: that or its own."""
    if not _names_a_value(name):
        return name
    prefix = name[: -len("value")] if name[-5:] in ("value", "Value") else ""
    # Of several pairs in one, the one that begins with the same word.
    for own in (mapping.get(prefix + word) for word in ("name", "key", "Name", "Key") if prefix):
        if isinstance(own, (str, bytes)):
            return own
    return beside


def _names_a_label(name: Any) -> bool:
    if not isinstance(name, str):
        return False
    low = name.lower()
    return low in _LABELS or low.endswith(("name", "key"))


def _names_a_value(name: Any) -> bool:
    return isinstance(name, str) and (name in _VALUES or name[-5:] in ("value", "Value"))


def _str_or_nothing(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return ""
