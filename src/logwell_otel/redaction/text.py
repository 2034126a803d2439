"""One text through all detectors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.redaction.cards import may_hold_cards, names_an_id, redact_cards
from logwell_otel.redaction.commands import redact_commands, redact_inserted, redact_unformatted
from logwell_otel.redaction.credentials import redact_credentials, redact_schemes
from logwell_otel.redaction.emails import redact_emails
from logwell_otel.redaction.labelled import redact_labelled
from logwell_otel.redaction.names import as_read, marker, shape_of
from logwell_otel.redaction.pairs import redact_pairs
from logwell_otel.redaction.personal import DETECTORS
from logwell_otel.redaction.prefilter import Prefilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from logwell_otel.redaction.names import SecretKeys

    _Extra = tuple[str, re.Pattern[str], Callable[[str], bool]]

_KIND = re.compile(r"[A-Za-z0-9_-]{1,40}")


class TextRedactor:
    """Redacts one text at a time.

    Args:
        keys: Which names name a secret.
        extra_patterns: Kind -> regular expression; every match becomes `[redacted:kind]`.
        extra_keys: The names `keys` was given beyond its own.
        also: Kinds of `personal.DETECTORS` to look for.
        is_allowed: Says of something found whether it may stay.

    Raises:
        LogwellError: `INVALID_CONFIG` for a kind or an expression that is none.
    """

    def __init__(
        self,
        keys: SecretKeys,
        extra_patterns: Mapping[str, str | re.Pattern[str]],
        extra_keys: Iterable[str],
        also: Iterable[str],
        is_allowed: Callable[[str], bool],
    ) -> None:
        self._keys = keys
        self._prefilter = Prefilter(extra_keys)
        self.known_texts: set[str] = self._prefilter.known_texts
        """Texts in which nothing can be found; only some of them, and they change."""
        self._extra = [_compile(kind, pattern) for kind, pattern in extra_patterns.items()]
        self._extra += [_detector(kind) for kind in also]
        self.is_allowed = is_allowed
        # Asked for every entry: without a call in between.
        self.holds_nothing: Callable[[list[str]], bool] = (
            _cannot_tell if self._extra else self._prefilter.holds_nothing
        )
        """Tells cheaply whether nothing can be found in any of the texts; True is certain."""

    @property
    def looks_for_more(self) -> bool:
        """Whether there are patterns for which no prefilter is known."""
        return bool(self._extra)

    def redact(self, text: str, name: str = "", *, sure: bool = False) -> str:
        """Return the text with what was found replaced.

        Args:
            text: What to look through.
            name: What it stands under: a number under a name of ids is no card number.
            sure: Something may be found in it, as is known already.
        """
        if sure or not self._prefilter.holds_nothing([text]):
            read = as_read(text)
            redacted = self._detect(read, name)
            # What holds nothing keeps its colours and its signs.
            text = text if redacted == read else redacted
        for kind, pattern, is_one in self._extra:
            text = self._replace(pattern, kind, text, is_one)
        return text

    def _detect(self, text: str, name: str) -> str:
        low = text.lower()
        # Shapes first: inside `password=…` or a URL they say more than the name does.
        text = redact_commands(text, low, self.is_allowed)
        text = redact_credentials(text, low, self.is_allowed)
        if places := self._prefilter.places_of_names(text):
            query = name.lower().endswith(("query", "query_string", "querystring"))
            text = redact_pairs(text, places, self._keys, self.is_allowed, query=query)
            text = redact_labelled(text, low, self._keys, self.is_allowed)
        text = redact_inserted(text, low, self._keys, self.is_allowed)
        text = redact_unformatted(text, low, self._keys, self.is_allowed)
        text = redact_schemes(text, low, self.is_allowed)
        text = redact_emails(text, self.is_allowed)
        if may_hold_cards(shape_of(text)) and not names_an_id(name):
            text = redact_cards(text, self.is_allowed)
        return text

    def _replace(
        self, pattern: re.Pattern[str], kind: str, text: str, is_one: Callable[[str], bool]
    ) -> str:
        def replacement(found: re.Match[str]) -> str:
            # A pattern that also matches nothing would put markers between all characters.
            stays = not found[0] or self.is_allowed(found[0]) or not is_one(found[0])
            return found[0] if stays else marker(kind)

        return pattern.sub(replacement, text)


def _cannot_tell(_: list[str]) -> bool:
    """For patterns of one's own no prefilter is known."""
    return False


def _detector(kind: str) -> _Extra:
    found = DETECTORS.get(kind)
    if found is None:
        raise LogwellError(
            f"redaction also: {kind!r} is none of {', '.join(DETECTORS)}",
            LogwellErrorCode.INVALID_CONFIG,
        )
    return kind, *found


def _compile(kind: str, pattern: str | re.Pattern[str]) -> _Extra:
    if not _KIND.fullmatch(kind):
        raise LogwellError(
            f"redaction extra_patterns: the kind {kind!r} is not made of letters, digits, - and _",
            LogwellErrorCode.INVALID_CONFIG,
        )
    try:
        return kind, re.compile(pattern), bool
    except (re.error, TypeError) as error:
        raise LogwellError(
            f"redaction extra_patterns: the pattern for {kind!r} is no regular expression: {error}",
            LogwellErrorCode.INVALID_CONFIG,
        ) from error
