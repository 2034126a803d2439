"""The limits stand twice, here and in the exporter, which must not know each other."""

from __future__ import annotations

from logwell_otel import _wire
from logwell_otel.devserver import javascript, rules


def test_both_sides_read_the_contract_alike() -> None:
    assert rules.LEVELS == _wire.LEVELS
    assert rules.MAX_ENTRIES == _wire.MAX_ENTRIES
    assert rules.MAX_LINE_NUMBER == _wire.MAX_LINE_NUMBER
    assert set(javascript.BLANKS) == set(_wire.JS_BLANK)


def test_the_exporter_stays_below_what_the_server_refuses() -> None:
    assert _wire.MAX_REQUEST_BYTES < rules.MAX_BODY_BYTES
    assert _wire.MAX_ENTRY_BYTES < _wire.MAX_REQUEST_BYTES
    assert _wire.MAX_SERVICE_BYTES < rules.MAX_SERVICE_BYTES
