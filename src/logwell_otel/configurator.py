"""Zero-code start-up with exact flushes and context: `OTEL_PYTHON_CONFIGURATOR=logwell`.

As OpenTelemetry's own configurator, with two differences: log context is added before
records reach a batch processor, and our exporter gets `LogwellBatchLogRecordProcessor`.
Whichever configurator counts, a wrong setting of ours is said in one sentence.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final

# There is no public way to be a configurator; distros subclass this one, as it says.
from opentelemetry.sdk._configuration import _initialize_components, _OTelSDKConfigurator

from logwell_otel._config.settings import is_asked_for
from logwell_otel._diagnostics import warn
from logwell_otel._otel import AUTO_INSTRUMENTATION, BatchLogRecordProcessor
from logwell_otel._process import at_exit_of_children
from logwell_otel._sigterm import deliver_on_sigterm
from logwell_otel.context import ContextLogRecordProcessor
from logwell_otel.errors import LogwellError, config_error
from logwell_otel.exporter import LogwellLogExporter
from logwell_otel.processor import DEFAULT_BATCH_SIZE, LogwellBatchLogRecordProcessor

if TYPE_CHECKING:
    from logwell_otel._otel import LogRecordExporter, LogRecordProcessor


GROUP: Final = "opentelemetry_configurator"
CHOSEN_BY: Final = "OTEL_PYTHON_CONFIGURATOR"

_SIZES: Final = {
    "schedule_delay_millis": "OTEL_BLRP_SCHEDULE_DELAY",
    "max_export_batch_size": "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
    "max_queue_size": "OTEL_BLRP_MAX_QUEUE_SIZE",
}
_VARIABLE: Final = re.compile(r"\bOTEL_[A-Z_]+")


class LogwellConfigurator(_OTelSDKConfigurator):
    """Entry point `logwell` of the group `opentelemetry_configurator`.

    Attributes:
        problem: Why no logs go to Logwell, where a setting of ours was wrong.
    """

    problem: ClassVar[LogwellError | None] = None

    def _configure(self, **kwargs: Any) -> None:
        try:
            self._set_up(**kwargs)
        except LogwellError as error:
            self._say(error)
        except ValueError as error:
            problem = _of_a_variable(str(error))
            if problem is None:
                raise
            self._say(config_error(problem))

    @staticmethod
    def _say(error: LogwellError) -> None:
        LogwellConfigurator.problem = error
        # Logs come last, so that the rest is set up. Raised, it would be two tracebacks,
        # and the end of auto-instrumentation.
        warn(f"No logs go to Logwell: {error}")

    def _set_up(self, **kwargs: Any) -> None:
        _fit_batch()
        if os.environ.get(CHOSEN_BY, "").strip() != "logwell":
            # Without the variable, OpenTelemetry takes the configurator that happens to be
            # listed first. Installing a package must not change what that does: a distro's
            # own that stands behind this one is still the one that counts.
            others = (point for point in entry_points(group=GROUP) if point.name != "logwell")
            if (other := next(others, None)) is not None:
                logging.getLogger(AUTO_INSTRUMENTATION).addFilter(_is_news)
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


def _fit_batch() -> None:
    """Have a queue that is smaller than OpenTelemetry's batch filled by smaller batches.

    Its own processor refuses it. Ours makes the batch smaller by itself. Without our exporter
    all is to be as if this package were not there.
    """
    if not is_asked_for(os.environ):
        return
    queue, batch = _SIZES["max_queue_size"], _SIZES["max_export_batch_size"]
    size = os.environ.get(queue, "").strip()
    if size.isdecimal() and 0 < int(size) < DEFAULT_BATCH_SIZE and not os.environ.get(batch):
        os.environ[batch] = size


def _of_a_variable(error: str) -> str | None:
    """What is wrong with a variable of OpenTelemetry's, by what that raised."""
    for name, variable in _SIZES.items():  # its own batch processor names an argument
        if name in error and variable in os.environ:
            return f"{name} ({variable}): {error}"
    named = _VARIABLE.search(error)
    return error if named and named.group() in os.environ and is_asked_for(os.environ) else None


def _is_news(record: logging.LogRecord) -> bool:
    """False for "Configuration of … not loaded, logwell already loaded": it was, by this one."""
    loaded = record.args[1:2] if isinstance(record.args, tuple) else ()
    return not ("already loaded" in str(record.msg) and loaded == ("logwell",))


def batch_processor(exporter: LogRecordExporter, **settings: Any) -> LogRecordProcessor:
    """The batch processor for `exporter`."""
    if isinstance(exporter, LogwellLogExporter):
        processor = LogwellBatchLogRecordProcessor(exporter, **settings)
        at_exit_of_children(processor.shutdown)
        if exporter._delivers_on_sigterm:  # noqa: SLF001 - our own class
            deliver_on_sigterm(processor)
        return processor
    return BatchLogRecordProcessor(exporter, **settings)
