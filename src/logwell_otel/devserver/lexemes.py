"""Which words the server's full-text search finds: PostgreSQL's parser and `english` dictionary.

An approximation held to the recorded searches; docs/devserver.md names what differs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import snowballstemmer

_TOKEN = re.compile(
    r"""
      (?P<email> [\w.+-]+ @ [\w-]+ (?:\.[\w-]+)+ )
    | (?P<path> (?:[\w.-]+)? (?:/[\w.-]+)+ (?:\?[^\s"<>]*)? )
    | (?P<host> \w[\w-]* (?:\.\w[\w-]*)+ )
    | (?P<compound> [^\W_]+ (?:-[^\W_]+)+ )
    | (?P<number> [+-][0-9]+ )
    | (?P<word> [^\W_]+ )
    """,
    re.VERBOSE,
)
_SIGNS = re.compile(r"""[&|!():*\\'"<>]""")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_STEMMER = snowballstemmer.stemmer("english")
# PostgreSQL's english.stop: https://github.com/postgres/postgres/blob/master/src/backend/snowball/stopwords/english.stop
_STOP_LIST = """\
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she
her hers herself it its itself they them their theirs themselves what which who whom this that
these those am is are was were be been being have has had having do does did doing a an the and
but if or because as until while of at by for with about against between into through during
before after above below to from up down in out on off over under again further then once here
there when where why how all any both each few more most other some such no nor not only own
same so than too very s t can will just don should now
"""
_STOP_WORDS = frozenset(_STOP_LIST.split())


def of_document(message: str, *parts: Any) -> str:
    """The words of an entry, ready for the full-text table.

    Args:
        message: The message.
        parts: JSON texts beside it; None for what is not there.
    """
    text = " ".join([message, *(part for part in parts if part)])
    return " ".join(_ready(lexeme) for lexeme in _lexemes(_TAG.sub(" ", text)))


def query(search: str) -> str | None:
    """The full-text query of a `search` parameter.

    Returns:
        None for no filter; an empty text for a query that finds nothing.
    """
    words = _SIGNS.sub(" ", search).split()
    if not words:
        return None
    found = dict.fromkeys(_ready(lexeme) for word in words for lexeme in _lexemes(word))
    return " AND ".join(found)


def _lexemes(text: str) -> list[str]:
    lexemes: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0].lower()
        kind = match.lastgroup
        if kind == "word":
            lexemes += _stem(token)
        elif kind == "compound":
            lexemes.append(token)
            for part in token.split("-"):
                lexemes += _stem(part)
        elif kind == "path":
            path, question, _ = token.partition("?")
            lexemes += [path] if question else []
            lexemes.append(token)
        else:
            lexemes.append(token)
    return lexemes


@lru_cache(maxsize=20_000)
def _stem(word: str) -> tuple[str, ...]:
    if word in _STOP_WORDS:
        return ()
    return (_STEMMER.stemWord(word),) if word.isascii() else (word,)


def _ready(lexeme: str) -> str:
    # Letters and digits only, so that SQLite's tokenizer takes it as one word.
    return "w" + lexeme.encode("utf-8", "surrogatepass").hex()
