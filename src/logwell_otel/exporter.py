"""`LogwellLogExporter`: OpenTelemetry's log exporter interface over the stages of this package."""

from __future__ import annotations

import os
import threading
import time
import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._config.options import Config, service_from_environment
from logwell_otel._delivery.engine import Engine, Seams
from logwell_otel._delivery.metrics import Metrics
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._http import tls_context
from logwell_otel._otel import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from logwell_otel._wire import LEVELS, LogEntry
from logwell_otel.errors import config_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.metrics import MeterProvider

    from logwell_otel._buffer.account import Counters
    from logwell_otel._buffer.spool import Spool
    from logwell_otel._config.options import BeforeSend, Redacts, Samples
    from logwell_otel._encoding.stages import Stages
    from logwell_otel._otel import ReadableLogRecord
    from logwell_otel.errors import ErrorCallback, FlushCallback
    from logwell_otel.health import Health
    from logwell_otel.sampling import Sampler

_exporters: Final[weakref.WeakSet[LogwellLogExporter]] = weakref.WeakSet()


def remember(exporter: LogwellLogExporter) -> None:
    """`exporter` was made: zero-code start-up may have made it."""
    _exporters.add(exporter)


def exporters() -> list[LogwellLogExporter]:
    """All that there are in this process."""
    return list(_exporters)


DEFAULT_FLUSH_MILLIS: Final = 30_000
# A forked child drops the parent's engine without closing anything of it: a finaliser that
# closes a TLS connection would end the parent's session.
_parents_engines: Final[list[Engine]] = []


