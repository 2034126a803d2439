"""The batch processor: the logging call queues a record, a thread exports what is queued.

What runs in the logging call takes no lock and makes no system call, so that a signal
handler or a finalizer may log at any moment, and nobody who logs waits for who else does.
"""

from __future__ import annotations

import copy
import os
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import Context, attach, detach, set_value

from logwell_otel._clock import monotonic
from logwell_otel._config.settings import number_of
from logwell_otel._diagnostics import warn
from logwell_otel._encoding.exceptions import (
    REQUEST_EXCEPTION,
    is_recorded,
    mark_request_exception,
    request_is_logged,
)
from logwell_otel._encoding.fields import severity_of
from logwell_otel._otel import (
    READABLE_AS_KNOWN,
    RECORD_AS_KNOWN,
    SUPPRESS_INSTRUMENTATION,
    CleanAttributes,
    LogRecord,
    LogRecordProcessor,
    ReadableLogRecord,
)
from logwell_otel._process import (
    PerProcess,
    Wakeup,
    Worker,
    after_fork_in_child,
    at_last,
    at_the_very_end,
    is_patched_late,
    no_interrupt_at_exit,
    nothing_comes_after,
)
from logwell_otel._sigterm import shutting_down
from logwell_otel.errors import config_error
from logwell_otel.exporter import DEFAULT_FLUSH_MILLIS

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider, ReadWriteLogRecord

    from logwell_otel._delivery.engine import Engine
    from logwell_otel.exporter import LogwellLogExporter
    from logwell_otel.types import OnQueueFull

THREAD_NAME: Final = "LogwellBatch"

# OpenTelemetry's: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
_SCHEDULE_DELAY: Final = 1_000.0
DEFAULT_BATCH_SIZE: Final = 512
_MAX_QUEUE_SIZE: Final = 2_048

LONGEST_WAIT: Final = 1.0
"""Seconds that a logging call waits at most for room, with `on_queue_full="wait"`."""

_LOOK: Final = 0.002
"""Seconds between two looks for room: a batch is taken in 5 to 20 ms."""

_HAND_OVER: Final = 2.0
"""Seconds that a shutdown which is broken off gives what is queued: a full queue takes one."""

_GRACE: Final = 1.0
"""Seconds beyond the delay after which the logging call looks after the thread."""

_NO_CONTEXT: Final = Context()
_new: Final[Any] = object.__new__
_set: Final = object.__setattr__
_NEVER: Final = sys.maxsize


