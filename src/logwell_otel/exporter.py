"""OpenTelemetry's contract: the log exporter.

Start here: `export()` is the way of a record from OpenTelemetry to what delivers it.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from logwell_otel._config.options import TEAM, Config, options_in_help, service_from_environment
from logwell_otel._config.settings import Resolver
from logwell_otel._delivery.engine import Dependencies, Engine, tls_files
from logwell_otel._delivery.metrics import Metrics
from logwell_otel._diagnostics import contained
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.events import templates
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._http import requests_problem
from logwell_otel._network import tls_context, usual_tls_problem
from logwell_otel._otel import LogRecordExporter, LogRecordExportResult
from logwell_otel._process import PerProcess, Uninterrupted, losses, no_interrupt_at_exit
from logwell_otel._sigterm import shutting_down
from logwell_otel._wire import LEVELS, LogEntry
from logwell_otel.errors import LogwellError, config_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from logwell_otel._buffer.account import Counters
    from logwell_otel._buffer.spool import Spool
    from logwell_otel._encoding.encoder import Encoded
    from logwell_otel._encoding.stages import Stages
    from logwell_otel._otel import ReadableLogRecord
    from logwell_otel._wire import Level
    from logwell_otel.health import Health
    from logwell_otel.sampling import Sampler
    from logwell_otel.types import ExporterOptions, Redacts

DEFAULT_FLUSH_MILLIS: Final = 30_000
_DISABLED: Final = (
    "nothing is sent: LOGWELL_DISABLED or OTEL_SDK_DISABLED is set, or this is a test run"
)

# All there are in this process: zero-code start-up may have made one that `configure` looks for.
_exporters: Final[weakref.WeakSet[LogwellLogExporter]] = weakref.WeakSet()


class Queue(Protocol):
    """The queue of a processor in front of an exporter."""

    @property
    def queued(self) -> int:
        """Records in it."""

    @property
    def queue_share(self) -> float:
        """Share of it in use, 0 to 1."""

    @property
    def room(self) -> tuple[int, int]:
        """Records, and characters of text, that it still takes."""

    def report(self) -> None:
        """Have the exporter's account say what it has dropped by now."""


def exporters(endpoint: str | None = None) -> list[LogwellLogExporter]:
    """The exporters in this process that are open: all, or those that send to `endpoint`."""
    return [
        exporter
        for exporter in _exporters
        if not exporter.closed and endpoint in {None, exporter._config.endpoint}  # noqa: SLF001 - our own class
    ]


