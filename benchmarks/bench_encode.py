"""What mapping and encoding a record costs, beside OpenTelemetry's own encoders.

    scripts/bench encode
    python benchmarks/bench_encode.py [--rounds 40] [--records 512]

For each kind of record, the same batch goes through

- `logwell`: mapping and encoding to chunks, as `export()` does it,
- `OTLP protobuf` and `OTLP JSON`: OpenTelemetry's encoders, to bytes and to text,
- `msgspec floor`: only the JSON of entries that are mapped already, below which nothing
  that uses msgspec can get.

They take turns within a round, so that other work on the machine hits all of them alike,
and each finds the caches as the others left them. The median and the best of the rounds
are compared, in CPU time; what means something on another machine is the ratios.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from bare_mapping import BareMapping
from figures import Check, Figure, Row
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.json.common._internal._log_encoder import (
    encode_logs as encode_json,
)
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode_protobuf
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._wire import MAX_ENTRIES, LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RESOURCE = Resource.create(
    {"service.name": "shop", "host.name": "web-1", "deployment.environment.name": "production"}
)
CODE = {
    "code.file.path": "/app/src/shop/orders.py",
    "code.function.name": "place",
    "code.line.number": 42,
}


def typical(index: int) -> dict[str, Any]:
    """Eight attributes: five of the application and the three of the source location."""
    return {
        "body": f"order {index} placed by customer",
        "attributes": {
            "http.request.method": "GET",
            "http.route": "/orders/{id}",
            "user_id": f"u-{index}",
            "items": index,
            "duration": index / 7,
            **CODE,
        },
    }


def exception(index: int) -> dict[str, Any]:
    """The same with an exception of thirty frames."""
    frame = '  File "/app/src/shop/orders.py", line 42, in place\n    stock.reserve(order)\n'
    record = typical(index)
    record["severity_number"], record["severity_text"] = SeverityNumber.ERROR, "ERROR"
    record["attributes"] |= {
        "exception.type": "shop.stock.OutOfStockError",
        "exception.message": f"only {index} left",
        "exception.stacktrace": "Traceback (most recent call last):\n" + frame * 30,
    }
    return record


def many_attributes(index: int) -> dict[str, Any]:
    """Thirty attributes."""
    return {
        "body": f"order {index} placed",
        "attributes": {f"app.attribute_{number}": f"value {index}" for number in range(30)},
    }


def awkward(index: int) -> dict[str, Any]:
    """A structured body, names of ours, values that JSON has not, one NUL in a hundred."""
    return {
        "body": {"event": "order placed", "order": {"id": index, "lines": [1, 2, 3]}},
        "attributes": {
            "trace_id": "their own",
            "resource": "theirs too",
            "service.name": "checkout",
            "ratio": float("nan"),
            "id": uuid.UUID(int=index).int,
            "payload": b"\x00\x01\x02",
            "tags": ("a", "b"),
            "text": "a\0b" if index % 100 == 0 else "ab",
        },
    }


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "typical": typical,
    "exception": exception,
    "30 attributes": many_attributes,
    "awkward": awkward,
}


def make_records(kind: Callable[[int], dict[str, Any]], count: int) -> Sequence[ReadableLogRecord]:
    """Records made by OpenTelemetry, each in a span of its own."""
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    logger = provider.get_logger("shop.orders", "1.0")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    for index in range(count):
        with tracer.start_as_current_span("request"):
            fields = {
                "timestamp": time.time_ns(),
                "severity_number": SeverityNumber.INFO,
                "severity_text": "INFO",
                **kind(index),
            }
            logger.emit(LogRecord(**fields))
    return kept.get_finished_logs()


def contestants(records: Sequence[ReadableLogRecord]) -> dict[str, Callable[[], object]]:
    """What is compared, by name."""
    encoder = Encoder(Mapper())
    floor = msgspec.json.Encoder()
    entries = [
        msgspec.json.decode(entry, type=LogEntry)
        for chunk in encoder.encode(records).chunks
        for entry in chunk.entries()
    ]
    return {
        "logwell": lambda: encoder.encode(records),
        "OTLP protobuf": lambda: encode_protobuf(records).SerializeToString(),
        "OTLP JSON": lambda: encode_json(records).to_json(),
        "msgspec floor": lambda: [
            floor.encode(entries[start : start + MAX_ENTRIES])
            for start in range(0, len(entries), MAX_ENTRIES)
        ],
    }


def measure(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each in every round, sorted: what other programs take does not count."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.thread_time()
            function()
            taken[name].append(time.thread_time() - started)
    return {name: sorted(times) for name, times in taken.items()}


def rows(*, quick: bool) -> Iterator[Row]:
    """A row for each kind of record."""
    rounds, count = (7, 500) if quick else (41, 500)
    for kind, make in KINDS.items():
        records = make_records(make, count)
        functions = contestants(records)
        if make is not awkward:  # which it cannot take
            bare = BareMapping()
            functions["no safety"] = lambda bare=bare, records=records: bare.encode(records)  # type: ignore[misc]
        gc.collect()
        taken = measure(functions, rounds)
        figures = {
            name: Figure.of([seconds / count * 1e6 for seconds in times])
            for name, times in taken.items()
        }
        ours = figures["logwell"].median
        peers = min(figures["OTLP protobuf"].median, figures["OTLP JSON"].median)
        limit, goal = (10, 15) if make is typical else (6, None)
        checks = [
            Check("times faster than the faster peer", peers / ours, limit, goal, better="higher")
        ]
        if "no safety" in figures:
            checks.append(
                Check("of the mapping without safety", ours / figures["no safety"].median, 1.5)
            )
        yield Row(
            f"encode, {kind}",
            "records to ready bytes, in one thread; msgspec floor: entries that are mapped already",
            "µs CPU per record",
            figures,
            checks,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="default %(default)s")
    parser.add_argument("--records", type=int, default=512, help="of a batch, default %(default)s")
    options = parser.parse_args()
    for kind, make in KINDS.items():
        taken = measure(contestants(make_records(make, options.records)), options.rounds)
        print(f"{kind + ', µs a record':<30}{'median':>8}{'':8}{'best':>8}")
        ours = taken["logwell"]
        for name, times in taken.items():
            columns = "".join(
                f"{pick(times) / options.records * 1e6:8.2f} {pick(times) / pick(ours):5.1f}x "
                for pick in (statistics.median, min)
            )
            print(f"  {name:<28}{columns}")


if __name__ == "__main__":
    main()
