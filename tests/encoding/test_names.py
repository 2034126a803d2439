"""Attributes with names of ours: none disappears, ours keep their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding import fields as names
from logwell_otel._encoding.fields import RESERVED
from logwell_otel._encoding.values import UniqueNames
from logwell_otel._otel import SeverityNumber
from support.entries import RESOURCE, bounded, entry

FULL: dict[str, Any] = {
    "severity_number": SeverityNumber.INFO2,
    "severity_text": "NOTICE",
    "trace_id": 1,
    "span_id": 2,
    "trace_flags": 1,
    "event_name": "event",
    "body": {"a": 1},
    "scope": InstrumentationScope("scope", "1.0", attributes={"x": 1}),
}
OURS: dict[str, Any] = {
    "severity_number": 10,
    "severity_text": "NOTICE",
    "trace_id": "0" * 31 + "1",
    "span_id": "0" * 15 + "2",
    "trace_flags": "01",
    "otel.event.name": "event",
    "otel.dropped_attributes_count": 7,
    "otel.scope.name": "scope",
    "otel.scope.version": "1.0",
    "otel.scope.attributes": {"x": 1},
    "body": {"a": 1},
    "resource": {"host.name": "web-1"},
}


def full_entry(attributes: dict[str, Any]) -> dict[str, Any]:
    container = bounded(attributes)
    container.dropped = 7
    return entry(attributes=container, resource=RESOURCE, **FULL)


def test_every_name_of_ours_is_known_as_such() -> None:
    assert full_entry({})["metadata"] == OURS
    assert OURS.keys() | {"logwell.truncated"} == RESERVED


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_attribute_with_a_name_of_ours_moves(name: str) -> None:
    found = full_entry({name: "theirs", "other": 1})["metadata"]
    assert found == {**OURS, f"attributes.{name}": "theirs", "other": 1}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_it_keeps_its_name_while_ours_is_not_needed(name: str) -> None:
    found = entry(attributes=bounded({name: "theirs"}), resource=None, scope=None)
    assert found["metadata"] == {name: "theirs"}


def test_all_at_once_and_the_other_names_taken_too() -> None:
    theirs = {name: f"their {name}" for name in OURS}
    taken = {f"attributes.{name}": "taken" for name in OURS}
    found = full_entry({**taken, **theirs})["metadata"]
    moved = {f"attributes.{name}#2": f"their {name}" for name in OURS}
    assert found == {**OURS, **taken, **moved}


def test_a_moved_value_is_made_plain_like_any_other() -> None:
    found = full_entry({"trace_id": float("nan"), "body": b"\xff", "resource": ("a", {1: 2})})
    assert found["metadata"]["attributes.trace_id"] == "NaN"
    assert found["metadata"]["attributes.body"] == "/w=="
    assert found["metadata"]["attributes.resource"] == ["a", {"1": 2}]


def test_an_attribute_named_like_our_mark_of_truncation() -> None:
    found = entry(attributes=bounded({"logwell.truncated": "theirs", "long": "x" * 200_000}))
    assert found["metadata"]["logwell.truncated"] is True
    assert found["metadata"]["attributes.logwell.truncated"] == "theirs"


def test_it_moves_too_when_the_mapping_itself_cuts() -> None:
    found = entry(attributes=bounded({"logwell.truncated": "theirs", "long": [0] * 20_000}))
    assert found["metadata"]["logwell.truncated"] is True
    assert found["metadata"]["attributes.logwell.truncated"] == "theirs"


def test_names_that_become_the_same() -> None:
    found = entry(attributes={"a\0": 1, "a\ufffd": 2, "a" + chr(0xD800): 3, 1: "one", "1": "text"})
    metadata = {key: value for key, value in found["metadata"].items() if key[0] in "a1"}
    assert metadata == {"a\ufffd": 1, "a\ufffd#2": 2, "a\ufffd#3": 3, "1": "one", "1#2": "text"}


def test_names_that_become_the_same_by_cutting() -> None:
    long = "k" * 200
    attributes = {long + "a": "x" * 100_000, long + "b": "y" * 100_000}
    found = entry(attributes=bounded(attributes))["metadata"]
    kept = {key: value[0] for key, value in found.items() if key.startswith("kkk")}
    assert kept == {"k" * 121 + "…": "x", "k" * 121 + "…#2": "y"}


def test_ten_thousand_equal_names_take_no_quadratic_time() -> None:
    names = UniqueNames()
    for number in range(10_000):
        names.add("same", number)
    assert len(names.values) == 10_000
    assert names.values["same#10000"] == 9999


@given(
    st.dictionaries(
        st.sampled_from([*RESERVED, "a", "attributes.a", "attributes.body"]), st.integers(1, 9)
    )
)
def test_put_loses_nothing(theirs: dict[str, int]) -> None:
    ours = {name: f"our {name}" for name in RESERVED}
    metadata: dict[str, Any] = dict(theirs)
    names.put(metadata, ours)
    assert {key: metadata[key] for key in ours} == ours
    rest = [value for key, value in metadata.items() if key not in ours]
    assert sorted(rest) == sorted(theirs.values())


def test_the_documentation_names_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
    assert [name for name in sorted(RESERVED) if f"`{name}`" not in page] == []


def test_numbered_names_that_are_taken_are_passed_over() -> None:
    found = UniqueNames({"a": 1, "a#2": 2, "a#4": 4})
    for number in (3, 5, 6):
        found.add("a", number)
    assert found.values == {"a": 1, "a#2": 2, "a#3": 3, "a#4": 4, "a#5": 5, "a#6": 6}
