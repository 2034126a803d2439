from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import logwell_otel.uncaught
from logwell_otel.context import log_context
from logwell_otel.uncaught import capture_uncaught
from support.records import Raising, Recorder, attributes_of, provider_with

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = """
import asyncio, gc, json, logging, sys, threading
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
from logwell_otel.uncaught import capture_uncaught

def show(data):
    record = data.log_record
    return json.dumps([record.severity_text, record.body, dict(record.attributes)]) + "\\n"

provider = LoggerProvider()
provider.add_log_record_processor(
    BatchLogRecordProcessor(ConsoleLogRecordExporter(formatter=show))
)
"""


def run(program: str) -> tuple[list[Any], str, int]:
    """The records a process has sent by its end, its stderr, its exit status."""
    source = Path(logwell_otel.uncaught.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr, done.returncode


def test_the_main_threads_exception_is_sent_before_the_process_ends() -> None:
    records, stderr, status = run(
        "capture_uncaught(provider)\n\ndef fail():\n    raise ValueError('boom')\n\nfail()\n"
    )
    ((severity, body, attributes),) = records
    assert (severity, body, status) == ("FATAL", "Uncaught ValueError: boom", 1)
    assert attributes["exception.type"] == "ValueError"
    assert attributes["exception.message"] == "boom"
    assert "in fail" in attributes["exception.stacktrace"]
    assert (attributes["code.file.path"], attributes["code.function.name"]) == ("<string>", "fail")
    assert attributes["code.line.number"] == 1 + PROGRAM.count("\n") + 3
    assert stderr.count("Traceback") == 1
    assert stderr.endswith("ValueError: boom\n")


def test_a_threads_exception() -> None:
    records, stderr, status = run(
        "capture_uncaught(provider)\n"
        "thread = threading.Thread(target=lambda: 1 / 0, name='worker-1')\n"
        "thread.start(); thread.join()\n"
    )
    ((severity, body, attributes),) = records
    assert (severity, body, status) == ("ERROR", "Uncaught ZeroDivisionError: division by zero", 0)
    assert attributes["thread.name"] == "worker-1"
    assert attributes["exception.stacktrace"].count("Traceback") == 1
    assert "Exception in thread worker-1" in stderr


def test_an_asyncio_tasks_exception_arrives_once_through_logging() -> None:
    records, _, _ = run(
        """
from logwell_otel.handler import LogwellHandler
capture_uncaught(provider)
logging.getLogger().addHandler(LogwellHandler(logger_provider=provider))

async def fail():
    raise ValueError("boom")

async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
"""
    )
    ((severity, body, attributes),) = records
    assert severity == "ERROR"
    assert body.startswith("Task exception was never retrieved")
    assert attributes["exception.message"] == "boom"
    assert "in fail" in attributes["exception.stacktrace"]


def test_asyncio_run_raises_on_the_main_thread() -> None:
    records, _, status = run(
        "capture_uncaught(provider)\n"
        "async def main():\n    raise ValueError('boom')\n\nasyncio.run(main())\n"
    )
    assert [record[:2] for record in records] == [["FATAL", "Uncaught ValueError: boom"]]
    assert status == 1


@pytest.mark.parametrize(
    ("statement", "expected"), [("sys.exit(3)", 3), ("raise KeyboardInterrupt", 130)]
)
def test_what_ends_a_program_is_no_failure(statement: str, expected: int) -> None:
    records, _, status = run(f"capture_uncaught(provider)\n{statement}\n")
    assert records == []
    assert status in (expected, -2)  # Python ends itself by SIGINT


def test_the_hooks_that_were_there_still_run() -> None:
    records, stderr, status = run(
        "sys.excepthook = lambda *_: print('mine', file=sys.stderr)\n"
        "capture_uncaught(provider)\nraise ValueError('boom')\n"
    )
    assert ([record[1] for record in records], stderr, status) == (
        ["Uncaught ValueError: boom"],
        "mine\n",
        1,
    )


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    called: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda *_: called.append("sys"))
    monkeypatch.setattr(threading, "excepthook", lambda _: called.append("threading"))
    yield called
    capture_uncaught().uninstall()


def fail_on_main(error: BaseException) -> None:
    sys.excepthook(type(error), error, error.__traceback__)


def fail_on_thread(error: BaseException | None, thread: threading.Thread | None) -> None:
    args = threading.ExceptHookArgs((type(error or ValueError()), error, None, thread))
    threading.excepthook(args)


def test_installed_twice_it_records_once(hooks: list[str]) -> None:
    recorder = Recorder()
    provider = provider_with(recorder)
    assert capture_uncaught(provider) is capture_uncaught(provider)
    fail_on_main(ValueError("boom"))
    assert recorder.only.body == "Uncaught ValueError: boom"
    assert hooks == ["sys"]


def test_uninstalled_the_earlier_hooks_are_back(hooks: list[str]) -> None:
    before = sys.excepthook, threading.excepthook
    recorder = Recorder()
    capture = capture_uncaught(provider_with(recorder))
    assert (sys.excepthook, threading.excepthook) != before
    capture.uninstall()
    assert (sys.excepthook, threading.excepthook) == before
    assert capture_uncaught(provider_with(recorder)) is not capture


def test_uninstalled_behind_another_hook_it_only_passes_on(hooks: list[str]) -> None:
    recorder = Recorder()
    capture = capture_uncaught(provider_with(recorder))
    sys.excepthook = partial(sys.excepthook)
    threading.excepthook = partial(threading.excepthook)
    capture.uninstall()
    fail_on_main(ValueError("boom"))
    fail_on_thread(ValueError("boom"), threading.current_thread())
    assert recorder.records == []
    assert hooks == ["sys", "threading"]
    capture.uninstall()


def test_an_exception_of_a_thread_that_is_gone_or_was_never_made(hooks: list[str]) -> None:
    recorder = Recorder()
    capture_uncaught(provider_with(recorder))
    fail_on_thread(ValueError("boom"), None)
    fail_on_thread(None, None)
    assert "thread.name" not in attributes_of(recorder.only)
    assert hooks == ["threading", "threading"]


def test_the_context_and_an_exception_without_text(hooks: list[str]) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    recorder = Recorder()
    capture_uncaught(provider_with(recorder))
    with log_context(job="nightly"):
        fail_on_main(UnprintableError())
    assert recorder.only.body == "Uncaught UnprintableError"
    attributes = attributes_of(recorder.only)
    assert attributes["job"] == "nightly"
    assert attributes["exception.message"] == "<unprintable: RuntimeError: no text>"


def test_the_stack_trace_is_sent_once(hooks: list[str]) -> None:
    recorder = Recorder()
    capture_uncaught(provider_with(recorder))
    error = ValueError("boom")
    fail_on_main(error)
    fail_on_main(error)
    first, second = (attributes_of(record) for record in recorder.records)
    assert "exception.stacktrace" in first
    assert "exception.stacktrace" not in second


def test_a_broken_pipeline_does_not_keep_the_hook_from_running(hooks: list[str]) -> None:
    capture = capture_uncaught(provider_with(Raising(RuntimeError("broken"))))
    fail_on_main(ValueError("boom"))
    assert (hooks, capture.failures) == (["sys"], 1)
