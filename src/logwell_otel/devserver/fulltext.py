"""How much of PostgreSQL's full-text index an entry takes.

The server keeps a `tsvector` of every entry's text, and PostgreSQL refuses one over
1 MiB: the batch fails. A word takes its letters, two bytes and two more for each place
where it stands; a hyphenated word is there whole and again in its parts, which is how
480 kB of UUIDs come to more than 1 MiB.
https://www.postgresql.org/docs/15/textsearch-limitations.html
"""

from __future__ import annotations

import re

MAX_INDEX_BYTES = 2**20 - 1
"""PostgreSQL's limit for one `tsvector`."""

_MAX_WORD_BYTES = 2046
"""PostgreSQL leaves longer words out of the index."""

_MAX_PLACES = 255
"""PostgreSQL remembers that many places of one word."""

_WORD = re.compile(r"\w+(?:-\w+)*")


def index_bytes(text: str) -> int:
    """An estimate, within some percent, of the index's size for this text.

    PostgreSQL's own parser also takes apart URLs, paths and numbers and knows word stems;
    what decides for long texts is words and hyphens.
    """
    places: dict[str, int] = {}
    for match in _WORD.finditer(text.lower()):
        word = match[0]
        for part in (word, *word.split("-")) if "-" in word else (word,):
            places[part] = places.get(part, 0) + 1
    return sum(_word_bytes(word, count) for word, count in places.items())


def _word_bytes(word: str, count: int) -> int:
    letters = len(word.encode("utf-8", errors="replace"))
    if letters > _MAX_WORD_BYTES:
        return 0
    return letters + letters % 2 + 2 + 2 * min(count, _MAX_PLACES)
