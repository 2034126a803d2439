"""`redact` and what belongs to it: what is taken, what is refused, what it does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from logwell_otel.redaction import Redactor
from support.bench import Bench
from support.config import refused, resolve
from support.records import record


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("patient_id", ("patient_id",)),
        (" patient_id , iban,,", ("patient_id", "iban")),
        (["patient_id", "iban"], ("patient_id", "iban")),
        (("a",), ("a",)),
        ([], ()),
    ],
)
@pytest.mark.parametrize("name", ["redact_keys", "redact_allow"])
def test_names_and_texts(name: str, given: object, taken: tuple[str, ...]) -> None:
    config = resolve(**{name: given})
    assert getattr(config, name) == taken
    assert config.redact is bool(taken)
    if isinstance(given, str):
        assert getattr(resolve({f"LOGWELL_{name.upper()}": given}), name) == taken


def test_off_wins() -> None:
    assert resolve(redact_keys="iban", redact=False).redact is False
    assert resolve({"LOGWELL_REDACT": "off", "LOGWELL_REDACT_KEYS": "iban"}).redact is False


@pytest.mark.parametrize("wrong", [7, [1], {"a": 1}, [None]])
def test_what_is_no_name(wrong: object) -> None:
    error = refused(redact_keys=wrong)
    assert "redact_keys (LOGWELL_REDACT_KEYS): expected texts" in error


@pytest.mark.parametrize("name", ["redact_keys", "redact_allow"])
def test_a_redactor_has_its_own(name: str) -> None:
    options: dict[str, Any] = {"redact": Redactor(), name: "a"}
    assert "give them to the Redactor as extra_keys and allow" in refused(**options)


def test_what_it_does() -> None:
    bench = Bench(redact_keys="patient_id", redact_allow="support@example.com")
    attributes = {"patient_id": "p-7", "to": "support@example.com", "cc": "ann@example.com"}
    bench.exporter.export([record("hello", attributes=attributes)])
    bench.run()
    ((entry,),) = [msgspec.json.decode(body) for body in bench.server.bodies]
    assert {name: entry["metadata"][name] for name in attributes} == {
        "patient_id": "[redacted:patient_id]",
        "to": "support@example.com",
        "cc": "[redacted:email]",
    }
