"""A process that logs on command, so that each subject has one to itself.

Commands come as lines of JSON on standard input and are answered by one line each. All
workers of a comparison stay alive and take turns: what the machine does besides then hits
all of them alike.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import subjects
from sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterable

FLUSH_EVERY: Final = 5_000


class Worker:
    """A worker as its user sees it: a child process.

    Args:
        subject: Name of the subject.
        endpoint: Base URL of the receiver.
        quiet: Do not show its warnings.
        **options: Of `subjects.make`.
    """

    def __init__(self, subject: str, endpoint: str, *, quiet: bool = False, **options: Any) -> None:
        self.subject = subject
        self._process = subprocess.Popen(
            [sys.executable, __file__, subject, endpoint, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env=clean_environment(),
            text=True,
        )
        self._read()

    def do(self, command: str, **arguments: Any) -> Any:
        """Have a command carried out: a function of this module, by name."""
        pipe = _pipe(self._process.stdin)
        pipe.write(json.dumps([command, arguments]) + "\n")
        pipe.flush()
        return self._read()

    def _read(self) -> Any:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the worker of {self.subject} has ended")
        return json.loads(line)

    def __enter__(self) -> Worker:  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        self._process.kill()
        self._process.wait(timeout=10)


def _pipe(pipe: IO[Any] | None) -> IO[Any]:
    assert pipe is not None
    return pipe


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without what configures a subject, or keeps bytecode from being cached."""
    ours = ("OTEL_", "LOGWELL_", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **variables}


