"""The prefilter saves work and changes nothing: with it and without it, the same is found."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from logwell_otel.redaction import Redactor
from logwell_otel.redaction.prefilter import Prefilter
from support.redaction import corpus


class LooksAtAll(Prefilter):
    """Rules out nothing."""

    def holds_nothing(self, texts: list[str]) -> bool:
        return False

    def places_of_names(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def redacted_without(text: str) -> str:
    redactor = Redactor()
    redactor._text._prefilter = LooksAtAll()  # noqa: SLF001 - what is tested is that it is not seen
    return redactor.redact_text(text)


MORE = settings(max_examples=4 * settings().max_examples)  # each takes a millisecond
TEXTS = [case["text"] for case in corpus()]
PIECES = [piece for text in TEXTS for piece in re.split(r"(?<=[ =:&,;])|(?=[\"'<({\[])", text)]


@MORE
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map("".join))
def test_pieces_of_what_is_found_in_any_order(text: str) -> None:
    assert Redactor().redact_text(text) == redacted_without(text)


@MORE
@given(st.sampled_from(TEXTS), st.integers(0, 60), st.integers(0, 60))
def test_what_is_found_cut_at_any_place(text: str, start: int, end: int) -> None:
    cut = text[start : len(text) - end]
    assert Redactor().redact_text(cut) == redacted_without(cut)


@MORE
@given(st.lists(st.sampled_from(TEXTS), min_size=2, max_size=6))
def test_whatever_one_redactor_has_seen_before(texts: list[str]) -> None:
    redactor = Redactor()
    for text in texts:
        redactor.redact_text(re.sub(r"\d", "1", text))
        assert redactor.redact_text(text) == redacted_without(text)
