"""docs/configuration.md says what the code does: every setting, default and bound."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from logwell_otel import LogwellLogExporter, configure
from logwell_otel._config.options import MIB, OPTIONS
from logwell_otel.types import ExporterOptions, PipelineOptions
from support.config import attempt, resolve

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


class Row(NamedTuple):
    variable: str
    default: str
    allowed: str
    meaning: str


def rows() -> dict[str, Row]:
    row = r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \| (.+) \|$"
    cells = re.findall(row, PAGE.read_text(), re.MULTILINE)
    return {argument: Row(*rest) for argument, *rest in cells}


ROWS = rows()
RANGES = {name: row.allowed.split(" to ") for name, row in ROWS.items() if " to " in row.allowed}


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert [*ROWS] == [*OPTIONS]


def test_every_setting_is_typed_as_an_argument() -> None:
    """And of `configure()` too, which has a `level` and a `logger` of its own."""
    first = ["endpoint", "api_key"]
    assert sorted([*first, *ExporterOptions.__annotations__]) == sorted(OPTIONS)
    assert sorted([*first, "level", *PipelineOptions.__annotations__]) == sorted(OPTIONS)
    taken = [name for name in inspect.signature(LogwellLogExporter).parameters if name[0] != "_"]
    assert taken == [*first, "options"]
    assert [*inspect.signature(configure).parameters] == [*first, "logger", "level", "options"]


def test_every_variable_has_a_row_and_every_row_its_variable() -> None:
    """`origins` has the settings that are looked for in variables."""
    settings = resolve().origins
    assert {name: row.variable for name, row in ROWS.items()} == {
        name: f"`LOGWELL_{name.upper()}`" if name in settings else "–" for name in ROWS
    }
    assert {*settings} == {name for name, option in OPTIONS.items() if option["variable"]}


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("api_key", "endpoint")])
def test_defaults(name: str) -> None:
    config, default = resolve(), ROWS[name].default
    value = getattr(config, name)
    if default == "none":
        assert not value
    elif isinstance(value, bool):
        assert default == str(value).lower()
    elif isinstance(value, (int, float)):
        assert number(default) == value
    else:
        assert default == value


@pytest.mark.parametrize("name", RANGES)
def test_bounds(name: str) -> None:
    least, most = map(number, RANGES[name])
    for inside in (least, most):
        assert getattr(resolve(**{name: inside}), name) == inside
    for outside in (least * 0.99, most * 1.01, most + 1):
        assert attempt(**{name: outside}) is not None


def test_every_number_has_bounds() -> None:
    numbers = {name for name in ROWS if isinstance(getattr(resolve(), name, None), (int, float))}
    flags = {
        "source_location",
        "request_id_from_trace",
        "message_template",
        "sampling",
        "sampling_allow_zero",
        "redact",
        "deliver_on_sigterm",
        "disabled",
        "send_in_tests",
    }
    without_default = {"requests_per_hour"}
    assert set(RANGES) == numbers - flags | without_default


def test_levels_and_flags() -> None:
    for level in ROWS["level"].allowed.split(", "):
        assert resolve(level=level).level == level
    for spelling in re.findall(r"\w+", ROWS["source_location"].allowed):
        assert isinstance(resolve(source_location=spelling).source_location, bool)


def documented() -> dict[str, str]:
    """The arguments in the exporter's help, with what is said of each."""
    text = inspect.getdoc(LogwellLogExporter) or ""
    arguments = text[text.index("Args:") : text.index("Raises:")]
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)$", arguments, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def test_help_shows_every_setting_in_the_order_of_the_page() -> None:
    assert [*documented()] == [*ROWS]
    assert "**options" not in (inspect.getdoc(LogwellLogExporter) or "")


@pytest.mark.parametrize("name", RANGES)
def test_help_has_the_default_of_every_number(name: str) -> None:
    default = getattr(resolve(), name)
    if default is None:
        assert "default" in documented()[name] or "needed" in documented()[name]
    else:
        forms = {f"default {default:g}", f"default {default / MIB:g} MiB"}
        assert any(
            form in documented()[name] for form in {*forms, f"default {default / 3600:g} hours"}
        )