def in_turn(program: str, subjects_: Iterable[str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds by subject: what a program says in seconds, run in a fresh process each time.

    Args:
        program: Its text; it is given a subject's name and a receiver's URL.
        subjects_: Names of subjects.
        rounds: How often each takes its turn.
    """
    taken: dict[str, list[float]] = {subject: [] for subject in subjects_}
    with Sink() as sink:
        for _ in range(rounds):
            for subject, values in taken.items():
                said = subprocess.run(
                    [sys.executable, "-c", program, subject, sink.url],
                    env=clean_environment(PYTHONPATH=str(sys.path[0])),
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                values.append(float(said) * 1000)
    return taken


# Commands.


def log(subject: subjects.Subject, records: int, attributes: int = 5, size: int = 0) -> float:
    """CPU seconds, of all threads, that `records` take from the logging call to delivery."""
    extra = ATTRIBUTES if attributes == len(ATTRIBUTES) else make_attributes(attributes)
    padding = "x" * size
    before = subject.delivered()
    gc.collect()
    started = time.process_time()
    for start in range(0, records, FLUSH_EVERY):
        for number in range(start, min(start + FLUSH_EVERY, records)):
            subject.log(f"order {number} placed by customer{padding}", extra)
        subject.flush()
    taken = time.process_time() - started
    _check(subject.delivered() - before, records)
    return taken


def export(subject: Any, records: int, attributes: int = 5, size: int = 0) -> float:
    """CPU seconds, of all threads, from `export()` to delivery."""
    before = subject.delivered()
    batch = _batch(attributes, size)
    gc.collect()
    started = time.process_time()
    for start in range(0, records, FLUSH_EVERY):
        _export(subject, batch, min(FLUSH_EVERY, records - start))
        subject.exporter.force_flush()
    taken = time.process_time() - started
    _check(subject.delivered() - before, records)
    return taken


def hand_over(subject: Any, records: int) -> float:
    """CPU seconds of `export()` alone."""
    batch = _batch(5, 0)
    gc.collect()
    started = time.process_time()
    _export(subject, batch, records)
    return time.process_time() - started


def drain(subject: Any) -> float:
    """CPU seconds until all that is held is delivered."""
    started = time.process_time()
    if not subject.exporter.force_flush(60_000):
        raise RuntimeError("entries were lost")
    return time.process_time() - started


def outage(subject: Any, records: int) -> dict[str, int]:
    """Log while nothing is delivered: the peak of memory in bytes, and records still held."""
    # Every process has imported the same, so that what differs is what is held.
    for module in (
        "httpcore",
        "logwell_otel",
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
    ):
        importlib.import_module(module)
    for number in range(records):
        subject.log(f"order {number} placed by customer", ATTRIBUTES)
        if number % 500 == 499:
            subject.hand_over()
    return {"peak": _peak(), "held": subject.held()}


def burst(subject: Any, records: int) -> dict[str, int]:
    """Log without a pause: records lost, and the bytes of memory that it took at its peak."""
    subject.log("first", {})
    subject.flush()
    before, delivered = _peak(), subject.delivered()
    for number in range(records):
        subject.log(f"order {number} placed by customer", ATTRIBUTES)
    subject.flush()
    return {
        "lost": records - (subject.delivered() - delivered),
        "memory": _peak() - before,
    }


def _batch(attributes: int, size: int) -> list[Any]:
    from bench_encode import make_records, typical

    def kind(index: int) -> dict[str, Any]:
        record = typical(index)
        record["body"] += "x" * size
        if attributes != len(ATTRIBUTES):
            record["attributes"] = make_attributes(attributes)
        return record

    key = (attributes, size)
    if key not in _batches:
        _batches[key] = list(make_records(kind, 500))
    return _batches[key]


_batches: Final[dict[tuple[int, int], list[Any]]] = {}


def _export(subject: Any, batch: list[Any], records: int) -> None:
    for start in range(0, records, len(batch)):
        subject.exporter.export(batch[: records - start])


def _check(delivered: int, records: int) -> None:
    if delivered != records:
        raise RuntimeError(f"{delivered} of {records} records were delivered")


def _peak() -> int:
    """Peak resident memory in bytes. `ru_maxrss` begins at that of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def call_times(
    subject: subjects.Subject,
    seconds: float,
    rate: int,
    computing: bool = False,
    failing: bool = False,
) -> list[float]:
    """Wall clock seconds of each logging call, `rate` of them a second.

    With `computing` beside a thread that does nothing but compute; with `failing` each record
    has an exception.
    """
    error = _error() if failing else None
    if not computing:
        return _call_times(subject, seconds, rate, error)
    done = threading.Event()
    thread = threading.Thread(target=_compute, args=(done,), daemon=True)
    thread.start()
    try:
        return _call_times(subject, seconds, rate, error)
    finally:
        done.set()
        thread.join()


def _compute(done: threading.Event) -> None:
    while not done.is_set():
        sum(number * number for number in range(1_000))


def _error() -> Exception | None:
    """An exception out of ten frames."""
    try:
        _raise(10)
    except LookupError as error:
        return error
    return None


def _raise(depth: int) -> None:
    if not depth:
        raise LookupError("no such order")
    _raise(depth - 1)


def _call_times(
    subject: subjects.Subject, seconds: float, rate: int, error: Exception | None
) -> list[float]:
    taken: list[float] = []
    clock, log = time.perf_counter, subject.log
    began = clock()
    for number in range(int(seconds * rate)):
        wait = began + number / rate - clock()
        if wait > 0:
            time.sleep(wait)
        started = clock()
        log(f"order {number} placed by customer", ATTRIBUTES, error)
        taken.append(clock() - started)
    subject.flush()
    return taken


ATTRIBUTES: Final = {
    "http.request.method": "GET",
    "http.route": "/orders/{id}",
    "user_id": "u-4711",
    "items": 3,
    "duration": 0.271828,
}


def make_attributes(count: int) -> dict[str, Any]:
    """That many attributes."""
    return {f"app.attribute_{number}": f"value {number}" for number in range(count)}


_COMMANDS: Final[dict[str, Any]] = {
    function.__name__: function
    for function in (log, export, hand_over, drain, outage, burst, call_times)
}


def main() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    name, endpoint, options = sys.argv[1:]
    subject = subjects.make(name, endpoint, **json.loads(options))
    print("null", flush=True)
    # Records of a request carry its trace id, so these do too.
    with TracerProvider(shutdown_on_exit=False).get_tracer("shop").start_as_current_span("request"):
        for line in sys.stdin:
            command, arguments = json.loads(line)
            print(json.dumps(_COMMANDS[command](subject, **arguments)), flush=True)


if __name__ == "__main__":
    main()
