"""Redaction as a server sees it: records through `export()`, requests compared byte by byte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from support.bench import Bench
from support.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from logwell_otel._otel import ReadableLogRecord

_CORPUS: Final = Path(__file__).parents[1] / "data" / "redaction_corpus.jsonl"
_ALPHABETS: Final = {
    "alnum": "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7",
    "lower": "a3d6g9j2m5p8s1v4y7b0",
    "upper": "QZ7PLM3XW9KD2RTV",
    "hex": "0f1e2d3c4b5a6978",
    "digits": "8305926174",
}


def requests(records: Sequence[ReadableLogRecord], **options: Any) -> list[bytes]:
    """The bodies of the requests that these records become, with these options."""
    bench = Bench(**options)
    for start in range(0, len(records), 100):
        bench.exporter.export(records[start : start + 100])
    bench.run()
    assert bench.exporter.health().accepted == len(records)
    return bench.server.bodies


def redacted(*records: ReadableLogRecord, **options: Any) -> list[dict[str, Any]]:
    """The entries that these records become with redaction."""
    bodies = requests(records, **{"redact": True, **options})
    return [entry for body in bodies for entry in json.loads(body)]


def corpus() -> list[dict[str, str]]:
    """The cases: a text, and as `redacted` what becomes of it; without, it must stay.

    `<<alnum 32>>` stands for 32 made-up characters, so that the file itself holds nothing that a
    secret scanner would take for a credential.
    """
    with _CORPUS.open(encoding="utf-8") as lines:
        return [{name: _fill(text) for name, text in json.loads(line).items()} for line in lines]


def _fill(text: str) -> str:
    return re.sub(
        r"<<(\w+) (\d+)>>", lambda found: (_ALPHABETS[found[1]] * 9)[: int(found[2])], text
    )


PLACES: Final[dict[str, Callable[[str], ReadableLogRecord]]] = {
    "message": record,
    "attribute": lambda text: record(attributes={"note": text}),
    "attribute in a structure": lambda text: record(attributes={"a": {"b": [{"c": text}, 1]}}),
    "name of an attribute": lambda text: record(attributes={text: True}),
    "text in a body": lambda text: record({"note": text, "n": 1}),
    "list as a body": lambda text: record([text, 1, None]),
    "exception's message": lambda text: record("x", attributes={"exception.message": text}),
    "exception without a body": lambda text: record(None, attributes={"exception.message": text}),
    "stack trace": lambda text: record("x", attributes={"exception.stacktrace": text}),
    "event's name": lambda text: record("x", event_name=text),
    "severity text": lambda text: record("x", severity_text=text),
    "service of a record": lambda text: record("x", attributes={"service.name": text}),
    "service of a resource": lambda text: record("x", resource=Resource({"service.name": text})),
    "resource": lambda text: record("x", resource=Resource({"host.name": "h", "note": text})),
    "list in a resource": lambda text: record("x", resource=Resource({"note": ["b", text]})),
    "source file": lambda text: record(
        "x", attributes={"code.file.path": text, "code.line.number": 7}
    ),
    "scope's name": lambda text: record("x", scope=InstrumentationScope(text)),
    "scope's version": lambda text: record("x", scope=InstrumentationScope("a", version=text)),
    "scope's attribute": lambda text: record(
        "x", scope=InstrumentationScope("a", attributes={"note": text})
    ),
}
"""Every place of a record in which a text can stand."""

BYTES: Final[dict[str, Callable[[Any], ReadableLogRecord]]] = {
    "body": record,
    "body, without a copy": lambda data: record(
        memoryview(data) if isinstance(data, bytes) else data
    ),
    "in a body": lambda data: record({"note": [1, data]}),
    "attribute": lambda data: record(attributes={"note": data}),
    "in an attribute": lambda data: record(attributes={"a": {"b": [1, data]}}),
    "scope": lambda data: record("x", scope=InstrumentationScope("a", attributes={"note": data})),
}
"""Every place of a record in which bytes can stand."""
