"""Sampling, redaction and `before_send` on the way through the exporter."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel import LogEntry, LogwellError
from logwell_otel._encoding import sanitize, stages
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import SeverityNumber
from logwell_otel.redaction import Redactor
from logwell_otel.sampling import Sampler
from support.bench import Bench
from support.records import messages, record, records


def sent(bench: Bench) -> list[dict[str, Any]]:
    bench.run()
    return [entry for body in bench.server.bodies for entry in msgspec.json.decode(body)]


def test_none_of_them_is_on_by_default() -> None:
    bench = Bench()
    bench.exporter.export([record("mail to ann@example.com")])
    (entry,) = sent(bench)
    assert entry["message"] == "mail to ann@example.com"
    assert entry["metadata"] == {"request_id": "r-1", "otel.scope.name": "shop.orders"}


def test_sampling_drops_by_rate_writes_the_rate_and_counts() -> None:
    bench = Bench(sampling=Sampler({"info": 0.25}, rng=iter([0.9, 0.1, 0.9] * 1000).__next__))
    bench.exporter.export(records(300))
    kept = sent(bench)
    # The first of a pattern is kept in any case; of the rest, each third passes.
    rates = [entry["metadata"].get("sampling.rate") for entry in kept]
    assert rates[0] == 1.0 or rates[0] is None
    assert set(rates[1:]) == {0.25}
    assert bench.exporter.health().dropped == {"sampled": 300 - len(kept)}
    bench.check_ledger()


def test_a_record_that_was_sampled_before_is_not_decided_again() -> None:
    bench = Bench(sampling=Sampler({"info": 0.0}, rng=lambda: 0.99))
    bench.exporter.export([record("x", attributes={"sampling.rate": 0.1}) for _ in range(10)])
    assert len(sent(bench)) == 10


def test_errors_are_always_kept() -> None:
    bench = Bench(sampling=Sampler({"debug": 0, "info": 0, "warn": 0}, rng=lambda: 0.99))
    error = {"severity_number": SeverityNumber.ERROR, "severity_text": "ERROR"}
    bench.exporter.export([record(f"failed {n}", **error) for n in range(100)])
    assert len(sent(bench)) == 100


def test_sampling_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGWELL_SAMPLING", "on")
    monkeypatch.setenv("LOGWELL_SAMPLE_RATES", "info=0.0, debug=0")
    bench = Bench()
    bench.exporter.export(records(100))
    assert len(sent(bench)) == 1, "one a minute is kept of every pattern"


@pytest.mark.parametrize("rates", ["info", "info=x", "info=2", "loud=0.5", "error=0.5"])
def test_wrong_rates_are_refused_at_construction(
    rates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGWELL_SAMPLING", "true")
    monkeypatch.setenv("LOGWELL_SAMPLE_RATES", rates)
    with pytest.raises(LogwellError):
        Bench()


def test_redaction_of_message_and_metadata() -> None:
    bench = Bench(redact=True)
    attributes = {"password": "hunter2", "nested": {"mail": "ann@example.com"}, "order": 7}
    bench.exporter.export([record("mail to ann@example.com", attributes=attributes)])
    (entry,) = sent(bench)
    assert entry["message"] == "mail to [redacted:email]"
    assert entry["metadata"] == {
        "password": "[redacted:password]",
        "nested": {"mail": "[redacted:email]"},
        "order": 7,
        "otel.scope.name": "shop.orders",
    }


def test_an_attribute_named_like_one_of_ours_is_redacted_too() -> None:
    bench = Bench(redact=True)
    bench.exporter.export([record("x", attributes={"resource": "ann@example.com"})])
    (entry,) = sent(bench)
    assert "ann@example.com" not in str(entry)


def test_a_redactor_of_ones_own() -> None:
    bench = Bench(redact=Redactor(extra_patterns={"order": r"order \d+"}))
    bench.exporter.export([record("order 17 placed")])
    assert sent(bench)[0]["message"] == "[redacted:order] placed"


def test_a_redactor_that_fails_lets_nothing_out() -> None:
    class Broken:
        def redact_entry(self, entry: LogEntry) -> LogEntry:
            raise RuntimeError("secret text")

    bench = Bench(redact=Broken())
    bench.exporter.export(records(5))
    assert sent(bench) == []
    assert bench.exporter.health().dropped == {"redaction_error": 5}
    bench.engine.notices.dispatch()
    (warning,) = bench.said
    assert warning.startswith("redaction failed with RuntimeError")
    assert "secret text" not in warning


def test_before_send_changes_drops_and_sees_plain_values_after_redaction() -> None:
    seen: list[LogEntry] = []

    def before_send(entry: LogEntry) -> LogEntry | None:
        seen.append(msgspec.structs.replace(entry, metadata=dict(entry.metadata)))
        if "drop" in entry.message:
            return None
        entry.metadata["added"] = True
        return entry

    bench = Bench(before_send=before_send, redact=True)
    bench.exporter.export([record("ann@example.com"), record("drop me")])
    (entry,) = sent(bench)
    assert seen[0].message == "[redacted:email]"
    assert seen[0].metadata == {"request_id": "r-1"}, "resource and scope come afterwards"
    assert entry["metadata"] == {
        "request_id": "r-1",
        "added": True,
        "otel.scope.name": "shop.orders",
    }
    assert bench.exporter.health().dropped == {"before_send": 1}
    bench.check_ledger()


def test_before_send_that_raises_drops_that_entry_counts_and_says_so_once_a_minute() -> None:
    def before_send(entry: LogEntry) -> LogEntry | None:
        if entry.message == "message 3":
            raise ValueError("no")
        return entry

    bench = Bench(before_send=before_send)
    for _ in range(10):
        bench.exporter.export(records(5))
    bench.run()
    assert sorted(set(bench.server.stored)) == sorted(set(messages(5)) - {"message 3"})
    assert bench.exporter.health().dropped == {"before_send_error": 10}
    assert len(bench.said) == 1
    bench.check_ledger()


@pytest.mark.parametrize("result", ["text", 7, {"message": "x"}])
def test_before_send_that_returns_something_else_drops_the_entry(result: object) -> None:
    bench = Bench(before_send=lambda _: result)
    bench.exporter.export(records(2))
    assert sent(bench) == []
    assert bench.exporter.health().dropped == {"before_send_error": 2}


def test_what_before_send_adds_is_made_storable() -> None:
    def before_send(entry: LogEntry) -> LogEntry:
        entry.metadata["odd"] = {"nul": "a\0b", "object": object, 1: float("nan")}
        return entry

    bench = Bench(before_send=before_send)
    bench.exporter.export(records(3))
    for entry in sent(bench):
        assert entry["metadata"]["odd"]["nul"] == "a\ufffdb"
        assert entry["metadata"]["odd"]["1"] == "NaN"


ODD: dict[str, dict[str, Any]] = {
    "level": {"level": "loud"},
    "no message": {"message": None},
    "a blank message": {"message": " \ufeff\n"},
    "a message of another type": {"message": 7},
    "a message with NUL and surrogate": {"message": "a\0b\ud800"},
    "a timestamp": {"timestamp": "yesterday"},
    "a service": {"service": 7},
    "a file": {"source_file": b"x"},
    "a line": {"line_number": 2**40},
    "a line that is a flag": {"line_number": True},
    "no metadata": {"metadata": None},
    "metadata that are none": {"metadata": ["a"]},
    "another name": {"metadata": {7: "seven", None: "x", "\0": "y"}},
    "numbers": {"metadata": {"big": 2**60, "small": -(2**60), "nan": float("nan"), "n": 2**53}},
    "infinity": {"metadata": {"in": float("inf")}},
    "structures": {"metadata": {"list": [1, (2, {3})], "bytes": b"x", "text": "\ud800"}},
}


def encoded(change: dict[str, Any]) -> bytes:
    def before_send(entry: LogEntry) -> LogEntry:
        for name, value in change.items():
            setattr(entry, name, value)
        return entry

    encoder = Encoder(Mapper(), stages=stages.Stages(before_send=before_send))
    return b"".join(chunk.body() for chunk in encoder.encode(records(1)).chunks)


def always_cleaned(change: dict[str, Any]) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "_is_plain", lambda _: False)
        return encoded(change)


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_what_before_send_makes_unfit_is_cleaned(change: dict[str, Any]) -> None:
    assert encoded(change) == always_cleaned(change)
    msgspec.json.decode(encoded(change), type=list[LogEntry])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(message=st.text(max_size=9) | VALUES, metadata=st.dictionaries(st.text(max_size=3), VALUES))
def test_the_quick_look_at_what_before_send_returned_agrees_with_cleaning(
    message: object, metadata: dict[str, Any]
) -> None:
    change = {"message": message, "metadata": metadata}
    assert encoded(change) == always_cleaned(change)


def test_what_before_send_leaves_alone_is_not_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: LogEntry) -> None:
        raise AssertionError("cleaning costs five times as much as all the rest")

    monkeypatch.setattr(sanitize, "clean", fail)
    change = {"message": "other", "metadata": {"a": "b", "n": 1, "x": 0.5, "yes": True, "no": None}}
    (entry,) = msgspec.json.decode(encoded(change))
    assert entry["metadata"] == {**change["metadata"], "otel.scope.name": "shop.orders"}  # type: ignore[dict-item]


def test_an_entry_that_before_send_keeps_is_not_changed() -> None:
    metadata = {"a": "b"}
    whole = LogEntry(level="warn", message="always the same", metadata=metadata)
    for before_send in (lambda _: whole, lambda entry: replaced(entry, metadata)):
        bench = Bench(before_send=before_send)
        bench.exporter.export(records(3))
        for entry in sent(bench):
            assert entry["metadata"] == {"a": "b", "otel.scope.name": "shop.orders"}
        assert whole.metadata is metadata
        assert metadata == {"a": "b"}


def replaced(entry: LogEntry, metadata: dict[str, Any]) -> LogEntry:
    entry.metadata = metadata
    return entry