@options_in_help
class LogwellLogExporter(LogRecordExporter):
    """Sends OpenTelemetry log records to a Logwell server.

    `export()` maps and encodes, hands over and returns: it never waits for the network,
    whatever thread calls it. A thread of the exporter's own, started by the first batch,
    delivers. Every setting can be given as a `LOGWELL_*` variable instead.

    As OpenTelemetry's logs SDK asks of exporters, `export` may be called from several
    threads at once, as `SimpleLogRecordProcessor` does, and `force_flush` and `shutdown`
    beside it (https://opentelemetry.io/docs/specs/otel/logs/sdk/#concurrency-requirements).

    Args:
        **options: Every setting; `help()` lists them here, docs/configuration.md in a table.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable, when a setting
            is missing or wrong. Nothing is raised after construction.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        **options: Unpack[ExporterOptions],
    ) -> None:
        settings = Resolver({"endpoint": endpoint, "api_key": api_key, **options})
        # An error leaves through this frame, and what shows its locals would show the key.
        del endpoint, api_key, options
        self._begin(Config.resolve(**settings.arguments).unless_in_tests(), Dependencies())

    @classmethod
    def _from_config(cls, config: Config, dependencies: Dependencies | None = None) -> Self:
        """An exporter with settings that were resolved before: `configure` needs them first."""
        exporter = cls.__new__(cls)
        exporter._begin(config, dependencies or Dependencies())  # noqa: SLF001 - our own class
        return exporter

    def _begin(self, config: Config, dependencies: Dependencies) -> None:
        _check_requests(config)
        self._config = config
        self._dependencies = dependencies
        self._stages = stages_of(config)
        self._mapper = Mapper(
            config.service,
            source_location=config.source_location,
            request_id_from_trace=config.request_id_from_trace,
            levels=config.levels,
            redact=self._stages.redact if self._stages and self._stages.redacts else None,
        )
        self._encoder = Encoder(
            self._mapper,
            stages=self._stages,
        )
        self._send_from(config.level)
        templates.wanted |= config.message_template and not config.disabled
        self._closed = False
        # A signal handler that logs may interrupt an export, on its own thread.
        self._exports = Uninterrupted(self._export, self._drop)
        self._queues: weakref.WeakSet[Queue] = weakref.WeakSet()
        this = weakref.ref(self)
        self._metrics = Metrics(
            config.endpoint, lambda: _counts(this()), meter_provider=config.meter_provider
        )
        self._spool = open_spool(config, dependencies)
        self._unnamed_spool = self._spool if config.service is None else None
        # At the fork, so that a child has it when OpenTelemetry's processor restarts there.
        self._engines = PerProcess(self._new_engine, remake=self._new_engine_in_child, at_fork=True)
        self._engines.get()
        if config.insecure:
            self._engine.notices.say(
                f"The API key travels unencrypted to {config.endpoint}. Use https where the "
                "way to the server is not your own."
            )
            self._engine.notices.dispatch()
        _exporters.add(self)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand over `batch`. Never waits, never raises for an `Exception`.

        On the main thread what a signal handler raises, such as `sys.exit()`, goes through,
        once the batch is accounted for.

        Returns:
            SUCCESS when every entry is stored or held for later; FAILURE when any was
            dropped, and after `shutdown`.
        """
        if self._config.disabled:
            return LogRecordExportResult.SUCCESS
        outcome = [True]
        self._exports((batch, outcome))
        if outcome[0] and not self._closed:
            return LogRecordExportResult.SUCCESS
        return LogRecordExportResult.FAILURE

    @staticmethod
    def _drop(work: tuple[Sequence[ReadableLogRecord], list[bool]]) -> None:
        batch, outcome = work
        outcome[0] = False
        losses.get().count += len(batch)

    def _export(self, work: tuple[Sequence[ReadableLogRecord], list[bool]]) -> None:
        batch, outcome = work
        engine = self._engine
        outcome[0] = False
        encoded: Encoded | None = None
        try:
            with contained(partial(engine.failed, len(batch))):
                encoded = self._encoder.encode(batch, room=engine.outbox.room())
                if self._unnamed_spool is not None and batch:
                    self._name_spool(batch[0])
                outcome[0] = engine.hand_over(encoded)
        except BaseException:
            if encoded is None:
                engine.outbox.put([], {"interrupted": len(batch)})
            else:
                engine.hand_over(encoded)  # as far as that was not done
            raise
        if encoded is not None and encoded.interrupt is not None:
            raise encoded.interrupt

    def force_flush(self, timeout_millis: int = DEFAULT_FLUSH_MILLIS) -> bool:
        """Wait until all that was handed over before is stored at the server.

        Exact for what `export` was given. What is still in the queue of OpenTelemetry's
        own `BatchLogRecordProcessor` was not: use `LogwellBatchLogRecordProcessor`, whose
        `force_flush` covers both.

        Args:
            timeout_millis: Milliseconds to wait at most.

        Returns:
            True if all is stored, or was refused by the server for good. False after the
            timeout, when some was dropped, or when called from `on_error` or `on_flush`.
        """
        return self._engine.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """Deliver what is held, then end. A second call does nothing.

        A server that is well is given the whole time-out. With one that refuses
        connections this returns within 1.5 s, with one that never answers within 5 s;
        during a rate-limit pause or with a refused key one attempt is made. What is left
        then goes to the spool, or without one is dropped, counted and said. Where the
        settings name a policy server, a last report of patterns goes there in the time
        that is left, 2 s at most.

        Args:
            timeout_millis: Milliseconds to wait at most. OpenTelemetry's processor looks
                for this very name.
        """
        with shutting_down(), no_interrupt_at_exit():
            if not self._closed:
                self._closed = True
                self._shut_down(timeout_millis)

    def _shut_down(self, timeout_millis: float) -> None:
        until = self._dependencies.clock() + max(0.0, timeout_millis / 1000)
        self._engine.shutdown(max(0.0, timeout_millis / 1000))
        if self._stages is not None:
            self._stages.shutdown(max(0.0, until - self._dependencies.clock()))

    def _send_from(self, level: Level) -> None:
        """Leave out what is less severe, in place of the setting `level`."""
        self._minimum_rank = LEVELS.index(level)
        self._encoder._minimum_rank = self._minimum_rank  # noqa: SLF001 - our own class

    @property
    def closed(self) -> bool:
        """True from `shutdown` on."""
        return self._closed

    def health(self) -> Health:
        """How delivery is going."""
        queues = list(self._queues)
        for queue in queues:
            queue.report()
        health = self._engine.health(
            queued=sum(queue.queued for queue in queues),
            queue_share=max((queue.queue_share for queue in queues), default=0.0),
            room=min((queue.room for queue in queues), default=None),
        )
        return replace(health, reasons=(_DISABLED,)) if self._config.disabled else health

    @property
    def _delivers_on_sigterm(self) -> bool:
        """Whether start-up is to have SIGTERM deliver first."""
        return self._config.deliver_on_sigterm and not self._config.disabled

    @property
    def _followed(self) -> bool:
        """Whether a processor of ours stands in front of it."""
        return bool(self._queues)

    def _follow(self, queue: Queue) -> None:
        """Have `health()` tell of a processor's queue as well."""
        self._queues.add(queue)

    def _name_spool(self, record: ReadableLogRecord) -> None:
        """The spool is that of the service which the entries bear: of the first one's resource."""
        spool, self._unnamed_spool = self._unnamed_spool, None
        service = None
        with suppress(Exception):  # a resource that cannot be read, whose entries bear none either
            service = self._mapper.resource_scope(record).service
        if spool is not None and service is not None:
            spool.name_after(service)

    def _new_engine(self) -> Engine:
        return Engine(
            self._config,
            self._metrics.observer,
            self._dependencies,
            self._spool,
            redactor=partial(redactor_of, self._config),
        )

    def _new_engine_in_child(self) -> Engine:
        # Or all children of one parent would draw the same jitter and come back together.
        self._dependencies.rng.seed()
        engine = self._new_engine()
        if self._closed:
            engine.outbox.close()
        return engine

    @property
    def _engine(self) -> Engine:
        return self._engines.get()

    def __repr__(self) -> str:
        # Of one whose construction failed there is nothing to say, and it is shown all the same.
        config, engines = getattr(self, "_config", None), getattr(self, "_engines", None)
        if config is None or engines is None:
            return "<LogwellLogExporter, not constructed>"
        return f"<LogwellLogExporter to {config.endpoint}: {engines.get()!r}>"


