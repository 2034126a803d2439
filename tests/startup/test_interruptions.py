"""Signal handlers and finalizers that log on the thread they interrupt; signals at exit."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for OpenTelemetry 1.39

from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from logwell_otel._otel import LoggerProvider
from logwell_otel._process import Uninterrupted, Wakeup, is_interruption, losses
from logwell_otel.devserver import DevServer
from logwell_otel.handler import LogwellHandler
from support.bench import Bench
from support.config import KEY
from support.process import environment
from support.records import messages, records

if TYPE_CHECKING:
    from collections.abc import Iterator

STORM = """
import json, logging, signal, sys, time
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from logwell_otel import LogwellBatchLogRecordProcessor, LogwellLogExporter
from logwell_otel.handler import LogwellHandler

exporter = LogwellLogExporter()
provider = LoggerProvider(shutdown_on_exit=False)
provider.add_log_record_processor(PROCESSOR)
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(LogwellHandler(logger_provider=provider))
signals = main = 0

def on_signal(*_):
    global signals
    signals += 1
    logger.info("signal")

signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while signals < 400:
    main += 1
    logger.info("main")
signal.setitimer(signal.ITIMER_REAL, 0)
provider.force_flush()
exporter.force_flush(60_000)
health = exporter.health()
print(json.dumps([signals + main, health.handed_over, health.accepted, health.dropped]))
provider.shutdown()
"""
PROCESSORS = {
    "simple": "SimpleLogRecordProcessor(exporter)",
    "batch": "BatchLogRecordProcessor(exporter, max_queue_size=100_000, max_export_batch_size=100)",
    "logwell": "LogwellBatchLogRecordProcessor(exporter, max_queue_size=100_000, "
    "max_export_batch_size=100)",
}


def finished(
    program: str, path: Path, environ: dict[str, str], *, seconds: float = 100
) -> subprocess.CompletedProcess[str]:
    """Run a program, which ends well within that time."""
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, str(path)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_signal_handler_that_logs_neither_deadlocks_nor_loses_uncounted(
    processor: str, tmp_path: Path
) -> None:
    with DevServer(requests_per_minute=None) as receiver:
        program = STORM.replace("PROCESSOR", PROCESSORS[processor])
        logged, handed_over, accepted, dropped = json.loads(
            finished(program, tmp_path / "main.py", environment(receiver, {})).stdout
        )
        assert {*dropped} <= {"recursive"}
        assert handed_over == logged
        assert accepted + sum(dropped.values()) == logged
        assert receiver.count() == accepted


class Logs:
    """Logs when it is collected."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._itself = self  # a circle, for the garbage collector

    def __del__(self) -> None:
        self._logger.info("finalizer")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("interrupted")
    made.setLevel(logging.INFO)
    yield made
    made.handlers.clear()


def test_a_finalizer_that_logs_in_the_middle_of_a_record(logger: logging.Logger) -> None:
    bench = Bench()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(bench.exporter))

    class Collects:
        def __str__(self) -> str:
            gc.collect()
            return "collected"

    logger.addHandler(LogwellHandler(logger_provider=provider))
    Logs(logger)
    logger.info("it is %s", Collects())
    bench.run()
    assert sorted(bench.server.stored) == ["finalizer", "it is collected"]


def test_what_logs_whenever_something_is_logged_ends_and_is_counted(
    logger: logging.Logger,
) -> None:
    bench = Bench()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(bench.exporter))

    handler = LogwellHandler(logger_provider=provider)

    def log(text: str, *arguments: object) -> None:  # pytest's own handlers format as well
        handler.handle(logger.makeRecord(logger.name, 20, __file__, 1, text, arguments, None))

    class LogsToo:
        def __str__(self) -> str:
            log("again")
            return "said"

    log("it is %s", LogsToo())
    bench.run()
    assert bench.server.stored == ["it is said"]
    assert bench.exporter.health().dropped == {"recursive": 1}
    bench.check_ledger()


