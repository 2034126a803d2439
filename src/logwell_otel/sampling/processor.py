"""The sampler in front of any OpenTelemetry log processor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._encoding.fields import Severities
from logwell_otel._otel import LogRecordProcessor, bounded_attributes
from logwell_otel._wire import RATE_ATTRIBUTE, TEMPLATE_ATTRIBUTE

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from logwell_otel._otel import LogRecord, SeverityNumber
    from logwell_otel.sampling.sampler import Decision, Sampler


_severity_of: Final = Severities().of


class SamplingLogRecordProcessor(LogRecordProcessor):
    """Hands on the records that the sampler keeps, with `sampling.rate` on a copy of each.

    On a copy, because other processors of the same provider get every record and must not
    find on it a rate that does not hold for them. A record that has a rate was decided
    before and is handed on as it is.

    Args:
        delegate: Gets the records that are kept.
        sampler: Decides.
    """

    def __init__(self, delegate: LogRecordProcessor, sampler: Sampler) -> None:
        self._delegate = delegate
        self._sampler = sampler

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Hand the record on if it is kept."""
        record = log_record.log_record
        if record.attributes and RATE_ATTRIBUTE in record.attributes:
            self._delegate.on_emit(log_record)
            return
        decision = decide(self._sampler, record)
        if decision is None:
            self._delegate.on_emit(log_record)
        elif decision.keep:
            kept = copy.copy(log_record)
            kept.log_record = copy.copy(record)
            kept.log_record.attributes = with_rate(record.attributes, decision.rate)
            self._delegate.on_emit(kept)

    def enabled(
        self,
        *,
        context: Context | None = None,
        instrumentation_scope: InstrumentationScope | None = None,
        severity_number: SeverityNumber | None = None,
        event_name: str | None = None,
    ) -> bool:
        """Ask the processor behind this one; sampling decides about records only."""
        return self._delegate.enabled(
            context=context,
            instrumentation_scope=instrumentation_scope,
            severity_number=severity_number,
            event_name=event_name,
        )

    def shutdown(self) -> None:
        """Shut the processor behind this one down."""
        self._delegate.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the processor behind this one."""
        return self._delegate.force_flush(timeout_millis)


def decide(sampler: Sampler, record: LogRecord) -> Decision | None:
    """Let a sampler decide about an OpenTelemetry record; None when that fails.

    It fails for a record whose values cannot be read: such a record is better kept.
    """
    with suppress(Exception):  # bodies and attributes may be of anybody's types
        level = _severity_of(record).level
        return sampler.decide(level, message_of(record), record.trace_id or 0)
    return None


def message_of(record: LogRecord) -> str:
    """Return the text that a record's pattern is found in.

    Its template, where it has one. A structured body has none: its event name stands for it,
    else the names in it.
    """
    body = record.body
    if record.attributes and isinstance(template := record.attributes.get(TEMPLATE_ATTRIBUTE), str):
        return template
    if isinstance(body, str):
        return body
    if record.event_name:
        return record.event_name
    if isinstance(body, Mapping):
        return " ".join(sorted(map(str, body)))
    return type(body).__name__


def with_rate(attributes: Mapping[str, Any] | None, rate: float) -> Mapping[str, Any]:
    """Return a record's attributes with the rate among them."""
    rated = {**(attributes or {}), RATE_ATTRIBUTE: rate}
    dropped = getattr(attributes, "dropped", 0)
    return bounded_attributes(rated, dropped) if dropped else rated
