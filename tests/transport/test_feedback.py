"""Delivering a record makes no records and no spans; the application's own requests do."""

from __future__ import annotations

import logging
import logging.config
import queue
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

pytest.importorskip("opentelemetry.instrumentation.httpx")
pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel import _http as feedback
from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk._logs import LogRecordProcessor

    from logwell_otel.devserver import Entry

app = logging.getLogger("shop")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[DevServer]:
    # The receiver's own lines are another program's in real life.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", True)
    with DevServer(requests_per_minute=None) as running:
        yield running


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


class Pipeline:
    """The root logger at DEBUG into OpenTelemetry into the exporter."""

    def __init__(self, receiver: DevServer, processor: str = "logwell") -> None:
        self.receiver = receiver
        self.exporter = LogwellLogExporter(receiver.url, receiver.key)
        self.provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
        processors: dict[str, type[LogRecordProcessor]] = {
            "logwell": LogwellBatchLogRecordProcessor,
            "batch": BatchLogRecordProcessor,
            "simple": SimpleLogRecordProcessor,
        }
        self.provider.add_log_record_processor(processors[processor](self.exporter))  # type: ignore[call-arg]
        self.handler = LoggingHandler(logger_provider=self.provider)

    def flush(self) -> None:
        assert self.provider.force_flush()
        assert self.exporter.force_flush()

    def settle(self) -> None:
        """Whatever a delivery made would be in the next flush, and what that made in its next."""
        for _ in range(5):
            self.flush()

    def entries(self, scope: str) -> list[Entry]:
        return [
            entry
            for entry in self.receiver.entries()
            if (entry.metadata or {}).get("otel.scope.name", "").split(".")[0] == scope
        ]


@pytest.fixture(params=["logwell", "batch", "simple"])
def pipeline(request: pytest.FixtureRequest, receiver: DevServer) -> Iterator[Pipeline]:
    made = Pipeline(receiver, request.param)
    root = logging.getLogger()
    level = root.level
    root.addHandler(made.handler)
    root.setLevel(logging.DEBUG)
    yield made
    root.removeHandler(made.handler)
    root.setLevel(level)
    made.provider.shutdown()


def test_one_record_is_one_entry_one_request_and_no_span(
    pipeline: Pipeline, spans: InMemorySpanExporter
) -> None:
    app.info("hello")
    pipeline.settle()
    assert [entry.message for entry in pipeline.receiver.entries()] == ["hello"]
    counts = pipeline.receiver.counts
    assert (counts.requests, counts.entries, counts.connections) == (1, 1, 1)
    assert spans.get_finished_spans() == ()


def test_failures_make_no_records_either(pipeline: Pipeline, spans: InMemorySpanExporter) -> None:
    pipeline.receiver.faults.close(times=1)
    app.info("hello")
    pipeline.settle()
    pipeline.receiver.faults.answer(503, times=1)
    app.info("again")
    pipeline.settle()
    assert [entry.message for entry in pipeline.receiver.entries()] == ["hello", "again"]
    # Each of the two is sent twice, and before the second time a request without entries.
    assert pipeline.receiver.counts.requests == 6
    assert spans.get_finished_spans() == ()


def test_warnings_of_our_own_are_heard_and_not_sent(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def hear(record: logging.LogRecord) -> bool:
        heard.put(record.getMessage())
        return True

    monkeypatch.setattr(logging.getLogger("logwell_otel"), "filters", [hear])
    pipeline.receiver.faults.answer(200, body='{"accepted":7}', times=1, stored=True)
    app.info("hello")
    pipeline.settle()
    said = heard.get(timeout=10).rpartition(" [process ")[0]
    assert said == (
        "The server answered 7 accepted and 0 rejected for 1 entries. They are taken as stored."
    )
    pipeline.settle()
    assert [entry.message for entry in pipeline.receiver.entries()] == ["hello"]
    assert heard.empty()


def test_the_applications_requests_at_the_same_time_are_logged_and_traced(
    pipeline: Pipeline, spans: InMemorySpanExporter
) -> None:
    url = f"{pipeline.receiver.url}/api/health"
    pipeline.receiver.faults.delay(300)
    app.info("hello")
    with httpx.Client() as client:
        # The first while the exporter waits for its answer, the last when it has it.
        assert client.get(url).status_code == 200
        pipeline.flush()
        assert client.get(url).status_code == 200
    pipeline.receiver.faults.delay(0)
    pipeline.settle()
    expected = f'HTTP Request: GET {url} "HTTP/1.1 200 OK"'
    assert [entry.message for entry in pipeline.entries("httpx")] == [expected] * 2
    details = [entry.message for entry in pipeline.entries("httpcore")]
    assert len([text for text in details if text.startswith("send_request_headers.started")]) == 2
    assert not any("/v1/ingest" in entry.message for entry in pipeline.receiver.entries())
    finished = spans.get_finished_spans()
    assert [(span.attributes or {})["http.url"] for span in finished] == [url] * 2


def test_reconfigured_logging_while_exporting(receiver: DevServer) -> None:
    """`dictConfig` flushes and closes every handler there is, under logging's own lock."""
    pipeline = Pipeline(receiver)
    other = logging.getLogger("billing")  # not in the configuration, and so left alone
    other.addHandler(pipeline.handler)
    other.setLevel(logging.DEBUG)
    loud = {"level": "DEBUG", "propagate": True}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"null": {"class": "logging.NullHandler"}},
        "loggers": {"httpx": loud, "httpcore": loud, "logwell_otel": loud, "shop": loud},
    }
    finished = threading.Event()

    def reconfigure() -> None:
        while not finished.is_set():
            logging.config.dictConfig(config)

    thread = threading.Thread(target=reconfigure, daemon=True)
    thread.start()
    for number in range(300):
        other.info("order %d", number)
        if number % 20 == 0:
            assert pipeline.exporter.force_flush(20_000)
            pipeline.handler.flush()
    finished.set()
    thread.join(20)
    assert not thread.is_alive()
    other.removeHandler(pipeline.handler)
    pipeline.settle()
    assert [entry.message for entry in receiver.entries()] == [
        f"order {number}" for number in range(300)
    ]
    pipeline.provider.shutdown()


def test_marked_inside_and_nowhere_else() -> None:
    assert is_instrumentation_enabled()
    before = otel_context.get_current()
    seen: list[bool] = []
    with feedback.Delivering():
        with feedback.Delivering():
            assert not is_instrumentation_enabled()
        assert not is_instrumentation_enabled()
        thread = threading.Thread(target=lambda: seen.append(is_instrumentation_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]
    assert is_instrumentation_enabled()
    assert otel_context.get_current() == before


def test_the_mark_goes_with_an_exception() -> None:
    with pytest.raises(ValueError, match="x"), feedback.Delivering():
        raise ValueError("x")
    assert is_instrumentation_enabled()


def test_installing_again_changes_nothing() -> None:
    feedback.install()
    logger = logging.getLogger("httpcore.connection")
    before = [*logger.filters]
    feedback.install()
    assert logger.filters == before
