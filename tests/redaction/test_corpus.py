"""The corpus: what has to be found, and what has to stay as it is.

A line with `redacted` is a text and what becomes of it; a line without is a text that must
not change. `<<alnum 32>>` stands for 32 made-up characters, so that the file itself holds
nothing that a secret scanner would take for a credential.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from logwell_otel._wire import LogEntry
from logwell_otel.redaction import Redactor

_CORPUS = Path(__file__).parents[1] / "data" / "redaction_corpus.jsonl"
_ALPHABETS = {
    "alnum": "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7",
    "upper": "QZ7PLM3XW9KD2RTV",
    "hex": "0f1e2d3c4b5a6978",
}


def _fill(text: str) -> str:
    return re.sub(
        r"<<(\w+) (\d+)>>", lambda found: (_ALPHABETS[found[1]] * 9)[: int(found[2])], text
    )


def _cases() -> list[dict[str, str]]:
    with _CORPUS.open(encoding="utf-8") as lines:
        return [{name: _fill(text) for name, text in json.loads(line).items()} for line in lines]


_CASES = _cases()
_FOUND = [case for case in _CASES if "redacted" in case]
_KEPT = [case for case in _CASES if "redacted" not in case]


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(_FOUND) >= 150
    assert len(_KEPT) >= 150
    assert len({case["text"] for case in _CASES}) == len(_CASES)


@pytest.mark.parametrize("case", _FOUND, ids=lambda case: case["text"][:60])
def test_finds(case: dict[str, str]) -> None:
    assert "[redacted:" in case["redacted"]
    assert Redactor().redact_text(case["text"]) == case["redacted"]


@pytest.mark.parametrize("case", _KEPT, ids=lambda case: case["text"][:60])
def test_keeps(case: dict[str, str]) -> None:
    assert Redactor().redact_text(case["text"]) == case["text"]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case["text"][:60])
def test_a_second_pass_changes_nothing(case: dict[str, str]) -> None:
    once = Redactor().redact_text(case["text"])
    assert Redactor().redact_text(once) == once


@pytest.mark.parametrize("field", ["message", "exception.message", "exception.stacktrace", "url"])
def test_the_whole_corpus_through_entries_with_one_redactor(field: str) -> None:
    """What one entry taught the redactor must not make it blind for the next one."""
    redactor = Redactor()
    for case in [*_KEPT, *_FOUND, *_KEPT]:
        expected = case.get("redacted", case["text"])
        if field == "message":
            entry = redactor.redact_entry(LogEntry(level="info", message=case["text"]))
            assert entry.message == expected
        else:
            entry = LogEntry(level="info", message="m", metadata={field: case["text"]})
            assert redactor.redact_entry(entry).metadata == {field: expected}


@pytest.mark.parametrize("case", _FOUND, ids=lambda case: case["text"][:60])
def test_finds_the_same_with_other_digits_seen_before(case: dict[str, str]) -> None:
    """The prefilter remembers shapes: the same text with harmless digits must not hide this one."""
    redactor = Redactor()
    redactor.redact_text(re.sub(r"\d", "1", case["text"]))
    assert redactor.redact_text(case["text"]) == case["redacted"]