class LogwellBatchLogRecordProcessor(LogRecordProcessor):
    """Queues records and exports them in batches on a thread of its own.

    As OpenTelemetry's `BatchLogRecordProcessor`, with the same variables, and with these
    differences:

    - `force_flush` means that the server has the records, not only the exporter;
    - records dropped because the queue is full stand in `exporter.health()`;
    - the queue has a limit in bytes as well;
    - the thread starts with the first record, not before.

    A full queue drops the record that comes, as the specification says: what was taken in
    is delivered.

    Args:
        exporter: The exporter.
        schedule_delay_millis: Milliseconds that a record waits at most for a batch to be
            full; default `OTEL_BLRP_SCHEDULE_DELAY`, else 1,000.
        max_export_batch_size: Records of a batch; default `OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`,
            else 512. At most what the queue takes.
        export_timeout_millis: Not used, as in OpenTelemetry's: `export()` never waits.
        max_queue_size: Records in the queue at most; default `OTEL_BLRP_MAX_QUEUE_SIZE`,
            else 2,048.
        max_queue_bytes: Characters of text in the queue at most, those of messages and
            attributes together; default the exporter's `max_queue_bytes`. A larger record
            is taken where the queue holds no other.
        on_queue_full: `"drop"`, or `"wait"`: then the logging call waits up to a second for
            room, except where an asyncio event loop runs and on threads of this package.
            Default the exporter's `on_queue_full`.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
    """

    def __init__(
        self,
        exporter: LogwellLogExporter,
        schedule_delay_millis: float | None = None,
        max_export_batch_size: int | None = None,
        export_timeout_millis: float | None = None,  # noqa: ARG002 - part of the interface
        max_queue_size: int | None = None,
        *,
        max_queue_bytes: int | None = None,
        on_queue_full: OnQueueFull | None = None,
    ) -> None:
        config = exporter._config  # noqa: SLF001 - our own class
        dependencies = exporter._dependencies  # noqa: SLF001
        self._max_queue_size = int(
            _positive("max_queue_size", "OTEL_BLRP_MAX_QUEUE_SIZE", max_queue_size, _MAX_QUEUE_SIZE)
        )
        batch_size = _positive(
            "max_export_batch_size",
            "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
            max_export_batch_size,
            DEFAULT_BATCH_SIZE,
        )
        self._batch_size = min(int(batch_size), self._max_queue_size)
        delay = _positive(
            "schedule_delay_millis",
            "OTEL_BLRP_SCHEDULE_DELAY",
            schedule_delay_millis,
            _SCHEDULE_DELAY,
            whole=False,
        )
        self._delay = delay / 1000
        self._max_queue_bytes = int(
            _positive("max_queue_bytes", None, max_queue_bytes, config.max_queue_bytes)
        )
        self._waits = _waits(on_queue_full or config.on_queue_full)
        self._exporter = exporter
        self._clock = dependencies.clock
        self._threads = dependencies.threads
        self._workers = PerProcess(self._new_worker)
        self._closed = False
        self._shutting_down = False
        self._warned_of_eventlet = False
        self._begin()
        after_fork_in_child(self._begin)
        at_last(self._end_late)
        at_the_very_end(self._leave)
        exporter._follow(self)  # noqa: SLF001

    def _begin(self) -> None:
        """Begin with an empty queue; also in a child of a fork: what is queued is its parent's."""
        self._queue: deque[Any] = deque()
        # Added to by whoever logs and taken from by the thread. Exact under the GIL, which
        # is not handed over within such a statement; without one it is when the queue is
        # found empty.
        self._queued_bytes = 0
        self._dropped = 0
        self._reported = 0
        # How many records there are when the thread is to be woken, and when it should have
        # looked by itself.
        self._wake_at = 1
        self._overdue = float("inf")
        self._flush_wanted = False
        self._hopeless = False
        self._late = 0
        self._reporting = threading.RLock()
        self._exporting_inline = threading.Lock()

    @property
    def _engine(self) -> Engine:
        return self._exporter._engine  # noqa: SLF001

    def _new_worker(self) -> Worker:
        return Worker(THREAD_NAME, self._step, finish=self._drain, threads=self._threads)

    # The logging call.

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a record. Never waits, unless `on_queue_full` says so."""
        log = log_record.log_record
        if log.event_name == REQUEST_EXCEPTION:
            if request_is_logged.get() or is_recorded(getattr(log, "exception", None)):
                return  # it is, or will be, in the record of the request
            mark_request_exception(log)
        size = _text_in(log)
        queue, queued = self._queue, self._queued_bytes
        full = len(queue) >= self._max_queue_size or queued + size > self._max_queue_bytes
        if full and self._is_full(size) and not (self._waits and self._wait_for_room(size)):
            self._dropped += 1
            self._wake()
            return
        now = self._clock()
        self._queued_bytes += size
        queue.append(
            (
                now,
                size,
                # A copy, since later processors may change the record. Not its context, which may
                # hold a request and all its spans as long as the queue holds the record.
                _without_context(log),
                log_record.resource,
                log_record.instrumentation_scope,
                log_record.limits,
            )
        )
        if len(queue) >= self._wake_at or now >= self._overdue or self._closed:
            try:
                # Once, not for each record until the thread comes to look: it sets both again.
                self._overdue = now + self._delay + _GRACE
                self._wake_at = len(queue) + self._batch_size
                self._wake()
            except BaseException:  # an interrupt: whoever comes next wakes it
                self._wake_at = 1
                raise

    def _is_full(self, size: int) -> bool:
        queued = self._queued_bytes
        return len(self._queue) >= self._max_queue_size or (
            queued > 0 and queued + size > self._max_queue_bytes
        )

    def _wake(self) -> None:
        """Have the thread look, or do its work where there can be none."""
        if self._closed:
            if nothing_comes_after() or not self._engine.takes_late:
                self._end_late()
            return
        # As long as threads can be started: at its exit Python 3.12 starts none, and what the
        # exit itself sends may wait for a name server for as long as that takes.
        self._engine.sender.start_from_anywhere()
        # The process id is asked for here: C code may fork without running hooks.
        if not self._workers.get().wake_from_anywhere():
            self._drain()

    def _wait_for_room(self, size: int) -> bool:
        """Wait until there is room; False if there is none in time, or waiting is not allowed.

        Looks again and again, since to be told takes a lock. In a signal handler this may
        wait for what the interrupted code holds, and then does so in vain, for a second.
        """
        if self._hopeless or self._closed or _runs_event_loop():
            return False
        if self._workers.get().is_current_thread() or self._engine.sender.is_current_thread():
            return False
        until = self._clock() + LONGEST_WAIT
        while self._is_full(size):
            if self._clock() >= until:
                self._hopeless = True
                return False
            self._wake()
            time.sleep(_LOOK)
        return True

    def enabled(self, *, severity_number: Any = None, **_: object) -> bool:
        """Whether a record would be sent: False below the exporter's level and after `shutdown`.

        What a record says of its severity in words alone is not asked for here: True.
        """
        if self._closed and not self._engine.takes_late:
            return False
        number = getattr(severity_number, "value", severity_number)
        return not number or severity_of(number, None).rank >= self._exporter._minimum_rank  # noqa: SLF001 - our own class

    # The thread.

    def _step(self) -> float | None:
        """Export what is due; return the seconds until something will be, None for not known."""
        self.report()
        self._warn_of_eventlet()
        queue = self._queue
        if self._flush_wanted:
            self._flush_wanted = False
            for _ in range(0, len(queue), self._batch_size):
                self._export()
        if not queue:
            self._queued_bytes = 0
            self._overdue = float("inf")
            self._wake_at = 1
            return 0 if queue else None
        due = queue[0][0] + self._delay
        wait = due - self._clock()
        if len(queue) >= self._batch_size or wait <= 0:
            self._export()
            return 0
        self._overdue = due + _GRACE
        self._wake_at = self._batch_size
        return 0 if len(queue) >= self._batch_size or self._flush_wanted else wait

    def _warn_of_eventlet(self) -> None:
        """Say that it has replaced locks in use. gevent leaves those alone, and all arrives."""
        if not self._warned_of_eventlet and "eventlet" in sys.modules and is_patched_late():
            self._warned_of_eventlet = True
            warn(
                "eventlet.monkey_patch() was called after logwell_otel was imported and has "
                "replaced locks that are in use: records may be lost. Call it first of all."
            )

    def _export(self) -> None:
        """Export the oldest records, a batch at most."""
        self._wake_at = _NEVER  # until the next step
        queue = self._queue
        batch: list[ReadableLogRecord] = []
        flushes: list[Wakeup] = []
        taken = 0
        for _ in range(min(self._batch_size, len(queue))):
            try:
                _at, size, log, resource, scope, limits = queue.popleft()
            except IndexError:
                break  # taken by a thread that could start none
            if size is None:
                flushes.append(log)
                continue
            taken += size
            batch.append(_readable(log, resource, scope, limits))
        self._queued_bytes -= taken
        try:
            if batch:
                self._hand_over(batch)
                self._hopeless = False
        finally:
            for flush in flushes:
                flush.set()

    def _hand_over(self, batch: list[ReadableLogRecord]) -> None:
        # What HTTP libraries log or trace while the batch is sent is no news.
        token = attach(set_value(SUPPRESS_INSTRUMENTATION, True))
        try:
            self._exporter.export(batch)
        except BaseException as error:
            self._engine.failed(len(batch), error)
            # Out of a hook, `SystemExit` and the like would end the thread and with it all
            # delivery. On a caller's own thread an interrupt is the caller's.
            if not (isinstance(error, Exception) or self._workers.get().is_current_thread()):
                raise
        finally:
            detach(token)

    def _drain(self) -> None:
        """Export all that is queued, on this thread."""
        while self._queue and self._exporting_inline.acquire(blocking=False):
            # Where it is held, who holds it looks again: another thread, or what a signal
            # handler on this one has interrupted.
            try:
                self._export()
            finally:
                self._wake_at = 1
                self._exporting_inline.release()

    def report(self) -> None:
        """Have the exporter's account say what the queue has dropped by now."""
        with self._reporting:
            new = self._dropped - self._reported
            self._reported += new
        if new:
            self._engine.dropped_before(new, "processor_queue_full")

    # Flush and shutdown.

    def force_flush(self, timeout_millis: int | None = DEFAULT_FLUSH_MILLIS) -> bool:
        """Wait until all records emitted before are stored at the server.

        Args:
            timeout_millis: Milliseconds to wait at most; None waits 30 s.

        Returns:
            True if they are, or were refused by the server for good. False after the
            timeout, after `shutdown`, when records were dropped, or when called by what
            `export` calls.
        """
        timeout = DEFAULT_FLUSH_MILLIS if timeout_millis is None else timeout_millis
        until = self._clock() + timeout / 1000
        handed_over = self.hand_over(timeout)
        left = max(0.0, until - self._clock())
        return self._exporter.force_flush(int(left * 1000)) and handed_over

    def hand_over(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> bool:
        """Have the exporter take what is queued; False if it has not in so many milliseconds."""
        self.report()
        worker = self._workers.get()
        if self._closed or worker.is_current_thread():
            return False
        if not (self._queue or worker.running):
            return True
        # What stands before it in the queue is what this flush waits for.
        done = Wakeup()
        self._queue.append((float("-inf"), None, done, None, None, None))
        self._flush_wanted = True
        self._wake()
        handed_over = done.wait(timeout_millis / 1000)
        self.report()
        return handed_over

    def shutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """Export what is queued, then shut the exporter down. A second call does nothing.

        Records that come later are counted as dropped for `shutdown`; at the interpreter's
        exit they are delivered all the same, within 2 s together.

        Args:
            timeout_millis: Milliseconds to wait at most; see `LogwellLogExporter.shutdown`.
        """
        with shutting_down():
            if not self._shutting_down:
                self._shutting_down = True
                self._shut_down(timeout_millis)

    def _shut_down(self, timeout_millis: float) -> None:
        until = self._clock() + timeout_millis / 1000
        worker = self._workers.get()
        worker.stop()
        ended = False
        with no_interrupt_at_exit():
            try:
                ended = worker.join(timeout_millis / 1000)
                if ended:
                    self._drain()
            except BaseException:  # Ctrl-C, or a second signal whose handler exits
                until = self._clock()
                raise
            finally:
                self._closed = True
                try:
                    # Handed over, it goes to the spool, or is counted and said, in any case.
                    if ended or worker.join(_HAND_OVER):
                        self._drain()  # what came just before
                finally:
                    self._drop_late()
                    self.report()
                    self._exporter.shutdown(max(0.0, until - self._clock()) * 1000)

    def _end_late(self) -> None:
        """Deliver what is logged after `shutdown` at the interpreter's exit, or count it."""
        if self._closed and self._engine.takes_late:
            self._drain()
            self.report()
        elif self._closed:
            self._drop_late()

    def _leave(self) -> None:
        """Hand over what is queued where an interrupt has kept the exit from `shutdown`."""
        self.shutdown(0)

    def _drop_late(self) -> None:
        """Count what nobody will export any more."""
        late = 0
        while self._queue:
            try:
                _at, size, log, _resource, scope, _limits = self._queue.popleft()
            except IndexError:
                break
            if size is None:
                log.set()
            elif getattr(scope, "name", None) != "logwell_otel":  # our own, which are never sent
                late += 1
        if not late:
            return
        self._engine.dropped_before(late, "shutdown")
        self._late += late
        if self._late == late and self._shutting_down:
            warn(
                "Records that were still queued at shutdown, or were logged after it, are dropped. "
                "health() counts them under `shutdown`."
            )

    # What there is.

    @property
    def queued(self) -> int:
        """Records in the queue."""
        return len(self._queue)

    @property
    def queue_share(self) -> float:
        """Share of the queue in use, 0 to 1: of its records or its bytes, what is more."""
        records = len(self._queue) / self._max_queue_size
        return min(1.0, max(records, self._queued_bytes / self._max_queue_bytes))

    @property
    def room(self) -> tuple[int, int]:
        """Records, and characters of text, that the queue still takes."""
        records = self._max_queue_size - len(self._queue)
        return max(0, records), max(0, self._max_queue_bytes - self._queued_bytes)

    def __repr__(self) -> str:
        return f"<LogwellBatchLogRecordProcessor {len(self._queue)} queued, {self._exporter!r}>"


class UnreachableProcessor:
    """In the place of the batch processor that OpenTelemetry's start-up made, for nobody to reach.

    Args:
        provider: The provider in front of it.
        exporter: The exporter behind it.
    """

    def __init__(self, provider: LoggerProvider, exporter: LogwellLogExporter) -> None:
        self._provider = provider
        self._exporter = exporter

    def force_flush(self, timeout_millis: int) -> bool:
        """Everything logged before is stored at the server."""
        until = monotonic() + timeout_millis / 1000
        handed_over = self._provider.force_flush(timeout_millis)
        left = max(0, int((until - monotonic()) * 1000))
        return self._exporter.force_flush(left) and handed_over

    def shutdown(self, timeout_millis: float = DEFAULT_FLUSH_MILLIS) -> None:
        """Deliver what was logged before, and account for the rest."""
        until = monotonic() + timeout_millis / 1000
        self._provider.force_flush(int(timeout_millis))
        self._exporter.shutdown(max(0.0, until - monotonic()) * 1000)


def _without_context(log: LogRecord) -> LogRecord:
    """Copy a record, without its context."""
    kind = type(log)
    try:
        made = _new(kind)
        if kind is LogRecord and RECORD_AS_KNOWN:
            # Field by field: `__dict__` would make a dictionary of each of the two.
            made.timestamp, made.observed_timestamp = log.timestamp, log.observed_timestamp
            made.trace_id, made.span_id = log.trace_id, log.span_id
            made.trace_flags, made.event_name = log.trace_flags, log.event_name
            made.severity_text, made.severity_number = log.severity_text, log.severity_number
            made.body, made.attributes, made.exception = log.body, log.attributes, log.exception
        else:
            made.__dict__ = log.__dict__.copy()
    except Exception:  # noqa: BLE001 - a record of another class; this takes three times as long
        made = copy.copy(log)
    made.context = _NO_CONTEXT
    return cast("LogRecord", made)


def _readable(log: LogRecord, resource: Any, scope: Any, limits: Any) -> ReadableLogRecord:
    """Make what exporters take, without the constructor of a frozen dataclass."""
    if not READABLE_AS_KNOWN:
        return ReadableLogRecord(log, resource, scope, limits)
    record: ReadableLogRecord = _new(ReadableLogRecord)
    fields = {
        "log_record": log,
        "resource": resource,
        "instrumentation_scope": scope,
        "limits": limits,
    }
    _set(record, "__dict__", fields)  # past what keeps it from being changed
    return record


def _text_in(log: LogRecord) -> int:
    """Characters of text in a record: what makes one larger than another."""
    body, attributes = log.body, log.attributes
    size = len(body) if type(body) is str else _text_in_value(body)
    clean = attributes.clean if type(attributes) is CleanAttributes else None
    if clean is not None or attributes:
        try:
            # A copy, unless nobody changes them: another thread may be adding to it.
            for value in (clean or attributes.copy()).values():  # type: ignore[union-attr]
                kind = type(value)
                if kind is str:
                    size += len(value)
                elif not (kind is int or kind is float or kind is bool):
                    size += _text_in_value(value)
        except Exception:  # noqa: BLE001 - no mapping of the SDK's: it counts as small
            return size
    return size


_MOST_VALUES: Final = 1_000
"""Values that are looked at in a structure, so that looking takes no time to speak of."""


def _text_in_value(value: Any) -> int:
    size, left = 0, [value]
    for _ in range(_MOST_VALUES):
        if not left:
            break
        value = left.pop()
        kind = type(value)
        if kind is str or kind is bytes:
            size += len(value)
        elif kind is tuple or kind is list:
            left += value[:_MOST_VALUES]
        elif kind is dict:
            left += islice(value.values(), _MOST_VALUES)
    return size


def _runs_event_loop() -> bool:
    """Whether an asyncio event loop runs on this thread: all that it serves would wait."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _waits(on_queue_full: str) -> bool:
    if on_queue_full not in ("drop", "wait"):
        raise config_error(
            f"on_queue_full (LOGWELL_ON_QUEUE_FULL): expected drop or wait, got {on_queue_full!r}."
        )
    return on_queue_full == "wait"


def _positive(
    name: str,
    variable: str | None,
    given: float | None,
    default: float,
    *,
    whole: bool = True,
) -> float:
    """The argument, else the variable, else the default: a number over 0."""
    value: Any = given
    where = "the argument"
    if value is None and variable is not None:
        value, where = os.environ.get(variable, "").strip() or None, f"the variable {variable}"
    if value is None:
        return default
    number = number_of(value)
    if number is not None and number > 0 and (number.is_integer() or not whole):
        return number
    shown = f" ({variable})" if variable else ""
    kind = "whole number" if whole else "number"
    raise config_error(f"{name}{shown}: expected a {kind} over 0, got {value!r} from {where}.")
