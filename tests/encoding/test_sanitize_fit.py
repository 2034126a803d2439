"""Entries that are too large or unstorable -> entries that fit, and say so."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel._encoding.fields import RESERVED
from logwell_otel._encoding.sanitize import clean, fit, shrink
from logwell_otel._encoding.values import cut_utf8
from logwell_otel._wire import MAX_ENTRY_BYTES, LogEntry

KIB = 1024


def entry_of(message: str = "m", **fields: Any) -> LogEntry:
    return LogEntry(level="info", message=message, **fields)


def fitted(entry: LogEntry, limit: int = MAX_ENTRY_BYTES) -> dict[str, Any]:
    encoded = fit(entry, limit)
    assert len(encoded) <= limit
    found: dict[str, Any] = json.loads(encoded)
    return found


class TestFit:
    def test_what_fits_is_not_touched(self) -> None:
        entry = entry_of("x" * 1000, metadata={"a": [1, {"b": "c"}]})
        assert fit(entry) == msgspec.json.encode(entry)
        assert "logwell.truncated" not in entry.metadata

    def test_exactly_the_limit_fits(self) -> None:
        entry = entry_of("x" * (MAX_ENTRY_BYTES - len(msgspec.json.encode(entry_of("")))))
        assert len(fit(entry)) == MAX_ENTRY_BYTES
        assert entry.metadata == {}
        entry.message += "x"
        assert len(fit(entry)) < MAX_ENTRY_BYTES
        assert entry.metadata == {"logwell.truncated": True}

    def test_long_strings_are_cut_and_short_ones_stay(self) -> None:
        found = fitted(
            entry_of(
                "m" * 200_000,
                service="shop",
                source_file="/app/a.py",
                line_number=3,
                timestamp="2026-11-20T14:09:42.426364Z",
                metadata={"stack": "s" * 300_000, "user_id": "u-1", "n": 5},
            )
        )
        half = len(found["message"]) // 2
        assert found["message"] == "m" * half + "…" + "m" * half
        assert len(found["message"]) > 30_000
        stack = found["metadata"].pop("stack")
        assert len(stack) > 30_000
        assert found == {
            "level": "info",
            "message": found["message"],
            "timestamp": "2026-11-20T14:09:42.426364Z",
            "service": "shop",
            "sourceFile": "/app/a.py",
            "lineNumber": 3,
            "metadata": {"user_id": "u-1", "n": 5, "logwell.truncated": True},
        }

    def test_a_long_source_file(self) -> None:
        found = fitted(entry_of(source_file="/" + "d" * 200_000))
        assert found["sourceFile"].endswith("d…")

    def test_strings_in_structures(self) -> None:
        found = fitted(entry_of(metadata={"body": {"a": ["x" * 200_000, {"b": "y" * 200_000}]}}))
        [first, second] = found["metadata"]["body"]["a"]
        assert first.endswith("x…")
        assert second["b"].endswith("y…")

    def test_long_names(self) -> None:
        found = fitted(entry_of(metadata={"k" * 200_000: 1, "in": {"n" * 200_000: 2}}))
        assert {len(key) for key in found["metadata"]} == {123, 2, 17}
        [(name, value)] = found["metadata"]["in"].items()
        assert (len(name), value) == (123, 2)

    @pytest.mark.parametrize("unit", ["\x01", "\n", '"', "ü", "深", "\U0001f600", "\x01ü"])
    def test_characters_that_take_many_bytes(self, unit: str) -> None:
        found = fitted(entry_of(unit * 200_000, metadata={"a": unit * 200_000}))
        assert found["message"].replace("…", "").replace(unit, "").strip(unit) == ""
        assert found["message"].count("…") == 1
        assert len(found["message"]) > 1000

    def test_control_characters_in_front_of_plain_ones(self) -> None:
        found = fitted(entry_of("\x01" * 20_000 + "x" * 1_000_000))
        assert found["message"].startswith("\x01" * 100)

    def test_long_lists_and_objects_lose_their_ends(self) -> None:
        numbers = list(range(100_000))
        found = fitted(entry_of(metadata={"list": numbers, "dict": {str(n): n for n in numbers}}))
        kept = found["metadata"]["list"]
        assert kept[:-1] == numbers[: len(kept) - 1]
        assert kept[-1] == "…"
        assert len(kept) > 1000
        assert found["metadata"]["dict"]["…"] == "…"
        assert found["metadata"]["dict"]["7"] == 7

    def test_very_many_attributes_are_left_out_largest_first_ours_last(self) -> None:
        ours: dict[str, Any] = dict.fromkeys(RESERVED - {"logwell.truncated", "body"}, "o" * 100)
        small = {f"small{number}": number for number in range(100)}
        large = {f"large{number}": f"{number}" * 10 for number in range(20_000)}
        started = time.monotonic()
        found = fitted(entry_of(metadata={**large, **small, **ours, "body": "b" * 100}))
        assert time.monotonic() - started < 30
        metadata = found["metadata"]
        assert {key: metadata[key] for key in small} == small
        assert {key: metadata[key] for key in ours} == ours
        assert metadata["logwell.truncated"] is True
        assert 1000 < len(metadata) < 20_000
        # No more than needed.
        assert len(json.dumps(found, separators=(",", ":"))) > MAX_ENTRY_BYTES - 100

    def test_the_resource_stays_whole(self) -> None:
        resource = msgspec.Raw(msgspec.json.encode({"k": "v" * 30_000}))
        found = fitted(entry_of("m" * 300_000, metadata={"resource": resource, "a": "x" * 200_000}))
        assert found["metadata"]["resource"] == {"k": "v" * 30_000}

    def test_the_resource_goes_when_nothing_else_is_left(self) -> None:
        resource = msgspec.Raw(msgspec.json.encode({"k": "v" * 30_000}))
        found = fitted(entry_of("m" * 100, metadata={"resource": resource, "a": 1}), 2048)
        assert found["metadata"] == {"logwell.truncated": True}

    @pytest.mark.parametrize("limit", [2048, 4096, 32 * KIB, MAX_ENTRY_BYTES])
    def test_small_limits(self, limit: int) -> None:
        found = fitted(
            entry_of(
                "\x01" * 10_000,
                service="s" * 100,
                source_file="f" * 10_000,
                metadata={f"key{n}" * 50: ["v" * 500, {"w": n}] for n in range(1000)},
            ),
            limit,
        )
        assert found["message"].startswith("\x01")
        assert found["metadata"]["logwell.truncated"] is True

    def test_an_attribute_of_the_same_name_as_the_mark(self) -> None:
        found = fitted(entry_of("m" * 200_000, metadata={"logwell.truncated": "theirs"}))
        assert found["metadata"] == {
            "logwell.truncated": True,
            "attributes.logwell.truncated": "theirs",
        }

    def test_fitting_twice_changes_nothing(self) -> None:
        entry = entry_of("m" * 200_000, metadata={"a": ["x" * 1000] * 1000})
        once = fit(entry)
        assert fit(entry) == once


class TestShrink:
    def test_an_encoded_entry(self) -> None:
        encoded = msgspec.json.encode(
            entry_of("m" * 50_000, metadata={"resource": {"k": "v" * 20_000}, "trace_id": "t"})
        )
        smaller = shrink(encoded, len(encoded) // 2)
        assert smaller is not None
        assert len(smaller) <= len(encoded) // 2
        found = json.loads(smaller)
        assert found["metadata"]["trace_id"] == "t"
        assert found["metadata"]["logwell.truncated"] is True

    def test_again_and_again_ends(self) -> None:
        encoded = msgspec.json.encode(entry_of("m" * 50_000))
        sizes = []
        while len(encoded) > 512:
            smaller = shrink(encoded, len(encoded) // 2)
            assert smaller is not None
            assert len(smaller) < len(encoded)
            encoded = smaller
            sizes.append(len(encoded))
        assert len(sizes) < 12

    @pytest.mark.parametrize(
        "encoded", [b"", b"{}", b"[]", b'{"level":"loud","message":"m"}', b"\xff"]
    )
    def test_what_is_no_entry(self, encoded: bytes) -> None:
        assert shrink(encoded, 100) is None


class TestClean:
    def test_every_part(self) -> None:
        ready = msgspec.Raw(b'{"r":1}')
        entry = entry_of(
            "a\0",
            service="b\ud800",
            source_file="c\0",
            metadata={"d\0": {"e\ud800": ["f\0"]}, "resource": ready},
        )
        clean(entry)
        assert json.loads(msgspec.json.encode(entry)) == {
            "level": "info",
            "message": "a\ufffd",
            "service": "b\ufffd",
            "sourceFile": "c\ufffd",
            "metadata": {"d\ufffd": {"e\ufffd": ["f\ufffd"]}, "resource": {"r": 1}},
        }

    def test_what_was_put_there_later(self) -> None:
        """By the application's `before_send`, that is."""
        entry: Any = entry_of("m", metadata={"a": object, 5: {1, 2}, "n": float("nan")})
        entry.level = "loud"
        entry.message = 5
        entry.service = ["s"]
        entry.source_file = b"f"
        entry.line_number = 0
        entry.timestamp = "yesterday"
        clean(entry)
        assert json.loads(msgspec.json.encode(entry)) == {
            "level": "info",
            "message": "5",
            "sourceFile": "b'f'",
            "metadata": {"a": "<class 'object'>", "5": [1, 2], "n": "NaN"},
        }

    @pytest.mark.parametrize("message", ["", " ", "\ufeff\u00a0", None])
    def test_a_blank_message(self, message: Any) -> None:
        entry = entry_of(message)
        clean(entry)
        assert entry.message == ("None" if message is None else "(no message)")

    @pytest.mark.parametrize("line", [0, -1, 2**31, 1.5, True, "1", 10**30])
    def test_a_line_number_that_no_column_holds(self, line: Any) -> None:
        entry = entry_of(line_number=line)
        clean(entry)
        assert entry.line_number is None

    @pytest.mark.parametrize(
        ("metadata", "cleaned"),
        [(None, {}), ([1, b"a"], {"metadata": [1, "YQ=="]}), ("t", {"metadata": "t"})],
    )
    def test_metadata_that_is_no_object(self, metadata: Any, cleaned: dict[str, Any]) -> None:
        entry = entry_of(metadata=metadata)
        clean(entry)
        assert entry.metadata == cleaned

    def test_a_long_service(self) -> None:
        entry = entry_of(service="ü" * 3000)
        clean(entry)
        assert entry.service == "ü" * 512

    @pytest.mark.parametrize(
        ("timestamp", "cleaned"),
        [
            (None, None),
            ("2026-11-20T14:09:42.426364Z", "2026-11-20T14:09:42.426364Z"),
            ("2026-11-20T14:09:42+02:00", "2026-11-20T12:09:42.000000Z"),
            ("2026-11-20T14:09:42", "2026-11-20T14:09:42.000000Z"),
            ("0001-01-01T00:00:00+01:00", None),
            ("9999-12-31T23:59:59-14:00", None),
            ("10000-01-01T00:00:00Z", None),
            ("0000-12-31T00:00:00Z", None),
            (5, None),
            ("a\0", None),
        ],
    )
    def test_timestamps(self, timestamp: Any, cleaned: str | None) -> None:
        entry = entry_of(timestamp=timestamp)
        clean(entry)
        assert entry.timestamp == cleaned

    @given(st.builds(LogEntry, level=st.text(), message=st.text(st.characters())))
    def test_cleaning_twice_changes_nothing(self, entry: LogEntry) -> None:
        clean(entry)
        once = msgspec.json.encode(entry)
        clean(entry)
        assert msgspec.json.encode(entry) == once


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("abc", 0, ""),
        ("äöü", 6, "äöü"),
        ("äöü", 5, "äö"),
        ("\U0001f600x", 3, ""),
        ("\U0001f600x", 4, "\U0001f600"),
    ],
)
def test_cut_between_characters(value: str, limit: int, expected: str) -> None:
    assert cut_utf8(value, limit) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=20,
)


@given(
    st.text(min_size=1),
    st.dictionaries(st.text(), JSON, max_size=10),
    st.integers(1, 4000),
    st.sampled_from([512, 2048, 8192]),
)
def test_anything_fits(message: str, metadata: dict[str, Any], times: int, limit: int) -> None:
    entry = entry_of(
        message * times, metadata={key: [value] * (times % 50) for key, value in metadata.items()}
    )
    before = msgspec.json.encode(entry)
    found = fitted(entry, limit)
    assert found["message"]
    assert (found.get("metadata", {}).get("logwell.truncated") is True) == (len(before) > limit)
