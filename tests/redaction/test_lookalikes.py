"""Lines that look as if they held a secret, and hold none, through `export()`."""

from __future__ import annotations

import json
from pathlib import Path

from support.records import record
from support.redaction import redacted, requests

_LINES = (
    (Path(__file__).parents[1] / "data" / "redaction_lookalikes.txt")
    .read_text(encoding="utf-8")
    .splitlines()
)

_KNOWN = {
    # What a form says about a field may as well be a passphrase.
    'errors: {"password": ["must be at least 12 characters"]}',
    # What a shell would say of a variable that is not set; behind `:-` it would be a default.
    "DB_PASSWORD=${DB_PASSWORD:?missing}",
    # The tag in front of an encrypted value, of which the next lines are the rest.
    "password: !vault |",
}
"""What goes although it need not, as `docs/redaction.md` says of its kinds."""


def test_they_stay_as_a_message_and_as_an_attribute() -> None:
    assert len(_LINES) >= 500
    assert len(set(_LINES)) == len(_LINES)
    entries = redacted(*(record(line, attributes={"note": line}) for line in _LINES))
    taken = {
        line
        for line, entry in zip(_LINES, entries, strict=True)
        if (entry["message"], entry["metadata"]["note"]) != (line, line)
    }
    assert taken == _KNOWN
    assert len(taken) <= 0.05 * len(_LINES)


def test_the_requests_are_those_without_redaction() -> None:
    kept = [line for line in _LINES if line not in _KNOWN]
    for make in (
        record,
        lambda line: record({"note": [line, 1]}),
        lambda line: record(json.dumps({"note": line})),
        lambda line: record("x", attributes={"exception.message": line}),
    ):
        records = [make(line) for line in kept]
        assert requests(records, redact=True) == requests(records)
