"""`configure()`: one call sets up a whole logging pipeline."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource

from logwell_otel._buffer.outbox import QUEUED_SECONDS
from logwell_otel._config.again import differing, keeps_back
from logwell_otel._config.options import Config
from logwell_otel._config.settings import Resolver, is_asked_for, level_of_number
from logwell_otel._delivery.worker import flush_while_progressing
from logwell_otel._diagnostics import warn
from logwell_otel._encoding.values import type_name
from logwell_otel._install import InstalledHandler, install_handler, open_up
from logwell_otel._otel import LoggerProvider, LogRecordProcessor, is_proxy
from logwell_otel._process import PerProcess, at_exit, at_exit_of_children
from logwell_otel._sigterm import deliver_on_sigterm
from logwell_otel._translation import level_of
from logwell_otel._wire import LEVELS
from logwell_otel.context import ContextLogRecordProcessor
from logwell_otel.errors import WithoutFrames, config_error
from logwell_otel.exporter import DEFAULT_FLUSH_MILLIS, LogwellLogExporter, exporters
from logwell_otel.processor import LogwellBatchLogRecordProcessor, UnreachableProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from typing_extensions import Unpack

    from logwell_otel._wire import Level
    from logwell_otel.health import Health
    from logwell_otel.types import PipelineOptions


# Ten bursts' worth of OpenTelemetry's default of 2,048, and full requests of 100.
MAX_QUEUE_SIZE: Final = 20_480
MAX_EXPORT_BATCH_SIZE: Final = 500

FLUSH_AFTER_MILLIS: Final = 2_000

P = ParamSpec("P")
R = TypeVar("R")

_PROVIDER: Final = "OTEL_PYTHON_LOGGER_PROVIDER"

_lock: Final = PerProcess(threading.Lock)
_pipelines: Final[dict[tuple[str, int], Pipeline]] = {}
_places: Final[list[tuple[object, tuple[str, int], Place]]] = []

_calls: Final[dict[logging.Logger, dict[str, Any]]] = {}
"""With what `configure` was called last for a logger, of what is not about the server."""

_NOT_OF_THE_SERVER: Final = (
    "service",
    "levels",
    "root_level",
    "source_location",
    "request_id_from_trace",
    "message_template",
    "redact",
    "redact_keys",
    "redact_allow",
    "redact_also",
    "before_send",
)


class Pipeline:
    """What `configure` returns.

    As a context manager it ends with the block, as by `shutdown`. Where it was asked for more
    than once (by another `configure()`, by a `LogwellHandler`, by start-up without code) and
    not ended as often, others still use it, and the end of the block flushes only: up to 30 s
    for a server that accepts what it is sent, 2 s for one that fails, 4 s for one that hangs.

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
        # How often it was asked for and not ended; what start-up has made is its own.
        self._users = int(isinstance(processor, ZeroCodeProcessor))
        self._level: Level | None = None

    @property
    def handlers(self) -> list[logging.Handler]:
        """The handlers added to the standard library's loggers; none where some were there."""
        return [*self._handlers]

    def listen_to(self, logger: logging.Logger, threshold: int) -> None:
        """Have records of `logger` from level number `threshold` on go through this pipeline."""
        self._put_back()
        levels = self.exporter._config.levels  # noqa: SLF001 - our own class
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

    def shutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """Deliver what is held and end this pipeline; a second call does nothing.

        Returns by the time-out and raises nothing: what was not delivered is in the spool, or
        dropped, counted in `health()` and said. A later `configure()` makes a new one. What
        start-up without code has made is flushed, and ends with the program.

        Args:
            timeout_millis: Milliseconds to wait at most; see `LogwellLogExporter.shutdown`.
        """
        self._put_back()
        with _lock.get():
            for key in [key for key, pipeline in _pipelines.items() if pipeline is self]:
                del _pipelines[key]
        for handler in self._handlers:
            handler.uninstall()
        self._handlers = []
        self._processor.shutdown(timeout_millis)

    async def aforce_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """`force_flush` for asyncio: the event loop keeps running meanwhile."""
        return await asyncio.to_thread(self.force_flush, timeout_millis)

    async def ashutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """`shutdown` for asyncio: the event loop keeps running meanwhile."""
        await asyncio.to_thread(self.shutdown, timeout_millis)

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

    def _is_asked_for_again(self, config: Config, settings: Resolver) -> None:
        """Refuse, or say, what this pipeline would have to be made anew for."""
        given = [name for name, value in settings.arguments.items() if value is not None]
        names = differing(given, config, self.exporter._config)  # noqa: SLF001 - our own class
        if not names:
            return
        if isinstance(self._processor, ZeroCodeProcessor):
            made = "OTEL_LOGS_EXPORTER or the configuration file"
            advice = (
                "Set them there or by their LOGWELL_* variables, or leave logwell out of "
                "OTEL_LOGS_EXPORTER."
            )
        else:
            made = "An earlier configure() or LogwellHandler"
            advice = "Give them to the first call, or end what it made before: pipeline.shutdown()."
        text = (
            f"{made} has set up what sends to this server with this key. What is given now "
            f"differs from it in {', '.join(names)}. {advice}"
        )
        if keeps_back(names):
            raise config_error(f"{text} Nothing was changed.")
        warn(f"{text} Until then what was given first counts.")

    def _let_pass(self, level: Level) -> None:
        """Send what has at least that level, by whatever API: the least severe asked for counts."""
        if self._level is None or LEVELS.index(level) < LEVELS.index(self._level):
            self._level = level
            self.exporter._send_from(level)  # noqa: SLF001 - our own class

    def __enter__(self) -> Pipeline:  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        with _lock.get():
            self._users -= 1
            others = self._users > 0
        if others:
            flush_while_progressing(self.force_flush, self.health)
        else:
            self.shutdown()

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
    one. Nothing is sent twice. Settings that differ from those in use are named in a warning;
    of those that keep something back, that is an error. With `LOGWELL_DISABLED=true`, and in
    a test run (see `send_in_tests`), it does nothing; what it returns can be used all the
    same. Everything not given is read from the `LOGWELL_*` variables.

    Args:
        endpoint: Base URL of the server.
        api_key: The project's API key.
        logger: The logger that gets the handler, by default the root logger.
        level: Least severe level that is sent, by logging or by OpenTelemetry's API; default
            `LOGWELL_LEVEL`, else INFO. The logger is opened up to it if it lets less through,
            as the root logger does by default. With `logging.NOTSET` the logger's own level
            decides.
        **options: Further arguments of `LogwellLogExporter`, except its `level`. A `service`
            is also that of the resource, if the provider is made here.

    Raises:
        TypeError: There is no option of that name.
        LogwellError: `INVALID_CONFIG` when a setting is missing or wrong, or when redaction,
            `before_send` or `sampling` differ from those of what is there already.
    """
    settings = Resolver({"endpoint": endpoint, "api_key": api_key, **options})
    # An error leaves through this frame, and what shows its locals would show the key.
    del endpoint, api_key, options
    config = Config.resolve(**settings.arguments).unless_in_tests()
    target = _target(logger)
    call = {"level": level, **{name: settings.argument(name) for name in _NOT_OF_THE_SERVER}}
    if config.disabled:
        _calls[target] = call
        return _disabled(config)
    said = level is not None or config.origins["level"] != "default"
    if level is None:
        level = config.level if said else "INFO"
    threshold = level_of(level)
    least = config.level if threshold == logging.NOTSET else level_of_number(threshold)
    pipeline = set_up(config, settings, least, said=said)
    with _lock.get():
        pipeline.listen_to(target, threshold)
    _calls[target] = call
    return pipeline


def _target(logger: logging.Logger | str | None) -> logging.Logger:
    if isinstance(logger, logging.Logger):
        return logger
    if logger is None or isinstance(logger, str):
        return logging.getLogger(logger)
    raise config_error(f"logger: expected a logger or its name, got {type_name(logger)}.")


def set_up(config: Config, settings: Resolver, level: Level, *, said: bool) -> Pipeline:
    """The pipeline for these settings: the one that is there, or a new one.

    Not to be called under logging's lock, as `LogwellHandler` sees to.

    Args:
        config: The settings.
        settings: The same as they were given.
        level: The least severe level that is to be sent.
        said: Whether somebody gave one. If not, it is not for what start-up has made.
    """
    if config.disabled:
        return _disabled(config)
    with _lock.get(), WithoutFrames():
        known = _pipelines.get(config.identity)
        pipeline = known or _adopted(config) or _new(config, settings.argument("service"))
        by_start_up = isinstance(pipeline._processor, ZeroCodeProcessor)  # noqa: SLF001 - our own class
        if known or by_start_up:
            pipeline._is_asked_for_again(config, settings)  # noqa: SLF001
        if said or not by_start_up:
            pipeline._let_pass(level)  # noqa: SLF001
        pipeline._users += 1  # noqa: SLF001
        _pipelines[config.identity] = pipeline
    if config.root_level is not None:
        open_up(logging.getLogger(), level_of(config.root_level))
    processor = pipeline._processor  # noqa: SLF001 - our own class
    if known is None:
        at_exit_of_children(pipeline.shutdown)
        if config.deliver_on_sigterm and isinstance(processor, LogwellBatchLogRecordProcessor):
            deliver_on_sigterm(processor)
        at_exit(pipeline._put_back)  # noqa: SLF001 - our own class
    return pipeline


def _disabled(config: Config) -> Pipeline:
    """One that does nothing, and looks for no resource: detectors run on threads."""
    exporter = LogwellLogExporter._from_config(config)  # noqa: SLF001 - our own class
    try:
        provider = LoggerProvider(Resource({}))
    except ValueError:  # a limit in a variable of OpenTelemetry's, which is none of our business
        provider = cast("LoggerProvider", get_logger_provider())
    # Sizes, so that no variable is looked at.
    processor = LogwellBatchLogRecordProcessor(
        exporter, schedule_delay_millis=1_000, max_export_batch_size=1, max_queue_size=1
    )
    return Pipeline(exporter, provider, processor)


def configure_again(endpoint: str, api_key: str) -> Callable[[], None]:
    """Call `configure` for one more server, for each logger as it was called before.

    For tests of a program that calls it when it is imported: before there is a server, and so
    for another one, or disabled.

    Returns:
        Forgets the calls that come between.
    """
    before = dict(_calls)
    for logger, options in before.items():
        configure(endpoint, api_key, logger=logger, disabled=False, **options)

    def forget() -> None:
        _calls.clear()
        _calls.update(before)

    return forget


def pipelines(endpoint: str) -> list[Pipeline]:
    """What `configure` has set up in this process for a server and not ended yet."""
    with _lock.get():
        return [pipeline for (server, _), pipeline in _pipelines.items() if server == endpoint]


def _adopted(config: Config) -> Pipeline | None:
    try:
        provider = get_logger_provider()
    except Exception:  # noqa: BLE001 - it may be a StopIteration
        raise config_error(
            f"{_PROVIDER}: {os.environ.get(_PROVIDER)!r} cannot be loaded. Correct "
            "the name, or unset the variable."
        ) from None
    exporter = zero_code_exporter(config.identity)
    if exporter is None or not isinstance(provider, LoggerProvider):
        return None
    return Pipeline(exporter, provider, ZeroCodeProcessor(provider, exporter))


def _new(config: Config, service: str | None) -> Pipeline:
    exporter = LogwellLogExporter._from_config(config)  # noqa: SLF001 - our own class
    provider = _provider(service)
    processor = _processor(exporter, config)
    for known, identity, place in _places:
        if known is provider and identity == config.identity:
            place.lead_to(processor)
            break
    else:
        place = Place(processor)
        _places.append((provider, config.identity, place))
        provider.add_log_record_processor(place)
    return Pipeline(exporter, provider, processor)


class Place(LogRecordProcessor):
    """The place of a pipeline in a provider, which lets no processor go.

    The next pipeline for the same server and key gets it. Otherwise each would leave one
    behind that counts, and at exit even sends, what the next one has sent.
    """

    def __init__(self, processor: LogwellBatchLogRecordProcessor) -> None:
        self.lead_to(processor)

    def lead_to(self, processor: LogwellBatchLogRecordProcessor) -> None:
        """Have records go there from now on."""
        self._processor = processor
        # On the object: one call less for each record.
        vars(self).update(on_emit=processor.on_emit, enabled=processor.enabled)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record."""
        self._processor.on_emit(log_record)

    def shutdown(self) -> None:
        """Deliver what is held, then end."""
        self._processor.shutdown()

    def force_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """Everything logged before is stored at the server."""
        return self._processor.force_flush(timeout_millis)


