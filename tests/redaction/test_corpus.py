"""The corpus through `export()`: what has to be found, and what has to stay, in every place."""

from __future__ import annotations

import re

import pytest

from logwell_otel.redaction import Redactor
from support.bench import Bench
from support.redaction import BYTES, PLACES, corpus, requests

_CASES = corpus()
_FOUND = [case for case in _CASES if "redacted" in case]
_KEPT = [case for case in _CASES if "redacted" not in case]


def _becomes(case: dict[str, str]) -> str:
    return case.get("redacted", case["text"])


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(_FOUND) >= 250
    assert len(_KEPT) >= 250
    assert len({case["text"] for case in _CASES}) == len(_CASES)
    assert all("[redacted:" in case["redacted"] for case in _FOUND)


def test_each_message_by_itself() -> None:
    """With an exporter of its own: what others taught a redactor helps none."""
    plain = Bench()
    for case in _CASES:
        plain.exporter.export([PLACES["message"](_becomes(case))])
        plain.run()
    wrong = {
        case["text"]: sent
        for case, expected in zip(_CASES, plain.server.bodies, strict=True)
        if (sent := requests([PLACES["message"](case["text"])], redact=True)) != [expected]
    }
    assert wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_the_whole_corpus_in_every_place_with_one_exporter(place: str) -> None:
    """What one entry taught the redactor must not make it blind for the next one."""
    cases = [*_KEPT, *_FOUND, *_KEPT]
    sent = requests([PLACES[place](case["text"]) for case in cases], redact=True)
    expected = requests([PLACES[place](_becomes(case)) for case in cases])
    assert (
        b"".join(sent).replace(b"},{", b"},\n{").splitlines()
        == b"".join(expected).replace(b"},{", b"},\n{").splitlines()
    )


@pytest.mark.parametrize("place", BYTES)
def test_the_whole_corpus_as_bytes(place: str) -> None:
    """Bytes in which nothing is found stay base64; others become the redacted text."""
    sent = requests([BYTES[place](case["text"].encode()) for case in _CASES], redact=True)
    expected = requests(
        [BYTES[place](case.get("redacted", case["text"].encode())) for case in _CASES]
    )
    assert sent == expected


def test_a_second_pass_changes_nothing() -> None:
    once = [_becomes(case) for case in _CASES]
    assert [Redactor().redact_text(text) for text in once] == once


def test_finds_the_same_with_other_digits_seen_before() -> None:
    """The prefilter remembers shapes: the same text with harmless digits must not hide this one."""

    def redacted_after_it(text: str) -> str:
        redactor = Redactor()
        redactor.redact_text(re.sub(r"\d", "1", text))
        return redactor.redact_text(text)

    found = [redacted_after_it(case["text"]) for case in _FOUND]
    assert found == [case["redacted"] for case in _FOUND]
