"""`code.*` attributes of both generations -> sourceFile and lineNumber."""

from __future__ import annotations

from typing import Any

import pytest

from logwell_otel._encoding.mapping import Mapper
from support.entries import bounded, emitted, entry, own_metadata

NEW = {"code.file.path": "/app/a.py", "code.line.number": 42}
OLD = {"code.filepath": "/app/old.py", "code.lineno": 7}


@pytest.mark.parametrize(
    ("attributes", "location", "kept"),
    [
        (NEW, ("/app/a.py", 42), {}),
        (OLD, ("/app/old.py", 7), {}),
        ({**NEW, **OLD}, ("/app/a.py", 42), OLD),
        ({"code.file.path": "a.py"}, ("a.py", None), {}),
        ({"code.line.number": 1}, (None, 1), {}),
        ({"code.filepath": "a.py", "code.line.number": 1}, ("a.py", 1), {}),
        ({"code.file.path": "a.py", "code.lineno": 1}, ("a.py", 1), {}),
        # A value that does not fit leaves the field to the older name, and stays.
        ({**OLD, "code.file.path": ""}, ("/app/old.py", 7), {"code.file.path": ""}),
        (
            {**NEW, "code.line.number": 0, "code.lineno": 7},
            ("/app/a.py", 7),
            {"code.line.number": 0},
        ),
        ({"code.file.path": 5}, (None, None), {"code.file.path": 5}),
        ({"code.file.path": None}, (None, None), {"code.file.path": None}),
        ({"code.filepath": ["a"]}, (None, None), {"code.filepath": ["a"]}),
        ({**NEW, "code.function.name": "f"}, ("/app/a.py", 42), {"code.function.name": "f"}),
        ({**NEW, "code.namespace": "n"}, ("/app/a.py", 42), {"code.namespace": "n"}),
    ],
)
def test_both_generations(
    attributes: dict[str, Any], location: tuple[Any, Any], kept: dict[str, Any]
) -> None:
    found = emitted(attributes=attributes)
    assert (found.get("sourceFile"), found.get("lineNumber")) == location
    assert own_metadata(found) == kept


@pytest.mark.parametrize("name", ["code.line.number", "code.lineno"])
@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (0, 0),
        (-5, -5),
        (2**31, 2**31),
        (2**53 + 1, str(2**53 + 1)),
        pytest.param(10**5000, f"{10**5000:#x}", id="5001 digits"),
        (1.5, 1.5),
        (1.0, 1.0),
        (True, True),
        (None, None),
        ("12", "12"),
        (float("nan"), "NaN"),
    ],
)
def test_line_numbers_that_no_column_holds_stay_attributes(name: str, line: Any, kept: Any) -> None:
    found = entry(attributes=bounded({"code.file.path": "a.py", name: line}))
    assert (found["sourceFile"], found.get("lineNumber")) == ("a.py", None)
    assert own_metadata(found) == {name: kept}


@pytest.mark.parametrize("line", [1, 2**31 - 1])
def test_the_smallest_and_the_largest_line_number(line: int) -> None:
    assert emitted(attributes={"code.lineno": line})["lineNumber"] == line


def test_source_locations_can_be_left_out_altogether() -> None:
    mapper = Mapper(source_location=False)
    everything = {**NEW, **OLD, "code.function.name": "f", "n": 1}
    for attributes in (everything, {**NEW, "n": 1}, {**OLD, "n": 1}, {"code.lineno": -1, "n": 1}):
        found = entry(mapper, attributes=bounded(attributes))
        assert "sourceFile" not in found
        assert "lineNumber" not in found
        assert own_metadata(found).keys() - {"code.function.name"} == {"n"}


def test_a_path_is_made_storable() -> None:
    found = entry(attributes=bounded({"code.file.path": "a\0\ud800.py", "code.line.number": 1}))
    assert found["sourceFile"] == "a\ufffd\ufffd.py"
