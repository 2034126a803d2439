"""Zero-code start-up with exact flushes and context: `OTEL_PYTHON_CONFIGURATOR=logwell`.

As OpenTelemetry's own configurator, with two differences: log context is added before
records reach a batch processor, and our exporter gets `LogwellBatchLogRecordProcessor`.
"""

from __future__ import annotations

import inspect
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

# There is no public way to be a configurator; distros subclass this one, as it says.
from opentelemetry.sdk._configuration import _initialize_components, _OTelSDKConfigurator

from logwell_otel._otel import BatchLogRecordProcessor
from logwell_otel._sigterm import deliver_on_sigterm
from logwell_otel.context import ContextLogRecordProcessor
from logwell_otel.exporter import LogwellLogExporter
from logwell_otel.processor import LogwellBatchLogRecordProcessor

if TYPE_CHECKING:
    from logwell_otel._otel import LogRecordExporter, LogRecordProcessor


GROUP: Final = "opentelemetry_configurator"
CHOSEN_BY: Final = "OTEL_PYTHON_CONFIGURATOR"


class LogwellConfigurator(_OTelSDKConfigurator):
    """Entry point `logwell` of the group `opentelemetry_configurator`."""

    def _configure(self, **kwargs: Any) -> None:
        if os.environ.get(CHOSEN_BY, "").strip() != "logwell":
            # Without the variable, OpenTelemetry takes the configurator that happens to be
            # listed first. Installing a package must not change what that does: a distro's
            # own that stands behind this one is still the one that counts.
            others = (point for point in entry_points(group=GROUP) if point.name != "logwell")
            if (other := next(others, None)) is not None:
                other.load()().configure(**kwargs)
            else:
                super()._configure(**kwargs)  # type: ignore[no-untyped-call]
            return
        additions = {
            "log_record_processors": [ContextLogRecordProcessor()],
            "export_log_record_processor": batch_processor,
        }
        taken = inspect.signature(_initialize_components).parameters
        missing = [name for name in additions if name not in taken]
        if missing:
            raise RuntimeError(
                "OTEL_PYTHON_CONFIGURATOR=logwell needs a newer opentelemetry-sdk (1.40 or later): "
                "upgrade it, or unset the variable to use OpenTelemetry's own configurator."
            )
        super()._configure(**additions, **kwargs)  # type: ignore[no-untyped-call]


def batch_processor(exporter: LogRecordExporter, **settings: Any) -> LogRecordProcessor:
    """The batch processor for `exporter`."""
    if isinstance(exporter, LogwellLogExporter):
        processor = LogwellBatchLogRecordProcessor(exporter, **settings)
        if exporter.delivers_on_sigterm:
            deliver_on_sigterm(processor)
        return processor
    return BatchLogRecordProcessor(exporter, **settings)
