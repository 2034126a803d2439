from __future__ import annotations

import gc
import os
import shlex
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from logwell_otel import LogwellLogExporter
from logwell_otel import exporter as exporter_module
from logwell_otel._otel import LogRecordExportResult
from logwell_otel.devserver import DevServer
from support.process import only_logging, run
from support.records import messages, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from logwell_otel._otel import ReadableLogRecord

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # What Python warns of is what is tested here.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None) as running:
        yield running


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child that ends without atexit; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() is not False else 2
        except BaseException as error:  # noqa: BLE001 - the child must end here whatever happens
            print(repr(error), file=sys.stderr)  # noqa: T201
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def deliver(exporter: LogwellLogExporter, batch: list[ReadableLogRecord]) -> bool:
    exporter.export(batch)
    return exporter.force_flush(5_000)


def stored(receiver: DevServer) -> list[str]:
    return sorted(entry.message for entry in receiver.entries())


def test_a_child_delivers_its_own_records_and_none_of_its_parents(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    receiver.faults.delay(100)
    exporter.export(records(500))

    def child() -> bool:
        exporter.export(records(50, 500))
        return exporter.force_flush(10_000) and exporter.health().accepted == 50

    assert in_child(child) == 0
    assert exporter.force_flush(10_000)
    exporter.export(records(1, 550))
    exporter.shutdown()
    assert stored(receiver) == sorted(messages(551))


def test_the_parents_connection_goes_on(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.export(records(1))
    assert exporter.force_flush(5_000)
    for number in range(3):
        assert in_child(lambda: deliver(exporter, records(1, 100))) == 0
        exporter.export(records(1, number + 1))
        assert exporter.force_flush(5_000)
    exporter.shutdown()
    parents = {r.connection for r in receiver.requests if "message 100" not in r.messages}
    assert len(parents) == 1


def test_through_opentelemetrys_processor(receiver: DevServer) -> None:
    provider = LoggerProvider(shutdown_on_exit=False)
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("test")
    logger.emit(body="parent before")

    def child() -> None:
        logger.emit(body="child")
        provider.shutdown()

    assert in_child(child) == 0
    logger.emit(body="parent after")
    provider.shutdown()
    assert stored(receiver) == ["child", "parent after", "parent before"]


def test_without_at_fork_hooks_the_pid_tells(
    receiver: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C code that forks runs no hooks of Python's."""
    monkeypatch.setattr(exporter_module, "exporters", list)  # the hook finds none
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.export(records(10))

    def child() -> bool:
        exporter.export(records(5, 10))
        return exporter.force_flush(5_000)

    assert in_child(child) == 0
    exporter.shutdown()
    assert stored(receiver) == sorted(messages(15))


def test_exporters_that_are_gone_leave_no_hooks(
    receiver: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks cannot be taken back: each would be run by every fork from then on."""
    registered: list[object] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: registered.append(hooks))
    before = set(exporter_module.exporters())
    for _ in range(3):
        LogwellLogExporter(receiver.url, receiver.key)
    gc.collect()
    assert registered == []
    assert set(exporter_module.exporters()) <= before


def test_a_fork_while_locks_are_held_does_not_deadlock_the_child(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.export(records(1))
    engine = exporter._engine  # noqa: SLF001
    with engine.outbox._changed:  # noqa: SLF001
        status = in_child(lambda: deliver(exporter, records(1, 1)))
    assert status == 0
    exporter.shutdown()
    assert stored(receiver) == messages(2)


def test_a_child_of_a_parent_that_logged_nothing(receiver: DevServer) -> None:
    """gunicorn --preload: the exporter is made in the parent, which never logs."""
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    for number in range(4):

        def child(number: int = number) -> None:
            exporter.export(records(10, number * 10))
            exporter.shutdown()

        assert in_child(child) == 0
    assert stored(receiver) == sorted(messages(40))
    exporter.shutdown()


def test_children_of_one_parent_draw_different_jitter(receiver: DevServer) -> None:
    """Python reseeds its own generator in a child, and no other: workers retried in step."""
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    drawn = [exporter._dependencies.rng.random()]  # noqa: SLF001 - not seen from outside
    for _ in range(2):
        reader, writer = os.pipe()

        def draw(writer: int = writer) -> None:
            os.write(writer, repr(exporter._dependencies.rng.random()).encode())  # noqa: SLF001

        assert in_child(draw) == 0
        drawn.append(float(os.read(reader, 100)))
        os.close(reader)
        os.close(writer)
    drawn.append(exporter._dependencies.rng.random())  # noqa: SLF001
    assert len(set(drawn)) == 4


def test_an_exporter_that_was_shut_down_is_so_in_a_child_too(receiver: DevServer) -> None:
    exporter = LogwellLogExporter(receiver.url, receiver.key)
    exporter.shutdown()

    def export() -> bool:
        failed = exporter.export(records(3)) is LogRecordExportResult.FAILURE
        return failed and exporter.health().dropped == {"shutdown": 3}

    assert in_child(export) == 0
    assert stored(receiver) == []


def test_a_child_of_a_child_of_multiprocessing_that_returns(
    receiver: DevServer, tmp_path: Path
) -> None:
    """It leaves by its parent's `os._exit`, past the parent's finalizers, which are not its own."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import logging, logwell_otel, multiprocessing, os, sys
            logwell_otel.configure()

            def work():
                logging.info("child")
                pid = os.fork()
                if pid:
                    os.waitpid(pid, 0)
                else:
                    logging.info("grandchild")
                    if os.fork() == 0:
                        logging.info("great-grandchild")
                    else:
                        os.wait()
                    sys.exit()

            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
            logging.info("parent")
            """
        )
    )
    run(f"python {shlex.quote(str(program))}", receiver)
    assert stored(receiver) == ["child", "grandchild", "great-grandchild", "parent"]


LAST_OF_A_THREAD = {
    "returns": "",
    "exits": "sys.exit()",
    "raises": "raise ValueError('no')",
    # Whatever is the last to end, the process ends with it.
    "leaves a thread": """
            def later():
                time.sleep(0.2)
                logging.info("later")
            threading.Thread(target=later).start()
    """,
    "forks again": """
            if (pid := os.fork()) == 0:
                logging.info("later")
            else:
                os.waitpid(pid, 0)
    """,
}


@pytest.mark.parametrize("way", ["configure", "without code"])
@pytest.mark.parametrize("last", LAST_OF_A_THREAD)
def test_a_child_that_was_forked_on_a_thread_ends_with_it(
    receiver: DevServer, tmp_path: Path, last: str, way: str
) -> None:
    """Python ends it without exit handlers, and only when no thread is left: not one of ours."""
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import logging, os, sys, threading, time
{"import logwell_otel; logwell_otel.configure()" if way == "configure" else ""}

def work():
    logging.info("parent")
    pid = os.fork()
    if pid == 0:
        logging.info("child")
{textwrap.indent(textwrap.dedent(LAST_OF_A_THREAD[last]), "        ")}
        return
    print(os.waitpid(pid, 0)[1])

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    )
    command, variables = f"python {shlex.quote(str(program))}", {"LOGWELL_ROOT_LEVEL": "info"}
    if way != "configure":
        pytest.importorskip("opentelemetry.distro")
        command = f"opentelemetry-instrument {command}"
        variables |= {"OTEL_PYTHON_DISTRO": "logwell", **only_logging()}
        # OpenTelemetry's own threads, which it starts in children too, do keep one alive.
        variables |= {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    assert run(command, receiver, variables).stdout == "0\n"
    later = ["later"] if "later" in LAST_OF_A_THREAD[last] else []
    assert stored(receiver) == ["child", *later, "parent"]
