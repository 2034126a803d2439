"""Records of every kind, the odd ones too, and the entries that become of them."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import LogRecord, ReadableLogRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry._logs import Logger

    from logwell_otel._encoding.encoder import Encoded

NS = 1_795_183_782_426_364_989
"""A timestamp …"""
TIME = "2026-11-20T14:09:42.426364Z"
"""… and what becomes of it."""

RESOURCE = Resource({"service.name": "shop", "host.name": "web-1"})
SCOPE = InstrumentationScope("shop.orders", "1.0")


class Application:
    """A program with OpenTelemetry's own logger provider."""

    def __init__(self, resource: Resource = RESOURCE) -> None:
        self._kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self._kept))

    def logger(self, name: str = "shop.orders", version: str | None = "1.0", **more: Any) -> Logger:
        """A logger of OpenTelemetry's API."""
        return self.provider.get_logger(name, version, **more)

    @contextmanager
    def logging(self, name: str = "shop.orders", *, code: bool = True) -> Iterator[logging.Logger]:
        """A logger of the standard library behind OpenTelemetry's own handler."""
        # Not there with the oldest SDK: its own handler is deprecated, and warns.
        handlers = pytest.importorskip("opentelemetry.instrumentation.logging.handler")
        handler = handlers.LoggingHandler(logger_provider=self.provider, log_code_attributes=code)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(1)
        logger.propagate = False
        try:
            yield logger
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True

    @property
    def records(self) -> Sequence[ReadableLogRecord]:
        """What an exporter is given."""
        return self._kept.get_finished_logs()

    def entries(self, mapper: Mapper | None = None) -> list[dict[str, Any]]:
        """What the server is sent."""
        return entries(self.records, mapper)


def emitted(**fields: Any) -> dict[str, Any]:
    """The entry of one record that goes through OpenTelemetry's API."""
    application = Application()
    application.logger().emit(LogRecord(**{"timestamp": NS, **fields}))
    [entry] = application.entries()
    return entry


def record(
    *,
    resource: Any = RESOURCE,
    scope: Any = SCOPE,
    attributes: Any = None,
    **fields: Any,
) -> ReadableLogRecord:
    """A record put together by hand: OpenTelemetry does not clean these attributes."""
    log = LogRecord(timestamp=NS)
    for name, value in {"body": "hello", **fields}.items():
        setattr(log, name, value)
    log.attributes = attributes
    return ReadableLogRecord(log, resource, scope)


def bounded(attributes: dict[Any, Any]) -> BoundedAttributes:
    """The SDK's own container with values in it that the SDK would not let in."""
    container = BoundedAttributes(immutable=False)
    container._dict.update(attributes)  # noqa: SLF001 - that is the point
    return container


def encode(records: Sequence[ReadableLogRecord], mapper: Mapper | None = None) -> Encoded:
    """What the exporter hands over."""
    return Encoder(mapper or Mapper()).encode(records)


def entries(
    records: Sequence[ReadableLogRecord], mapper: Mapper | None = None
) -> list[dict[str, Any]]:
    """The entries sent for `records`."""
    chunks = encode(records, mapper).chunks
    return [entry for chunk in chunks for entry in json.loads(chunk.body())]


def entry(mapper: Mapper | None = None, **fields: Any) -> dict[str, Any]:
    """The entry of one record put together by hand, without what every record has."""
    [found] = entries([record(**fields)], mapper)
    return found


def own_metadata(found: dict[str, Any]) -> dict[str, Any]:
    """An entry's metadata without those of `RESOURCE` and `SCOPE`."""
    metadata: dict[str, Any] = dict(found["metadata"])
    assert metadata.pop("resource") == {"host.name": "web-1"}
    assert metadata.pop("otel.scope.name") == "shop.orders"
    assert metadata.pop("otel.scope.version") == "1.0"
    return metadata