def _provider(service: str | None) -> LoggerProvider:
    current = get_logger_provider()
    # The SDK's, or one of another package's that stands in front of it.
    if callable(getattr(current, "add_log_record_processor", None)):
        return cast("LoggerProvider", current)
    try:
        made = LoggerProvider(_resource({SERVICE_NAME: service} if service else {}))
    except ValueError as error:  # it reads its limits from variables, and names them
        raise config_error(f"{error}.") from None
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


def _resource(given: dict[str, str]) -> Resource:
    try:
        return Resource.create(given)
    except RuntimeError:
        # OpenTelemetry's detectors run on threads, and the system has no more of them.
        named = Resource({SERVICE_NAME: "unknown_service"}).merge(OTELResourceDetector().detect())
        return named.merge(Resource(given))


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


def zero_code_exporter(identity: tuple[str, int]) -> LogwellLogExporter | None:
    """The exporter that zero-code start-up made for this server and key, if it did."""
    by_file = any(os.environ.get(name) for name in _SET_UP_BY_FILE)
    if not (is_asked_for(os.environ) or by_file):
        return None
    for exporter in exporters():
        if exporter._config.identity == identity:  # noqa: SLF001 - our own class
            return exporter
    return None


class ZeroCodeProcessor(UnreachableProcessor):
    """The same for whoever calls `configure()` in a program that start-up has set up."""

    def shutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """Flush only: the provider is not ours to end, and ends with the program."""
        flush_while_progressing(self.force_flush, self._exporter.health, timeout_millis / 1000)