def _counts(exporter: LogwellLogExporter | None) -> tuple[Counters, int] | None:
    if exporter is None:
        return None
    for queue in list(exporter._queues):  # noqa: SLF001 - our own class
        queue.report()
    held = exporter._engine.outbox.holdings()  # noqa: SLF001 - our own class
    return held.counters, held.entries


# The parts that only some settings ask for, made of those settings. What they import is most
# of what there is to import, so that each imports it where it is asked for.


def _check_requests(config: Config) -> None:
    """Refuse what can never deliver, as far as that shows at little cost."""
    problem = requests_problem()
    secure = config.endpoint.startswith("https:")
    if problem is None and secure and config.certificate_file is None:
        problem = usual_tls_problem()
    if problem is not None:
        raise config_error(f"Nothing could be sent from here: {problem}.")
    if secure:
        _check_certificates(config)


def _check_certificates(config: Config) -> None:
    try:
        tls_context(tls_files(config))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason: Any = getattr(error, "reason", None) or error
        problem = str(reason)
    else:
        return
    names = [
        f"{name} ({config.origins[name]})"
        for name in ("certificate_file", "client_certificate_file", "client_key_file")
        if getattr(config, name) is not None
    ]
    raise config_error(
        f"{', '.join(names)}: expected certificates and an unencrypted private key in PEM "
        f"form, got files that OpenSSL does not take ({problem})."
    )


