"""`Redactor`: takes what must not be logged out of an entry, wherever it stands in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from logwell_otel.redaction.cards import MAX_CARD, MIN_CARD
from logwell_otel.redaction.keys import SecretKeys
from logwell_otel.redaction.text import TextRedactor
from logwell_otel.redaction.walk import HARMLESS, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from logwell_otel.wire import LogEntry

_GLANCE_DEPTH = 4
_MAX_NAMES = 4096
_MAX_NAME = 128


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

    Raises:
        LogwellError: `INVALID_CONFIG` for an extra pattern that is no regular expression.
    """

    def __init__(
        self,
        *,
        extra_patterns: Mapping[str, str | re.Pattern[str]] | None = None,
        extra_keys: Iterable[str] = (),
        allow: Iterable[str | re.Pattern[str]] = (),
    ) -> None:
        extra_keys = tuple(extra_keys)
        allow = tuple(allow)
        self._allowed_texts = frozenset(item for item in allow if isinstance(item, str))
        self._allowed_patterns = [item for item in allow if isinstance(item, re.Pattern)]
        self._keys = SecretKeys(extra_keys, self._allowed_texts)
        self._text = TextRedactor(self._keys, extra_patterns or {}, extra_keys, self._is_allowed)
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
            entry.metadata = Walk(self._keys, self._text).mapping(entry.metadata)
        return entry

    def redact_text(self, text: str) -> str:
        """Redact one text that is in no entry."""
        return self._text.redact(text)

    def _is_allowed(self, text: str) -> bool:
        return text in self._allowed_texts or any(
            pattern.fullmatch(text) for pattern in self._allowed_patterns
        )

    def _collect(self, mapping: Mapping[Any, Any], texts: list[str], depth: int) -> bool:
        """Collect the texts to look at in a mapping; False when only a walk can tell."""
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
            elif cls not in HARMLESS and not self._collect_container(value, texts, depth):
                return False
        return True

    def _collect_container(self, value: Any, texts: list[str], depth: int) -> bool:
        if depth == _GLANCE_DEPTH:
            return False
        cls = type(value)
        if cls is dict:
            # A name and a value beside each other, as in a list of headers, take the walk.
            return "value" not in value and self._collect(value, texts, depth + 1)
        if cls is list or cls is tuple:
            return self._collect_values(value, texts, depth + 1)
        return False

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
