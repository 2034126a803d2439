"""Our own signature: the test vectors, the promise of the cache, the cost."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwell_otel.sampling import pattern, signature
from logwell_otel.sampling.signature import _signatures, _words

_VECTORS = json.loads(
    (Path(__file__).parents[1] / "data" / "signature_vectors.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["message"][:50])
def test_vectors(vector: dict[str, str]) -> None:
    for _ in range(2):
        assert pattern(vector["message"]) == vector["pattern"]
        assert signature(vector["message"]) == vector["signature"]
    digest = blake2b(vector["pattern"].encode(), digest_size=8).hexdigest()
    assert vector["signature"] == digest


@given(st.text(st.sampled_from("aZf 0179-:.,/@_%+=[x'é٣"), max_size=60), st.randoms())
def test_any_digit_may_stand_for_any_other(message: str, randomness: object) -> None:
    """What the cache relies on."""
    other = re.sub("[0-9]", lambda _: str(randomness.randrange(10)), message)  # type: ignore[attr-defined]
    assert pattern(other) == pattern(message)
    assert signature(other) == signature(message)


@given(st.text())
def test_takes_any_text(message: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", signature(message))
    assert pattern(message) == " ".join(pattern(message).split())


def test_a_lone_surrogate_is_a_character_like_any_other() -> None:
    assert signature("a \ud800 1") == signature("a \ud800 2") != signature("a 1")


def _with_digit(value: object) -> bool:
    return re.search(r"\d", str(value)) is not None


_VALUES = st.tuples(
    st.uuids().map(str),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(_with_digit).map(str),
    st.datetimes(min_value=dt.datetime(1000, 1, 1)).map(dt.datetime.isoformat),  # noqa: DTZ001
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.binary(min_size=8, max_size=32).map(bytes.hex).filter(_with_digit),
)


@given(_VALUES)
@example(("0" * 8 + "-0000" * 3 + "-" + "0" * 12, "0.0.0.0", "::ffff:1.2.3.4", "12:00:00", *"123"))
def test_values_of_any_kind_give_one_pattern(values: tuple[str, ...]) -> None:
    assert pattern(" ".join(values)) == "<uuid> <ip> <ip> <time> <n> <n> <n>"


def test_what_is_remembered_is_bounded() -> None:
    for number in range(0x4E00, 0x4E00 + 10_000):
        signature(f"{chr(number)} {chr(number)}{'x' * 300}")
        signature(f"{chr(number)}")
    assert len(_words) <= 4096
    assert len(_signatures) <= 4096
    assert max(len(word) for word in _words) <= 64
    assert max(len(shape) for shape in _signatures) <= 256


@pytest.mark.parametrize(
    "piece",
    ["a", "0", "a0", "0a", "a.", "a@", "a@a.", "0000-", "f:", "0.", "::", "://", "0:", "aB3"],
)
def test_the_cost_of_one_long_word_is_bounded(piece: str) -> None:
    """Only 1,024 characters count, and no rule takes more than linear time for them."""

    def seconds(length: int) -> float:
        message = (piece * length)[:length]
        begin = time.thread_time()
        for _ in range(100):
            signature(message)
        return time.thread_time() - begin

    assert any(seconds(1024) <= 3 * seconds(512) for _ in range(4))
    assert any(seconds(100_000) <= 2 * seconds(1024) for _ in range(4))
