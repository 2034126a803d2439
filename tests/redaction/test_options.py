"""`extra_patterns` and `allow`, and what is refused."""

from __future__ import annotations

import re

import pytest

from logwell_otel._wire import LogEntry
from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.redaction import Redactor
from support.records import record
from support.redaction import redacted


def test_extra_patterns_run_on_every_text() -> None:
    redactor = Redactor(extra_patterns={"iban": r"\bDE\d{20}\b", "ticket": re.compile(r"^OPS-\d+")})
    entry = LogEntry(
        level="info",
        message="OPS-17: paid from DE89370400440532013000",
        metadata={"ref": "OPS-18", "note": "see OPS-19", "mail": "x@example.com"},
    )
    redactor.redact_entry(entry)
    assert entry.message == "[redacted:ticket]: paid from [redacted:iban]"
    assert entry.metadata == {
        "ref": "[redacted:ticket]",
        "note": "see OPS-19",
        "mail": "[redacted:email]",
    }


@pytest.mark.parametrize(
    ("kind", "found", "kept"),
    [
        (
            "phone",
            ["+49 30 1234567", "+1 (555) 123-4567", "0049 151 12345678", "555-123-4567"],
            ["2025-10-24", "order 12345678", "1.2.3.4", "10.0.0.1:8080", "v1.555.123-4567"],
        ),
        (
            "ip",
            [
                "10.0.0.1",
                "192.168.100.200",
                "2001:db8::1",
                "::ffff:10.0.0.1",
                "fe80::1ff:fe23:4567",
            ],
            ["1.2.3", "300.1.1.1", "12:00:00", "52:54:00:12:34:56", "a::b::c", "1.2.3.4.5"],
        ),
        (
            "iban",
            ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"],
            ["DE89370400440532013001", "AB12"],
        ),
        (
            "national_id",
            ["078-05-1120", "12345678Z", "44051401359", "AB 12 34 56 C", "RSSMRA85T10A562S"],
            ["666-05-1120", "12345678A", "44051401358", "12345678901", "000-12-3456"],
        ),
    ],
)
def test_what_is_found_only_where_it_is_asked_for(
    kind: str, found: list[str], kept: list[str]
) -> None:
    for text in found:
        sentence = f"from {text}, yes"
        assert redacted(record(sentence))[0]["message"] == sentence, text
        (entry,) = redacted(record(sentence), redact=None, redact_also=kind)
        assert entry["message"] == f"from [redacted:{kind}], yes", text
    for text in kept:
        assert redacted(record(f"at {text} x"), redact_also=[kind])[0]["message"] == f"at {text} x"


def test_refuses_what_it_cannot_look_for() -> None:
    with pytest.raises(LogwellError, match="'face' is none of phone, ip, iban, national_id"):
        Redactor(also=["face"])
    with pytest.raises(LogwellError, match="LOGWELL_REDACT_ALSO"):
        redacted(record("x"), redact_also="phone,face")


def test_an_extra_pattern_that_matches_nothing_at_all_adds_no_markers() -> None:
    assert Redactor(extra_patterns={"x": "q*"}).redact_text("aqqb") == "a[redacted:x]b"


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ({"iban": "("}, "'iban'"),
        ({"iban": 7}, "'iban'"),
        ({"my kind": "x"}, "'my kind'"),
        ({"": "x"}, "''"),
        ({"a]b": "x"}, "'a]b'"),
    ],
)
def test_refuses_what_is_no_pattern(patterns: dict[str, str], said: str) -> None:
    with pytest.raises(LogwellError) as refused:
        Redactor(extra_patterns=patterns)
    assert refused.value.code is LogwellErrorCode.INVALID_CONFIG
    assert "extra_patterns" in refused.value.message
    assert said in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "support@example.com",
        "anyone@corp.example",
        "4111 1111 1111 1111",
        "password=changeme",
        '{"password": "changeme"}',
        "postgres://u:changeme@h/db",
        "Bearer abcdef1234567890",
        "Basic dXNlcjpodW50ZXIy",
        "AKIAIOSFODNN7EXAMPLE",
        "curl -u u:changeme http://h",
        "session.id=abc12345",
        "internal-17",
    ],
)
def test_what_is_allowed_stays(text: str) -> None:
    redactor = Redactor(
        extra_patterns={"internal": r"internal-\d+"},
        allow=[
            "support@example.com",
            re.compile(r".+@corp\.example"),
            "4111 1111 1111 1111",
            "changeme",
            "abcdef1234567890",
            "dXNlcjpodW50ZXIy",
            "AKIAIOSFODNN7EXAMPLE",
            "session.id",
            "internal-17",
        ],
    )
    assert redactor.redact_text(text) == text
    assert redactor.redact_text(f"{text} bob@example.com") == f"{text} [redacted:email]"


def test_what_is_allowed_stays_in_metadata() -> None:
    redactor = Redactor(allow=["session.id", "changeme", "4111111111111111"])
    metadata = {"session.id": "abc", "password": "changeme", "card": 4111111111111111}
    entry = LogEntry(level="info", message="m", metadata=metadata)
    assert redactor.redact_entry(entry).metadata is metadata
    entry.metadata = {"session_key": "abc", "password": "hunter2"}
    assert redactor.redact_entry(entry).metadata == {
        "session_key": "[redacted:session]",
        "password": "[redacted:password]",
    }


def test_an_allowed_expression_must_match_the_whole() -> None:
    redactor = Redactor(allow=[re.compile("bob")])
    assert redactor.redact_text("bob@example.com") == "[redacted:email]"
