"""The policy server's two signature algorithms: given vectors, and an oracle pass by pass."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwell_otel.sampling import client_signature, server_signature

_VECTORS = json.loads(
    (Path(__file__).parents[1] / "data" / "foreign_signature_vectors.json").read_text("utf-8")
)

_UUID = r"(?i)[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"
_CLIENT_PASSES = [
    (_UUID, "UUID"),
    (r"(?i)\b[a-f0-9]{32,}\b", "HEXID"),
    (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}", "TIMESTAMP"),
    (r"\b\d{4}-\d{2}-\d{2}\b", "DATE"),
    (r"\b\d{2}:\d{2}:\d{2}\b", "TIME"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "IP"),
    (r"\b[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}\b", "EMAIL"),
    (r"https?://[^\s]+", "URL"),
    (r"\b\d+\b", "N"),
    (r"\s+", " "),
]
_SERVER_PASSES = [
    (r"\d+", "N"),
    (_UUID, "UUID"),
    (r"\d{4}-\d{2}-\d{2}", "DATE"),
    (r"\d{2}:\d{2}:\d{2}", "TIME"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "IP"),
    (r"[a-z]:\\[^\s]+", "PATH"),
    (r"/[^\s]+/[^\s]+", "PATH"),
    (r"\s+", " "),
]


def _passes(text: str, passes: list[tuple[str, str]]) -> str:
    for expression, replacement in passes:
        text = re.sub(expression, replacement, text)
    return text


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("User 123 logged in", "1a1c3b94e8102ab1a090fe23b620e051"),
        ("Login from 10.0.0.1", "8028869904133f962a811bbb58556a33"),
        ("GET /a/b 200", "5edf44cf6cd7b201d60e872953dd0197"),
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
    ],
)
def test_the_clients_published_vectors(message: str, expected: str) -> None:
    assert client_signature(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("User 123 logged in", "192e2189dedd759b686b29a872987cc1"),
        ("GET /a/b 200", "03e00eeeda2bda6b4af5521804ae108a"),
        ("", _md5("empty")),
    ],
)
def test_the_servers_published_vectors(message: str, expected: str) -> None:
    assert server_signature(message) == expected


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["message"][:40])
def test_vectors(vector: dict[str, str]) -> None:
    assert client_signature(vector["message"]) == vector["client"]
    assert server_signature(vector["message"]) == vector["server"]


_WORDS = [
    *("bob@example.com", "@", ".x@y.org", "éa.b@c.de", "a@b", "@c.de", ".-c@d.com", "a@b.c1"),
    *("10.0.0.1", "2025-10-24", "T12:00:00", " 12:00:00", "12", "a", "f" * 32, "٣"),
    *("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "abcdefab-abcd-abcd-abcd-abcdefabcdef"),
    *("https://x/y", "C:\\a b", "/a/b", "/", " ", "\t", "-", ".", "_", "%"),
]
_PIECES = st.lists(st.sampled_from(_WORDS) | st.text(max_size=3), max_size=8).map("".join)


@given(_PIECES)
@example("éabc@x.com@y.com")
@example("a@b.com.-c@d.com")
@example("é.abc@x.com")
def test_the_client_form_is_what_the_passes_make(message: str) -> None:
    message = message.encode("utf-8", "ignore").decode()
    assert client_signature(message) == _md5(_passes(message, _CLIENT_PASSES).strip())


@given(_PIECES)
def test_the_server_form_is_what_the_passes_make(message: str) -> None:
    message = message.encode("utf-8", "ignore").decode()
    expected = _passes(message.lower().strip(), _SERVER_PASSES) if message else "empty"
    assert server_signature(message) == _md5(expected)


def test_a_lone_surrogate_does_not_raise() -> None:
    assert client_signature("\ud800") == client_signature("?")
    assert server_signature("\ud800") == server_signature("?")


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["a.", "a@", "a@a.", "@", "/", "/a", "f", "1.", "a:\\", " "])
def test_twice_the_text_costs_about_twice(piece: str) -> None:
    def seconds(length: int) -> float:
        message = "x@ 1-1:1.1 " + piece * (length // len(piece))
        begin = time.thread_time()
        client_signature(message)
        server_signature(message)
        return time.thread_time() - begin

    assert any(seconds(200_000) <= 3 * seconds(100_000) for _ in range(4))
