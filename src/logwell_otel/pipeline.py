"""`configure()`: one call sets up a whole logging pipeline."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from logwell_otel import exit_hooks
from logwell_otel.adoption import ZeroCodeProcessor, ignored_arguments, zero_code_exporter
from logwell_otel.config import Config
from logwell_otel.context import ContextLogRecordProcessor
from logwell_otel.credentials import config_error
from logwell_otel.exporter import DEFAULT_FLUSH_MILLIS, LogwellLogExporter
from logwell_otel.notices import warn
from logwell_otel.otel import LoggerProvider
from logwell_otel.processor import LogwellBatchLogRecordProcessor

if TYPE_CHECKING:
    from types import TracebackType

    from logwell_otel.health import Health

# Ten bursts' worth of OpenTelemetry's default of 2,048, and full requests of 100.
MAX_QUEUE_SIZE: Final = 20_480
MAX_EXPORT_BATCH_SIZE: Final = 500

_PATIENCE: Final = 2.0
"""Seconds after which the end of a `with` block looks whether waiting is of any use."""

_lock = threading.Lock()
_pipelines: Final[dict[tuple[str, int], Pipeline]] = {}


class Pipeline:
    """What `configure` returns. As a context manager it flushes at the end of the block.

    The end of the block waits up to 30 s for a server that accepts what it is sent, and
    about 2 s for one that does not: what is held is delivered later, or at shutdown.

    Attributes:
        exporter: The exporter.
        provider: The LoggerProvider that records go through.
        handler: The handler on the standard library's logger, None if one was there.
    """

    def __init__(
        self,
        exporter: LogwellLogExporter,
        provider: LoggerProvider,
        processor: LogwellBatchLogRecordProcessor | ZeroCodeProcessor,
        logger: logging.Logger,
        handler: logging.Handler | None,
    ) -> None:
        self.exporter = exporter
        self.provider = provider
        self.handler = handler
        self._processor = processor
        self._logger = logger

    def force_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """Wait until everything logged before is stored at the server.

        Args:
            timeout_millis: Milliseconds to wait at most.

        Returns:
            True if it is, or was refused by the server for good.
        """
        return self._processor.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Deliver what is held and end this pipeline; a second call does nothing."""
        with _lock:
            for key in [key for key, pipeline in _pipelines.items() if pipeline is self]:
                del _pipelines[key]
        if self.handler is not None:
            self._logger.removeHandler(self.handler)
        self._processor.shutdown()

    async def aforce_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """`force_flush` for asyncio: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.force_flush, timeout_millis)

    async def ashutdown(self) -> None:
        """`shutdown` for asyncio: the event loop goes on meanwhile."""
        await asyncio.to_thread(self.shutdown)

    def health(self) -> Health:
        """How delivery is going."""
        return self.exporter.health()

    def __enter__(self) -> Pipeline:  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._flush_while_it_goes_well()

    def _flush_while_it_goes_well(self) -> None:
        """As `force_flush`, but not in vain: what is held goes on being tried anyway."""
        until = time.monotonic() + DEFAULT_FLUSH_MILLIS / 1000
        while (left := until - time.monotonic()) > 0:
            if self.force_flush(int(min(left, _PATIENCE) * 1000)):
                return
            if self.exporter.health().consecutive_failures:
                return

    def __repr__(self) -> str:
        return f"<Pipeline {self.exporter!r}>"


def configure(
    endpoint: str | None = None,
    api_key: str | None = None,
    *,
    service: str | None = None,
    logger: logging.Logger | str | None = None,
    level: int | str | None = "INFO",
    **options: Any,
) -> Pipeline:
    """Send what the standard library's logging, structlog or the OTel API log to Logwell.

    Uses the global LoggerProvider where there is one, otherwise makes it with a resource
    from the environment. Called again for the same server and key, it returns what the
    first call made; where `OTEL_LOGS_EXPORTER=logwell` or a configuration file set up the
    exporter, it takes that one. Nothing is sent twice. Everything not given is read from
    the `LOGWELL_*` variables.

    Args:
        endpoint: Base URL of the server.
        api_key: The project's API key.
        service: Service name, also of the resource if the provider is made here.
        logger: The logger that gets the handler, by default the root logger.
        level: Least severe level that is sent. The logger is opened up to it if it lets
            less through, as the root logger does by default. None leaves both alone.
        **options: Further arguments of `LogwellLogExporter`, except its `level`.

    Raises:
        LogwellError: `INVALID_CONFIG` when a setting is missing or wrong, or when `redact`
            or `before_send` come too late for an exporter that zero-code start-up made.
        ImportError: opentelemetry-instrumentation-logging is not installed; the text says
            how to install it.
    """
    from logwell_otel.handler import LogwellLoggingHandler  # noqa: PLC0415 - an extra

    threshold = _level(level)
    arguments = {"service": service, **options}
    identity = Config.resolve(endpoint=endpoint, api_key=api_key, **arguments).identity
    with _lock:
        if (existing := _pipelines.get(identity)) is not None:
            return existing
        provider = get_logger_provider()
        exporter = zero_code_exporter(identity) if isinstance(provider, LoggerProvider) else None
        processor: LogwellBatchLogRecordProcessor | ZeroCodeProcessor
        if exporter is not None and isinstance(provider, LoggerProvider):
            arguments.pop("api_key_file", None)
            if (warning := ignored_arguments(arguments)) is not None:
                warn(warning)
            processor = ZeroCodeProcessor(provider, exporter)
        else:
            exporter = LogwellLogExporter(endpoint, api_key, **arguments)
            provider = _provider(service)
            processor = _processor(exporter)
            provider.add_log_record_processor(processor)
        target = logging.getLogger(logger) if not isinstance(logger, logging.Logger) else logger
        handler: logging.Handler | None = None
        if not _has_handler(target):
            handler = LogwellLoggingHandler(threshold or logging.NOTSET, provider)
            target.addHandler(handler)
        if threshold is not None and target.getEffectiveLevel() > threshold:
            target.setLevel(threshold)
        pipeline = Pipeline(exporter, provider, processor, target, handler)
        _pipelines[identity] = pipeline
    exit_hooks.shut_down_in_children(pipeline)
    return pipeline


def _provider(service: str | None) -> LoggerProvider:
    current = get_logger_provider()
    if isinstance(current, LoggerProvider):
        return current
    made = LoggerProvider(Resource.create({SERVICE_NAME: service} if service else {}))
    made.add_log_record_processor(ContextLogRecordProcessor())
    set_logger_provider(made)
    return made


def _processor(exporter: LogwellLogExporter) -> LogwellBatchLogRecordProcessor:
    queue = None if os.environ.get("OTEL_BLRP_MAX_QUEUE_SIZE") else MAX_QUEUE_SIZE
    batch = None if os.environ.get("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE") else MAX_EXPORT_BATCH_SIZE
    return LogwellBatchLogRecordProcessor(
        exporter, max_queue_size=queue, max_export_batch_size=batch
    )


def _has_handler(logger: logging.Logger) -> bool:
    """Whether records of `logger` reach OpenTelemetry already, as under zero-code."""
    from opentelemetry.instrumentation.logging.handler import LoggingHandler  # noqa: PLC0415

    current: logging.Logger | None = logger
    while current is not None:
        if any(isinstance(handler, LoggingHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False


def _level(level: int | str | None) -> int | None:
    if level is None or isinstance(level, int):
        return level
    number = logging.getLevelName(level.strip().upper())
    if isinstance(number, int):
        return number
    raise config_error(f"level: expected the name or number of a logging level, got {level!r}.")