class LogwellLogExporter(LogRecordExporter):
    """Sends OpenTelemetry log records to a Logwell server.

    `export()` maps and encodes, hands over and returns: it never waits for the network,
    whatever thread calls it. A thread of the exporter's own, started by the first batch,
    delivers. Every setting can be given as a `LOGWELL_*` variable instead.

    As OpenTelemetry's logs SDK asks of exporters, `export` may be called from several
    threads at once, as `SimpleLogRecordProcessor` does, and `force_flush` and `shutdown`
    beside it (https://opentelemetry.io/docs/specs/otel/logs/sdk/#concurrency-requirements).

    Args:
        endpoint: Base URL of the server, such as `https://logs.example.com`. A path prefix,
            a trailing slash and a full `…/v1/ingest` are fine.
        api_key: The project's API key: `lw_` and 32 characters.
        api_key_file: A file that holds the key instead. It is read again when the server
            refuses the key, so that a rotated one is picked up.
        service: Service name of every entry; by default the resource's `service.name`. A
            record's own `service.name` attribute wins over both.
        headers: Further headers of every request, as a mapping or `name=value,name=value`.
        timeout: Seconds one request may take; 0.1 to 300, default 10.
        certificate_file: CA certificates to trust, PEM; by default those of httpx.
        client_certificate_file: Certificate to show to the server, PEM.
        client_key_file: Its private key, PEM, where it is not in the same file.
        level: Least severe level that is sent: `debug` (default), `info`, `warn`, `error`,
            `fatal`.
        source_location: False leaves source file and line out of entries.
        max_queue_bytes: Memory that undelivered entries may take; default 32 MiB. Beyond
            it the oldest are dropped, counted and said.
        requests_per_minute: Requests sent a minute at most; default 600, the server's own
            limit. The pace adapts when the server answers 429.
        requests_per_hour: The same for an hour; default no such limit.
        spool_dir: Directory for what cannot be delivered now. Entries there outlive the
            process, `kill -9` included; several processes may share it. Default: none.
        spool_max_bytes: Size of the spool at most; default 256 MiB. Beyond it the oldest
            are dropped, counted and said.
        spool_max_age: Seconds an entry may wait in the spool; default 48 hours.
        sampling: True keeps a share of the records: all errors, less and less of what is
            less severe. Default False.
        sample_rates: Shares by level for it, as a mapping or `info=0.2,debug=0.05`.
        sampling_policy: Rates that change while the program runs: the path of a policy
            file, or the URL of a policy server. Switches sampling on, unless that is
            explicitly off.
        sampling_team_id: The team's number at the policy server; needed there.
        sampling_token: Bearer token for the policy server; default none.
        sampling_token_file: A file that holds the token instead. It is read again when the
            policy server refuses the token.
        sampler: A `Sampler` with settings of one's own, in place of all of these.
        redact: True takes personal data and credentials out of entries; a `Redactor`
            with settings of one's own does as well. Default False.
        redact_keys: Names of secrets beyond the usual, such as `patient_id`. Switches
            redaction on, unless that is explicitly off.
        redact_allow: Names and texts that stay as they are; likewise.
        before_send: Called with every `LogEntry`, after redaction and in the thread that
            exports; returns it, another one, or None to drop it. If it raises, the entry is
            dropped, counted and said.
        on_error: Called with every `LogwellError`, on the exporter's thread. What it raises
            is contained.
        on_flush: Called with the number of entries each time some were stored.
        meter_provider: Where the exporter's own metrics go; default the global one.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable, when a setting
            is missing or wrong. Nothing is raised after construction.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        *,
        api_key_file: str | os.PathLike[str] | None = None,
        service: str | None = None,
        headers: Mapping[str, str] | str | None = None,
        timeout: float | None = None,
        certificate_file: str | Path | None = None,
        client_certificate_file: str | Path | None = None,
        client_key_file: str | Path | None = None,
        level: str | None = None,
        source_location: bool | None = None,
        max_queue_bytes: int | None = None,
        requests_per_minute: float | None = None,
        requests_per_hour: float | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_max_bytes: int | None = None,
        spool_max_age: float | None = None,
        sampling: bool | None = None,
        sample_rates: Mapping[str, float] | str | None = None,
        sampling_policy: str | os.PathLike[str] | None = None,
        sampling_team_id: int | None = None,
        sampling_token: str | None = None,
        sampling_token_file: str | os.PathLike[str] | None = None,
        sampler: Samples | None = None,
        redact: bool | Redacts | None = None,
        redact_keys: Iterable[str] | None = None,
        redact_allow: Iterable[str] | None = None,
        before_send: BeforeSend | None = None,
        on_error: ErrorCallback | None = None,
        on_flush: FlushCallback | None = None,
        meter_provider: MeterProvider | None = None,
        _seams: Seams | None = None,
    ) -> None:
        self._config = Config.resolve(
            endpoint=endpoint,
            api_key=api_key,
            api_key_file=api_key_file,
            service=service,
            headers=headers,
            timeout=timeout,
            certificate_file=certificate_file,
            client_certificate_file=client_certificate_file,
            client_key_file=client_key_file,
            level=level,
            source_location=source_location,
            max_queue_bytes=max_queue_bytes,
            requests_per_minute=requests_per_minute,
            requests_per_hour=requests_per_hour,
            spool_dir=spool_dir,
            spool_max_bytes=spool_max_bytes,
            spool_max_age=spool_max_age,
            sampling=sampling,
            sample_rates=sample_rates,
            sampling_policy=sampling_policy,
            sampling_team_id=sampling_team_id,
            sampling_token=sampling_token,
            sampling_token_file=sampling_token_file,
            sampler=sampler,
            redact=redact,
            redact_keys=redact_keys,
            redact_allow=redact_allow,
            before_send=before_send,
            on_error=on_error,
            on_flush=on_flush,
        )
        _check_certificates(self._config)
        self._seams = _seams or Seams()
        self._stages = stages_of(self._config)
        self._encoder = Encoder(
            Mapper(self._config.service, source_location=self._config.source_location),
            minimum_rank=[*LEVELS].index(self._config.level),  # type: ignore[arg-type]
            stages=self._stages,
        )
        self._closed = False
        self._replacing = threading.Lock()
        this = weakref.ref(self)
        self._metrics = Metrics(
            self._config.endpoint, lambda: _counts(this()), meter_provider=meter_provider
        )
        self._spool = open_spool(self._config)
        self._engine = self._new_engine()
        if self._config.insecure:
            self._engine.notices.say(
                f"The API key travels unencrypted to {self._config.endpoint}. Use https where the "
                "way to the server is not your own."
            )
            self._engine.notices.dispatch()
        remember(self)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand over `batch`. Never waits, never raises for an `Exception`.

        Returns:
            SUCCESS when every entry is stored or held for later; FAILURE when any was
            dropped, and after `shutdown`.
        """
        engine = self._own_engine()
        try:
            encoded = self._encoder.encode(batch, room=engine.outbox.room())
            kept = engine.hand_over(encoded)
        except Exception as error:  # noqa: BLE001 - counted and said; the application goes on
            engine.failed(len(batch), error)
            return LogRecordExportResult.FAILURE
        if kept and not self._closed:
            return LogRecordExportResult.SUCCESS
        return LogRecordExportResult.FAILURE

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
        return self._own_engine().sender.flush(timeout_millis / 1000)

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
        if self._closed:
            return
        self._closed = True
        until = self._seams.clock() + max(0.0, timeout_millis / 1000)
        self._own_engine().shutdown(max(0.0, timeout_millis / 1000))
        if self._stages is not None:
            self._stages.shutdown(max(0.0, until - self._seams.clock()))

    @property
    def identity(self) -> tuple[str, int]:
        """Server and project: two exporters with the same would send everything twice."""
        return self._config.identity

    @property
    def closed(self) -> bool:
        """True from `shutdown` on."""
        return self._closed

    def health(self) -> Health:
        """How delivery is going."""
        return self._own_engine().health()

    def _new_engine(self) -> Engine:
        return Engine(self._config, self._metrics.observe, self._seams, self._spool)

    def _own_engine(self) -> Engine:
        engine = self._engine
        # At-fork hooks do not run when C code forks (uWSGI); the pid tells all the same.
        if engine.pid == os.getpid():
            return engine
        with self._replacing:
            if self._engine.pid != os.getpid():
                _parents_engines.append(self._engine)
                # Or all children of one parent would draw the same jitter and come back together.
                self._seams.rng.seed()
                self._engine = self._new_engine()
                if self._closed:
                    self._engine.outbox.close()
            return self._engine

    def __repr__(self) -> str:
        return f"<LogwellLogExporter to {self._config.endpoint}: {self._engine!r}>"