def open_spool(config: Config, dependencies: Dependencies) -> Spool | None:
    """The spool that the settings ask for.

    Raises:
        LogwellError: `INVALID_CONFIG` when the directory cannot be used.
    """
    if config.spool_dir is None:
        return None
    from logwell_otel._buffer.spool import Spool  # noqa: PLC0415
    from logwell_otel._buffer.spool.names import project_name  # noqa: PLC0415
    from logwell_otel._storage import StorageError  # noqa: PLC0415

    try:
        return Spool(
            config.spool_dir,
            endpoint=config.endpoint,
            service=config.service,
            project=lambda: project_name(config.api_key.reveal()),
            max_bytes=config.spool_max_bytes,
            max_age=config.spool_max_age,
            sync=config.spool_sync,
            clock=dependencies.wall,
            monotonic=dependencies.clock,
        )
    except StorageError as error:
        problem = str(error)
    raise config_error(f"spool_dir ({config.origins['spool_dir']}): {problem}")


def stages_of(config: Config) -> Stages | None:
    """The stages for `config`, None for none of them.

    Raises:
        LogwellError: `INVALID_CONFIG` when sampling rates are none.
    """
    if not (config.sampling or config.redact or config.before_send):
        return None
    from logwell_otel._encoding.stages import Stages  # noqa: PLC0415

    redactor = redactor_of(config) if config.redact else None
    if not config.sampling:
        return Stages(None, redactor, config.before_send)
    from logwell_otel.sampling.processor import decide  # noqa: PLC0415

    own = _sampler_of(config, redactor) if config.sampling is True else None
    sampler: Any = own or config.sampling
    end = None if own is None else own.shutdown
    return Stages(partial(decide, sampler), redactor, config.before_send, end_sampler=end)


def redactor_of(config: Config) -> Redacts:
    """The redactor of the settings; where they ask for none, the one they would get."""
    if config.redact and config.redact is not True:
        return config.redact
    from logwell_otel.redaction import Redactor  # noqa: PLC0415

    return Redactor(
        extra_keys=config.redact_keys, allow=config.redact_allow, also=config.redact_also
    )


def _sampler_of(config: Config, redactor: Redacts | None) -> Sampler:
    from logwell_otel.sampling import PolicyFile, Sampler  # noqa: PLC0415

    try:
        sampler = Sampler(config.sample_rates)
    except LogwellError as error:
        problem = error.message
        sampler = None
    if sampler is None:
        raise config_error(f"sample_rates (LOGWELL_SAMPLE_RATES): {problem}")
    policy = config.sampling_policy
    if isinstance(policy, Path):
        sampler.follow(PolicyFile(policy))
    elif policy is not None:
        _follow_server(sampler, policy, config, redactor)
    return sampler


def _follow_server(sampler: Sampler, url: str, config: Config, redactor: Redacts | None) -> None:
    from logwell_otel.redaction import Redactor  # noqa: PLC0415
    from logwell_otel.sampling import PolicyServer  # noqa: PLC0415

    # What a report quotes of messages goes to another server: redacted also where entries
    # are not.
    address, _, team = url.partition(TEAM)
    server = PolicyServer(
        address,
        service=config.service or service_from_environment(),
        team_id=int(team),
        bearer=config.sampling_token,
        redactor=_Texts(redactor or Redactor()),
        allow_zero=config.sampling_allow_zero,
    )
    sampler.follow(server)


class _Texts:
    """Redacts a text by what redacts entries: `redact=` may be anything that does."""

    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor

    def redact_text(self, text: str) -> str:
        return str(self._redactor.redact_entry(LogEntry(level="info", message=text)).message)
