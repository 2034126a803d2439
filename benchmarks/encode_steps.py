"""Where the time of encoding a typical record goes, step by step.

    .bench/bin/python benchmarks/encode_steps.py

Each step is what `Mapper.entry` and `Encoder` do for a typical record, in a loop of its own
over the same records; the loop's own cost is taken off. The fastest of many rounds counts,
as steps this short are lost in anything else. The sum is less than the whole: what stands
between the steps, names looked up and questions asked, is the rest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
from bench_encode import make_records, typical
from msgspec import Raw
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode_protobuf

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.fields import Timestamps
from logwell_otel._encoding.mapping import _SPECIAL, BETWEEN_IDS, Mapper
from logwell_otel._encoding.values import has_nul
from logwell_otel._wire import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COUNT = 500
TOGETHER = 20
ROUNDS = 200


def steps(  # noqa: C901 - a function a step
    records: Sequence[Any],
) -> dict[str, Callable[[], object]]:
    """What is done for each record, by name."""
    logs = [record.log_record for record in records]
    source = Mapper().resource_scope(records[0])
    attributes = [log.attributes for log in logs]
    metadata = [dict(each) for each in attributes]
    located = [dict(each) for each in attributes]
    for each in metadata:
        del each["code.file.path"], each["code.line.number"]
    timestamp = Timestamps().of
    entries = [
        msgspec.json.decode(entry, type=LogEntry)
        for chunk in Encoder(Mapper()).encode(records).chunks
        for entry in chunk.entries()
    ]
    json = msgspec.json.Encoder()
    slices = [entries[start : start + TOGETHER] for start in range(0, COUNT, TOGETHER)]
    bodies = [json.encode(entries[start : start + 100]) for start in range(0, COUNT, 100)]

    def loop() -> None:
        for _ in logs:
            pass

    def copy() -> None:
        for each in located:
            each.copy()

    def location() -> None:
        for each in located:
            file, line = each.pop("code.file.path"), each.pop("code.line.number")
            each["code.file.path"], each["code.line.number"] = file, line

    def collisions() -> None:
        for each in metadata:
            _SPECIAL.isdisjoint(each)

    def values() -> None:
        for each in metadata:
            for value in each.values():
                kind = type(value)
                if kind is str:
                    continue
                if kind is int and -(2**53) < value < 2**53:
                    continue
                if kind is float and value - value == 0:
                    continue

    def ids() -> None:
        for log in logs:
            Raw(
                f'"{log.trace_id.to_bytes(16, "big").hex()}{BETWEEN_IDS[log.trace_flags]}'
                f"{log.span_id.to_bytes(8, 'big').hex()}{source.rest}"
            )

    def times() -> None:
        for log in logs:
            timestamp(log)

    def structs() -> None:
        for log, each in zip(logs, metadata, strict=True):
            LogEntry(
                level="info",
                message=log.body,
                timestamp="",
                service="shop",
                source_file="",
                line_number=1,
                metadata=each,
            )

    def encoding() -> None:
        for each in slices:
            json.encode(each)

    def scanning() -> None:
        for body in bodies:
            has_nul(body)

    return {
        "(the loop itself)": loop,
        "copy the attributes": copy,
        "take file and line out": location,
        "look for names of ours": collisions,
        "look at each value's type": values,
        "trace context, resource and scope as one piece of JSON": ids,
        "timestamp": times,
        "LogEntry": structs,
        "JSON (msgspec)": encoding,
        "look for NUL": scanning,
    }


def best(function: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Microseconds a record in the fastest round."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest / COUNT * 1e6


def main() -> None:
    records = make_records(typical, COUNT)
    found = {name: best(function) for name, function in steps(records).items()}
    floor = found["(the loop itself)"]
    encoder = Encoder(Mapper())
    whole = best(lambda: encoder.encode(records))
    total = 0.0
    for name, taken in list(found.items())[1:]:
        total += taken - floor
        print(f"{taken - floor:6.2f} µs  {name}")
    print(f"{whole - total:6.2f} µs  everything between")
    print(f"{whole:6.2f} µs  the whole")
    peer = best(lambda: encode_protobuf(records).SerializeToString(), rounds=ROUNDS // 5)
    print(f"{peer:6.2f} µs  OTLP protobuf, {peer / whole:.1f} times the whole")


if __name__ == "__main__":
    main()
