"""What the database takes for broken only because there is so much of it."""

from __future__ import annotations

import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.devserver.rules import (
    MAX_INDEX_BYTES,
    MAX_METADATA_DEPTH,
    MAX_SERVICE_BYTES,
    PoisonError,
    index_bytes,
    parse,
    read_batch,
)

if TYPE_CHECKING:
    import httpx

    from logwell_otel.devserver import DevServer

RANDOM = random.Random(5)


def read(entry: dict[str, Any]) -> None:
    body = json.dumps({"level": "info", "message": "x"} | entry).encode()
    read_batch(parse(body), len(body), 0)


def uuids(size: int) -> str:
    words = (str(uuid.UUID(int=RANDOM.getrandbits(128), version=4)) for _ in range(size // 37))
    return " ".join(words)


def test_480_kb_of_uuids_are_too_many_words() -> None:
    with pytest.raises(PoisonError, match="distinct words"):
        read({"message": uuids(480_000)})


def test_words_in_metadata_count_too() -> None:
    half = {"message": uuids(240_000)}
    read(half)
    with pytest.raises(PoisonError, match="distinct words"):
        read(half | {"metadata": {"ids": [uuids(240_000)]}})


@pytest.mark.parametrize(
    "message",
    ["x" * 500_000, "same words again " * 29_000, "é" * 80_000, uuids(400_000)],
    ids=["one word", "few words", "beyond ASCII", "fewer UUIDs"],
)
def test_long_messages_that_fit(message: str) -> None:
    read({"message": message})


def test_the_index_counts_letters_places_and_parts() -> None:
    assert index_bytes("") == 0
    assert index_bytes("abc") == 4 + 2 + 2
    assert index_bytes("Abc abc") == 4 + 2 + 4
    assert index_bytes("ab-cd") == (6 + 4) + (2 + 4) + (2 + 4)
    assert index_bytes("a " * 1_000) == 2 + 2 + 2 * 255
    assert index_bytes("x" * 2_047) == 0
    assert MAX_INDEX_BYTES == 1_048_575


def test_service_names_end_at_their_index() -> None:
    read({"service": "é" * (MAX_SERVICE_BYTES // 2)})
    with pytest.raises(PoisonError, match="service"):
        read({"service": "é" * (MAX_SERVICE_BYTES // 2) + "x"})
    with pytest.raises(PoisonError, match="service"):
        read({"metadata": {"service.name": "x" * (MAX_SERVICE_BYTES + 1)}})


def nested(depth: int, opening: str, closing: str) -> bytes:
    return b'{"level":"info","message":"x","metadata":%s1%s}' % (
        opening.encode() * depth,
        closing.encode() * depth,
    )


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_depth(receiver: DevServer, client: httpx.Client, opening: str, closing: str) -> None:
    def post(depth: int) -> int:
        return client.post("/v1/ingest", content=nested(depth, opening, closing)).status_code

    assert post(MAX_METADATA_DEPTH) == 200
    assert post(MAX_METADATA_DEPTH + 1) == 500
    assert post(50_000) == 500
    assert receiver.count() == 1
    (logged,) = client.get("/api/logs").json()["logs"]
    assert json.dumps(logged["metadata"]).count(opening[0]) == MAX_METADATA_DEPTH


def test_depth_outside_of_metadata_does_no_harm(client: httpx.Client) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    answer = client.post("/v1/ingest", content=b'{"level":"info","message":"x","a":%s}' % deep)
    assert answer.json() == {"accepted": 1}
    assert client.post("/v1/ingest", content=b"[%s]" % deep).json()["errors"] == [
        "Entry at index 0: missing required field 'level'"
    ]
    assert client.post("/v1/ingest", content=deep[:-1]).status_code == 400


def test_a_level_nested_deep_is_500_as_in_javascript(client: httpx.Client) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    answer = client.post("/v1/ingest", content=b'{"level":%s,"message":"x"}' % deep)
    assert answer.status_code == 500