def test_an_export_that_interrupts_another_comes_after_it() -> None:
    bench: Bench
    inner: list[Any] = []

    def before_send(entry: Any) -> Any:
        if entry.message == "message 1" and not inner:
            inner.append(bench.exporter.export(records(2, 10)))
        return entry

    bench = Bench(before_send=before_send)
    bench.exporter.export(records(3))
    bench.run()
    assert bench.server.stored == messages(3) + messages(2, 10)
    bench.check_ledger()


def test_exports_that_interrupt_what_was_kept_back_are_counted() -> None:
    bench: Bench

    def before_send(entry: Any) -> Any:
        bench.exporter.export(records(2, 100))
        return entry

    bench = Bench(before_send=before_send)
    bench.exporter.export(records(3))
    bench.run()
    health = bench.exporter.health()
    # 3 records, 2 that each of them causes, and 2 that each of those 6 would have.
    assert (health.handed_over, health.accepted) == (21, 9)
    assert health.dropped == {"recursive": 12}
    bench.check_ledger()


def test_calls_of_different_threads_do_not_wait_for_each_other() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[str] = []

    def work(name: str) -> None:
        if name == "slow":
            inside.set()
            assert done.wait(10)
        seen.append(name)

    calls = Uninterrupted(work, seen.remove)
    thread = threading.Thread(target=calls, args=("slow",))
    thread.start()
    assert inside.wait(10)
    calls("quick")
    assert seen == ["quick"]
    done.set()
    thread.join()
    assert seen == ["quick", "slow"]


def test_what_raises_leaves_nothing_behind() -> None:
    def work(item: int) -> None:
        if item == 1:
            calls(2)
            raise SystemExit
        seen.append(item)

    seen: list[int] = []
    dropped: list[int] = []
    calls = Uninterrupted(work, dropped.append)
    with pytest.raises(SystemExit):
        calls(1)
    assert (seen, dropped, calls.busy) == ([2], [], False)


def test_what_cannot_be_done_any_more_is_dropped() -> None:
    def work(item: int) -> None:
        if item == 1:
            calls(2)
            calls(3)
        if item == 2:
            raise SystemExit

    dropped: list[int] = []
    calls = Uninterrupted(work, dropped.append)
    with pytest.raises(SystemExit):
        calls(1)
    assert (dropped, calls.busy) == ([3], False)


def test_an_interruption_is_known_by_its_callers() -> None:
    found: list[bool] = []

    def on_signal(*_: object) -> None:
        found.append(is_interruption())

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found == [True]
    assert not is_interruption()


def test_a_wakeup_is_set_once_and_kept() -> None:
    wakeup = Wakeup()
    assert not wakeup.wait(0)
    wakeup.set()
    wakeup.set()
    assert wakeup.wait(0)
    assert not wakeup.wait(0)
    wakeup.set()
    wakeup.clear()
    assert not wakeup.wait(0)
    assert losses.get() is losses.get()


DRAINS = """
import logging, signal, sys
import logwell_otel

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pipeline = logwell_otel.configure()
for number in range(250):
    logging.getLogger("shop").info("order %d", number)
pipeline.force_flush(1000)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("spool", [False, True])
def test_a_second_sigterm_while_draining_leaves_everything_counted_said_and_spooled(
    spool: bool, tmp_path: Path
) -> None:
    path = tmp_path / "main.py"
    path.write_text(DRAINS)
    variables = {"LOGWELL_SPOOL_DIR": str(tmp_path / "spool")} if spool else {}
    with DevServer() as receiver:
        receiver.faults.hang()
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env=environment(receiver, variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        assert process.poll() is None  # it drains
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 7.5  # draining gets 8
    if spool:
        assert "250 entries left in the spool at shutdown, for the next process." in said
    else:
        assert "250 entries were dropped at shutdown" in said


NEVER_SHUT_DOWN = """
import sys
sys.path.insert(0, TESTS)
from support.records import records
from logwell_otel import LogwellLogExporter