def _after_in_child() -> None:
    """Never raises, or Python would print a traceback for every fork."""
    for exporter in exporters():
        # The lock may have been held by a thread that does not exist here.
        exporter._replacing = threading.Lock()  # noqa: SLF001 - our own class
        exporter._own_engine()  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    # Once, as hooks cannot be taken back; and here, before any processor of the SDK's is made,
    # so that the child has its own engine when the processor restarts its worker there.
    os.register_at_fork(after_in_child=_after_in_child)


def _counts(exporter: LogwellLogExporter | None) -> tuple[Counters, int] | None:
    if exporter is None:
        return None
    held = exporter._engine.outbox.holdings()  # noqa: SLF001 - our own class
    return held.counters, held.entries


def open_spool(config: Config) -> Spool | None:
    """The spool that the settings ask for.

    Raises:
        LogwellError: `INVALID_CONFIG` when the directory cannot be used.
    """
    if config.spool_dir is None:
        return None
    # A third of all that there is to import, and most exporters have none.
    from logwell_otel._buffer.spool import Spool, SpoolError  # noqa: PLC0415
    from logwell_otel._buffer.spool.paths import project_name  # noqa: PLC0415

    try:
        return Spool(
            config.spool_dir,
            endpoint=config.endpoint,
            service=config.service or service_from_environment(),
            project=lambda: project_name(config.api_key.reveal()),
            max_bytes=config.spool_max_bytes,
            max_age=config.spool_max_age,
        )
    except SpoolError as error:
        raise config_error(f"spool_dir ({config.origins['spool_dir']}): {error}") from None


def _check_certificates(config: Config) -> None:
    try:
        tls_context(config)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        names = [
            f"{name} ({config.origins[name]})"
            for name in ("certificate_file", "client_certificate_file", "client_key_file")
            if getattr(config, name) is not None
        ]
        reason: Any = getattr(error, "reason", None) or error
        raise config_error(
            f"{', '.join(names)}: expected certificates and an unencrypted private key in PEM "
            f"form, got files that OpenSSL does not take ({reason})."
        ) from None


# A batch processor whose flush and shutdown mean *stored*, not *handed over*.


