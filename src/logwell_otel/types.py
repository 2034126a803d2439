"""Types for the annotations of programs: what settings take, and what callbacks are given.

    from logwell_otel.types import BeforeSend

With them `configure(sevice="shop")` is an error in an editor. What each setting means stands in
`LogwellLogExporter` and in docs/configuration.md.
"""

# Nothing here is needed while the exporter runs: it imports this for type checkers alone.

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict

from logwell_otel._wire import LogEntry
from logwell_otel.errors import ErrorCallback, FlushCallback

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from opentelemetry.metrics import MeterProvider


__all__ = [
    "BeforeSend",
    "Decides",
    "ErrorCallback",
    "ExporterOptions",
    "FlushCallback",
    "OnQueueFull",
    "PipelineOptions",
    "Redacts",
    "Samples",
]

BeforeSend = Callable[[LogEntry], LogEntry | None]
"""What `before_send=` takes: gives back the entry, another one, or None to drop it."""

OnQueueFull = Literal["drop", "wait"]
"""What `on_queue_full=` takes."""


class Redacts(Protocol):
    """What `redact=` takes besides True: `redaction.Redactor`, or something like it."""

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        """The entry without what must not leave the process."""


class Decides(Protocol):
    """What a sampler decides: `sampling.Decision`."""

    @property
    def keep(self) -> bool:
        """True if the record goes on."""

    @property
    def rate(self) -> float:
        """It stands for `1 / rate` records."""


class Samples(Protocol):
    """What `sampling=` takes besides True: `sampling.Sampler`, or something like it."""

    def decide(self, level: str, message: str, trace_id: int = 0) -> Decides:
        """Decide about one record."""

    def always_keeps(self, level: str) -> bool:
        """Whether records of a level are kept without a look at the message."""


class PipelineOptions(TypedDict, total=False):
    """Keyword arguments of `configure()` and `LogwellHandler` that go to the exporter."""

    api_key_file: str | os.PathLike[str] | None
    service: str | None
    headers: Mapping[str, str] | str | None
    timeout: float | None
    certificate_file: str | os.PathLike[str] | None
    client_certificate_file: str | os.PathLike[str] | None
    client_key_file: str | os.PathLike[str] | None
    levels: Mapping[str, str | int] | str | None
    root_level: str | None
    source_location: bool | None
    request_id_from_trace: bool | None
    message_template: bool | None
    max_queue_bytes: int | None
    on_queue_full: OnQueueFull | None
    requests_per_minute: float | None
    requests_per_hour: float | None
    spool_dir: str | os.PathLike[str] | None
    spool_max_bytes: int | None
    spool_max_age: float | None
    spool_sync: str | None
    sampling: bool | Samples | None
    sample_rates: Mapping[str, float] | str | None
    sampling_policy: str | os.PathLike[str] | None
    sampling_token: str | None
    sampling_token_file: str | os.PathLike[str] | None
    sampling_allow_zero: bool | None
    redact: bool | Redacts | None
    redact_keys: Iterable[str] | None
    redact_allow: Iterable[str] | None
    redact_also: Iterable[str] | None
    before_send: BeforeSend | None
    on_error: ErrorCallback | None
    on_flush: FlushCallback | None
    meter_provider: MeterProvider | None
    deliver_on_sigterm: bool | None
    disabled: bool | None
    send_in_tests: bool | None


class ExporterOptions(PipelineOptions, total=False):
    """Keyword arguments of `LogwellLogExporter`; `endpoint` and `api_key` stand before them."""

    level: str | None