exporter = LogwellLogExporter()
exporter.export(records(30))
"""


@pytest.mark.process
@pytest.mark.socket
def test_what_nobody_shut_down_is_said_at_the_very_end(tmp_path: Path) -> None:
    program = NEVER_SHUT_DOWN.replace("TESTS", repr(str(Path(__file__).parents[1])))
    with DevServer() as receiver:
        receiver.faults.hang()
        done = finished(program, tmp_path / "main.py", environment(receiver, {}), seconds=30)
    assert "30 entries were dropped at shutdown" in done.stderr


SHORT = """
import logging, time
import logwell_otel

logwell_otel.configure()
for number in range(50):
    logging.getLogger("shop").info("x" * 9000 + str(number))
print(time.monotonic(), flush=True)
"""


@pytest.mark.process
@pytest.mark.socket
def test_the_exit_of_a_short_script_waits_five_seconds_for_what_never_answers(
    tmp_path: Path,
) -> None:
    """Python 3.12 starts no thread for it any more: the exit itself sends."""
    with DevServer() as receiver:
        receiver.faults.hang()
        done = finished(SHORT, tmp_path / "main.py", environment(receiver, {}), seconds=60)
        assert time.monotonic() - float(done.stdout) < 20  # not 30
    assert "50 entries were dropped at shutdown" in done.stderr


NAME_SERVER_IS_SILENT = """
import logging, socket, time
import logwell_otel

socket.getaddrinfo = lambda *_, **__: time.sleep(60)
logwell_otel.configure("http://logs.example.com")
logging.getLogger("shop").warning("one line")
print(time.monotonic(), flush=True)
"""


@pytest.mark.process
def test_the_exit_of_a_short_script_does_not_wait_for_a_name_server(tmp_path: Path) -> None:
    """Looking up a name has no time-out, and at its exit Python 3.12.1 starts no thread."""
    environ = {**os.environ, "LOGWELL_API_KEY": KEY, "LOGWELL_SERVICE": "shop"}
    done = finished(NAME_SERVER_IS_SILENT, tmp_path / "main.py", environ, seconds=60)
    assert time.monotonic() - float(done.stdout) < 20  # not 30
    assert "1 entry was dropped at shutdown" in done.stderr


NEVER_REACHED = """
import logging, sys
import logwell_otel
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

class Interrupted(LogRecordProcessor):
    def on_emit(self, log_record):
        pass

    def force_flush(self, timeout_millis=0):
        return True

    def shutdown(self):
        sys.exit(7)

provider = LoggerProvider()
provider.add_log_record_processor(Interrupted())
set_logger_provider(provider)
logwell_otel.configure()
for number in range(300):
    logging.getLogger("shop").info("order %d", number)
"""


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("spool", [False, True])
def test_what_is_queued_when_a_signal_ends_the_exit_before_its_shutdown(
    spool: bool, tmp_path: Path
) -> None:
    """Its handler exits, while OpenTelemetry is about to shut its processors down."""
    variables = {"LOGWELL_SPOOL_DIR": str(tmp_path / "spool")} if spool else {}
    with DevServer() as receiver:
        receiver.faults.hang()
        environ = environment(receiver, variables)
        done = finished(NEVER_REACHED, tmp_path / "main.py", environ, seconds=30)
    if spool:
        assert "300 entries left in the spool at shutdown, for the next process." in done.stderr
    else:
        assert "300 entries were dropped at shutdown" in done.stderr


SLOW_TO_ENCODE = """
import logging, signal, sys, time
import logwell_otel

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pipeline = logwell_otel.configure(before_send=lambda entry: time.sleep(0.005) or entry)
for number in range(300):
    logging.getLogger("shop").info("order %d", number)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.process
@pytest.mark.socket
def test_what_is_queued_at_a_second_sigterm_goes_to_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "main.py"
    path.write_text(SLOW_TO_ENCODE)
    with DevServer() as receiver:
        receiver.faults.hang()
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env=environment(receiver, {"LOGWELL_SPOOL_DIR": str(tmp_path / "spool")}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert "300 entries left in the spool at shutdown, for the next process." in said
    assert "still queued" not in said