class LogwellBatchLogRecordProcessor(BatchLogRecordProcessor):
    """OpenTelemetry's batch processor, with a `force_flush` that reaches the server.

    OpenTelemetry's own never passes a flush on to the exporter, so that with it
    `provider.force_flush()` means that the exporter has the records. With this one it
    means that the server has them. `shutdown` drains with either.

    Args:
        exporter: The exporter.
        schedule_delay_millis: As OpenTelemetry's: `OTEL_BLRP_SCHEDULE_DELAY`.
        max_export_batch_size: `OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`.
        export_timeout_millis: `OTEL_BLRP_EXPORT_TIMEOUT`.
        max_queue_size: `OTEL_BLRP_MAX_QUEUE_SIZE`.
    """

    def __init__(
        self,
        exporter: LogwellLogExporter,
        schedule_delay_millis: float | None = None,
        max_export_batch_size: int | None = None,
        export_timeout_millis: float | None = None,
        max_queue_size: int | None = None,
    ) -> None:
        super().__init__(
            exporter,
            schedule_delay_millis=schedule_delay_millis,
            max_export_batch_size=max_export_batch_size,
            export_timeout_millis=export_timeout_millis,
            max_queue_size=max_queue_size,
        )
        self._logwell_exporter = exporter

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        """Wait until all records emitted before are stored at the server.

        Args:
            timeout_millis: Milliseconds to wait at most; None waits 30 s.

        Returns:
            True if they are, or were refused by the server for good.
        """
        timeout = 30_000 if timeout_millis is None else timeout_millis
        began = time.monotonic()
        handed_over = super().force_flush(timeout)
        spent = int((time.monotonic() - began) * 1000)
        return self._logwell_exporter.force_flush(max(0, timeout - spent)) and handed_over


def stages_of(config: Config) -> Stages | None:
    """The stages for `config`, None for none of them.

    Raises:
        LogwellError: `INVALID_CONFIG` when sampling rates are none.
    """
    if not (config.sampler or config.sampling or config.redact or config.before_send):
        return None
    # Imported only where they are used: they are most of what there is to import.
    from logwell_otel._encoding.stages import Stages  # noqa: PLC0415

    redactor = config.redact or None
    if redactor is True:
        from logwell_otel.redaction import Redactor  # noqa: PLC0415

        redactor = Redactor(extra_keys=config.redact_keys, allow=config.redact_allow)
    if not (config.sampling or config.sampler):
        return Stages(None, redactor, config.before_send)
    from logwell_otel.sampling.processor import decide  # noqa: PLC0415

    own = _sampler_of(config, redactor) if config.sampler is None else None
    sampler: Any = config.sampler or own
    end = None if own is None else own.shutdown
    return Stages(partial(decide, sampler), redactor, config.before_send, end_sampler=end)


def _sampler_of(config: Config, redactor: Redacts | None) -> Sampler:
    from logwell_otel.sampling import PolicyFile, Sampler  # noqa: PLC0415 - as above

    sampler = Sampler(config.sample_rates)
    policy = config.sampling_policy
    if isinstance(policy, Path):
        sampler.follow(PolicyFile(policy))
    elif policy is not None:
        _follow_server(sampler, policy, config, redactor)
    return sampler


def _follow_server(sampler: Sampler, url: str, config: Config, redactor: Redacts | None) -> None:
    from logwell_otel.redaction import Redactor  # noqa: PLC0415 - as above
    from logwell_otel.sampling import PolicyServer  # noqa: PLC0415

    # What a report quotes of messages goes to another server: redacted also where entries
    # are not.
    server = PolicyServer(
        url,
        service=config.service or service_from_environment(),
        team_id=config.sampling_team_id,  # type: ignore[arg-type] # checked with the URL
        bearer=config.sampling_token,
        redactor=_Texts(redactor or Redactor()),
    )
    sampler.follow(server)


class _Texts:
    """Redacts a text by what redacts entries: `redact=` may be anything that does."""

    def __init__(self, redactor: Redacts) -> None:
        self._redactor = redactor

    def redact_text(self, text: str) -> str:
        return str(self._redactor.redact_entry(LogEntry(level="info", message=text)).message)
