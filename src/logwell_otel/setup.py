"""`configure()`: one call sets up a whole logging pipeline."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from logwell_otel._buffer.outbox import QUEUED_SECONDS
from logwell_otel._clock import monotonic
from logwell_otel._config.options import Config
from logwell_otel._config.settings import Resolver
from logwell_otel._delivery.worker import flush_while_it_gets_on
from logwell_otel._diagnostics import warn
from logwell_otel._install import InstalledHandler, install_handler, open_up
from logwell_otel._otel import LoggerProvider, is_proxy
from logwell_otel._process import PerProcess, at_exit, at_exit_of_children
from logwell_otel._sigterm import deliver_on_sigterm
from logwell_otel.context import ContextLogRecordProcessor
from logwell_otel.errors import WithoutFrames, config_error
from logwell_otel.exporter import DEFAULT_FLUSH_MILLIS, LogwellLogExporter, exporters
from logwell_otel.handler import level_of
from logwell_otel.processor import LogwellBatchLogRecordProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from logwell_otel._config.arguments import PipelineOptions
    from logwell_otel.health import Health


# Ten bursts' worth of OpenTelemetry's default of 2,048, and full requests of 100.
MAX_QUEUE_SIZE: Final = 20_480
MAX_EXPORT_BATCH_SIZE: Final = 500

FLUSH_AFTER_MILLIS: Final = 2_000

P = ParamSpec("P")
R = TypeVar("R")

_lock: Final = PerProcess(threading.Lock)
_pipelines: Final[dict[tuple[str, int], Pipeline]] = {}


class Pipeline:
    """What `configure` returns. As a context manager it flushes at the end of the block.

    The end of the block waits up to 30 s for a server that accepts what it is sent, 2 s for
    one that fails, 4 s for one that hangs: what is held is delivered later, or at shutdown.

    Attributes:
        exporter: The exporter.
        provider: The LoggerProvider that records go through.
    """

    def __init__(
        self,
        exporter: LogwellLogExporter,
        provider: LoggerProvider,
        processor: LogwellBatchLogRecordProcessor | ZeroCodeProcessor,
    ) -> None:
        self.exporter = exporter
        self.provider = provider
        self._processor = processor
        self._handlers: list[InstalledHandler] = []
        self._said_gone = False

    @property
    def handlers(self) -> list[logging.Handler]:
        """The handlers added to the standard library's loggers; none where some were there."""
        return [*self._handlers]

    def listen_to(
        self, logger: logging.Logger, threshold: int, levels: Mapping[str, str] | None = None
    ) -> None:
        """Have records of `logger` from level `threshold` on go through this pipeline.

        Args:
            logger: The logger.
            threshold: Number of a level.
            levels: Further levels by the names of loggers.
        """
        self._put_back()
        handler = install_handler(logger, self.provider, threshold, levels)
        if handler is not None:
            self._handlers.append(handler)

    def force_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """Wait until everything logged before is stored at the server.

        Args:
            timeout_millis: Milliseconds to wait at most.

        Returns:
            True if it is, or was refused by the server for good.
        """
        self._put_back()
        return self._processor.force_flush(timeout_millis)

    def _put_back(self) -> None:
        """Install a handler again that somebody has cut off from its logger, and say so."""
        gone = [handler for handler in self._handlers if not handler.installed]
        for handler in gone:
            handler.install(handler.listens_to)
            if not self._said_gone:
                self._said_gone = True
                warn(
                    "Something has cut our handler off from the logger "
                    f"{handler.listens_to.name!r} since configure(), as dictConfig() does with a "
                    "logger that it names: what was logged there since was not sent. The handler "
                    "was put back. Call configure() after logging is configured, or for the root "
                    "logger."
                )

    def shutdown(self) -> None:
        """Deliver what is held and end this pipeline; a second call does nothing."""
        self._put_back()
        with _lock.get():
            for key in [key for key, pipeline in _pipelines.items() if pipeline is self]:
                del _pipelines[key]
        for handler in self._handlers:
            handler.uninstall()
        self._handlers = []
        self._processor.shutdown()

    async def aforce_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """`force_flush` for asyncio: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.force_flush, timeout_millis)

    async def ashutdown(self) -> None:
        """`shutdown` for asyncio: the event loop goes on meanwhile."""
        await asyncio.to_thread(self.shutdown)

    def flush_after(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorator: before a call returns or raises, deliver what was logged, within 2 s.

        For what nobody tells that it ends: a function that is frozen between calls (AWS
        Lambda), a job whose process leaves by `os._exit`. Never raises.

        Args:
            function: No coroutine function; there, await `aforce_flush` at the end.
        """

        @functools.wraps(function)
        def flushed(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            finally:
                self.force_flush(FLUSH_AFTER_MILLIS)

        return flushed

    def health(self) -> Health:
        """How delivery is going."""
        self._put_back()
        return self.exporter.health()

    def __enter__(self) -> Pipeline:  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        flush_while_it_gets_on(self.force_flush, self.health)

    def __repr__(self) -> str:
        return f"<Pipeline {self.exporter!r}>"


def configure(
    endpoint: str | None = None,
    api_key: str | None = None,
    *,
    logger: logging.Logger | str | None = None,
    level: int | str | None = None,
    **options: Unpack[PipelineOptions],
) -> Pipeline:
    """Send what the standard library's logging, structlog or the OTel API log to Logwell.

    Uses the global LoggerProvider where there is one, otherwise makes it with a resource
    from the environment. Called again for the same server and key, it returns what the
    first call made, and adds only a handler where there is none; where
    `OTEL_LOGS_EXPORTER=logwell` or a configuration file set up the exporter, it takes that
    one. Nothing is sent twice. With `LOGWELL_DISABLED=true`, and in a test run (see
    `send_in_tests`), it does nothing; what it returns can be used all the same. Everything
    not given is read from the `LOGWELL_*` variables.

    Args:
        endpoint: Base URL of the server.
        api_key: The project's API key.
        logger: The logger that gets the handler, by default the root logger.
        level: Least severe level that is sent, by default `LOGWELL_LEVEL` or INFO. The logger
            is opened up to it if it lets less through, as the root logger does by default.
            With `logging.NOTSET` the logger's own level decides.
        **options: Further arguments of `LogwellLogExporter`, except its `level`. A `service`
            is also that of the resource, if the provider is made here.

    Raises:
        TypeError: There is no option of that name.
        LogwellError: `INVALID_CONFIG` when a setting is missing or wrong, or when `redact`
            or `before_send` come too late for an exporter that zero-code start-up made.
    """
    settings = Resolver({"endpoint": endpoint, "api_key": api_key, **options})
    # An error leaves through this frame, and what shows its locals would show the key.
    del endpoint, api_key, options
    config = Config.resolve(**settings.arguments).unless_in_tests()
    if config.disabled:
        exporter = LogwellLogExporter._from_config(config)  # noqa: SLF001 - our own class
        return Pipeline(exporter, LoggerProvider(), LogwellBatchLogRecordProcessor(exporter))
    if level is None:
        level = "INFO" if config.origins["level"] == "default" else config.level
    threshold = level_of(level)
    target = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
    with _lock.get():
        pipeline = _pipelines.get(config.identity)
        made = pipeline is None
        if pipeline is None:
            with WithoutFrames():
                pipeline = _adopted(config, settings) or _new(config, settings.argument("service"))
        pipeline.listen_to(target, threshold, config.levels)
        _pipelines[config.identity] = pipeline
    if config.root_level is not None:
        open_up(logging.getLogger(), level_of(config.root_level))
    processor = pipeline._processor  # noqa: SLF001 - our own class
    if made:
        at_exit_of_children(pipeline.shutdown)
        if config.deliver_on_sigterm and isinstance(processor, LogwellBatchLogRecordProcessor):
            deliver_on_sigterm(processor)
        at_exit(pipeline._put_back)  # noqa: SLF001 - our own class
    return pipeline


def pipelines(endpoint: str) -> list[Pipeline]:
    """What `configure` has set up in this process for a server and not ended yet."""
    with _lock.get():
        return [pipeline for (server, _), pipeline in _pipelines.items() if server == endpoint]


def _adopted(config: Config, settings: Resolver) -> Pipeline | None:
    provider = get_logger_provider()
    exporter = zero_code_exporter(config.identity)
    if exporter is None or not isinstance(provider, LoggerProvider):
        return None
    given = {
        name: value
        for name, value in settings.arguments.items()
        if name not in ("endpoint", "api_key", "api_key_file")
    }
    if (warning := ignored_arguments(given)) is not None:
        warn(warning)
    return Pipeline(exporter, provider, ZeroCodeProcessor(provider, exporter))


def _new(config: Config, service: str | None) -> Pipeline:
    exporter = LogwellLogExporter._from_config(config)  # noqa: SLF001 - our own class
    provider = _provider(service)
    processor = _processor(exporter, config)
    provider.add_log_record_processor(processor)
    return Pipeline(exporter, provider, processor)


def _provider(service: str | None) -> LoggerProvider:
    current = get_logger_provider()
    # The SDK's, or one of another package's that stands in front of it.
    if callable(getattr(current, "add_log_record_processor", None)):
        return cast("LoggerProvider", current)
    made = LoggerProvider(Resource.create({SERVICE_NAME: service} if service else {}))
    made.add_log_record_processor(ContextLogRecordProcessor())
    if is_proxy(current):
        set_logger_provider(made)
    else:
        kind = type(current)
        warn(
            f"The global LoggerProvider ({kind.__module__}.{kind.__qualname__}) takes no "
            "processors: what is logged by the standard library's logging goes to Logwell, what "
            "is logged by OpenTelemetry's API does not."
        )
    return made


def _processor(exporter: LogwellLogExporter, config: Config) -> LogwellBatchLogRecordProcessor:
    queue = None if os.environ.get("OTEL_BLRP_MAX_QUEUE_SIZE") else MAX_QUEUE_SIZE
    batch = None if os.environ.get("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE") else MAX_EXPORT_BATCH_SIZE
    return LogwellBatchLogRecordProcessor(
        exporter,
        schedule_delay_millis=_schedule_delay(config),
        max_queue_size=queue,
        max_export_batch_size=batch,
    )


def _schedule_delay(config: Config) -> float | None:
    """Milliseconds; with a spool so few that a second from the logging call all is on disk."""
    if config.spool_dir is None:
        return None
    longest = QUEUED_SECONDS * 1000
    given = os.environ.get("OTEL_BLRP_SCHEDULE_DELAY", "").strip() or longest
    try:
        return min(longest, float(given))
    except ValueError:
        return None  # the processor says what is wrong with it


# `configure()` in a program that zero-code start-up has already set up.
#
# `OTEL_LOGS_EXPORTER=logwell` or a configuration file made the exporter and put it behind the
# global LoggerProvider before the program began. A second exporter would send everything
# twice, so that `configure()` takes that one.


_SET_UP_BY_FILE: Final = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
_PRIVACY: Final = ("redact", "redact_keys", "redact_also", "before_send")


def zero_code_exporter(identity: tuple[str, int]) -> LogwellLogExporter | None:
    """The exporter that zero-code start-up made for this server and key, if it did."""
    names = {name.strip() for name in os.environ.get("OTEL_LOGS_EXPORTER", "").split(",")}
    by_file = any(os.environ.get(name) for name in _SET_UP_BY_FILE)
    if "logwell" not in names and not by_file:
        return None
    for exporter in exporters():
        if exporter.identity == identity:
            return exporter
    return None


def ignored_arguments(arguments: Mapping[str, Any]) -> str | None:
    """A warning about arguments that an exporter made before does not get; None without any.

    Raises:
        LogwellError: `INVALID_CONFIG` where the exporter would send what the program wants
            kept back.
    """
    given = [name for name, value in arguments.items() if value is not None]
    if not given:
        return None
    text = (
        "The exporter that OTEL_LOGS_EXPORTER or the configuration file set up sends to this "
        f"server already, without the {', '.join(given)} given to configure(). "
        "Set them there or by their LOGWELL_* variables, or leave logwell out of "
        "OTEL_LOGS_EXPORTER."
    )
    if any(name in given for name in _PRIVACY):
        raise config_error(text)
    return text


class ZeroCodeProcessor:
    """In the place of the batch processor, which start-up made and nobody can reach.

    Args:
        provider: The global LoggerProvider.
        exporter: The exporter behind it.
    """

    def __init__(self, provider: LoggerProvider, exporter: LogwellLogExporter) -> None:
        self._provider = provider
        self._exporter = exporter

    def force_flush(self, timeout_millis: int) -> bool:
        """Everything logged before is stored at the server."""
        began = monotonic()
        handed_over = self._provider.force_flush(timeout_millis)
        spent = int((monotonic() - began) * 1000)
        return self._exporter.force_flush(max(0, timeout_millis - spent)) and handed_over

    def shutdown(self) -> None:
        """Flush only: the provider is not ours to end, and ends with the program."""
        flush_while_it_gets_on(self.force_flush, self._exporter.health)
