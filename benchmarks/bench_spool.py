"""What a record costs that goes through the spool: CPU time, the disk, and a power cut's price.

    python benchmarks/bench_spool.py [--quick]

An outage, and what follows: records are logged while the server fails, lie on disk, and are
delivered once it is back. Each run is a process of its own. The disk's part is what
`/proc/self/io` counts: reads and writes of files, the network's not among them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from figures import Figure, Row, table
from sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY: Final = "memory only"
NORMAL: Final = "spool"
FULL: Final = 'spool_sync="full"'
SUBJECTS: Final[dict[str, str | None]] = {MEMORY: None, NORMAL: "normal", FULL: "full"}
BATCH: Final = 500


def rows(*, quick: bool) -> Iterator[Row]:
    """Outages with the same records, each subject in turn."""
    rounds, records = (2, 5_000) if quick else (7, 25_000)
    taken: dict[str, list[dict[str, float]]] = {subject: [] for subject in SUBJECTS}
    with Sink() as sink:
        for _ in range(rounds):
            for subject, sync in SUBJECTS.items():
                taken[subject].append(_run(sink, sync, records))

    def row(name: str, measures: str, unit: str, key: str, subjects: Any = SUBJECTS) -> Row:
        figures = {one: Figure.of([run[key] for run in taken[one]]) for one in subjects}
        return Row(name, measures, unit, figures)

    spools = (NORMAL, FULL)
    yield row("outage", "CPU time, all threads, until all is held", "µs per record", "cpu_in")
    yield row("after it", "CPU time, all threads, until all is stored", "µs per record", "cpu_out")
    yield row("to disk", "until all of a burst lies there", "µs per record", "seconds", spools)
    yield row("written", "bytes to files, both ways", "bytes per record", "bytes", spools)
    yield row("calls", "reads and writes of files, both ways", "per 1,000 records", "calls", spools)
    yield row("one record", "stored by itself, until it is safe", "ms", "alone", spools)


def _run(sink: Sink, sync: str | None, records: int) -> dict[str, float]:
    sink.fail()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        process = subprocess.Popen(
            [sys.executable, __file__, "--worker", sink.url, directory, str(sync), str(records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        sink.go()
        found: dict[str, float] = json.loads(process.communicate("go\n")[0])
    return found


def worker(url: str, directory: str, sync: str, number: str) -> None:
    """One run: says `held`, waits for a line, and answers with its figures."""
    from records import typical_records

    from logwell_otel import LogwellLogExporter

    records, options = int(number), dict[str, Any]()
    if sync != "None":
        options = {"spool_dir": directory, "spool_sync": sync}
    exporter = LogwellLogExporter(url, "lw_" + "k" * 32, requests_per_minute=1e6, **options)
    batch = typical_records(BATCH)
    exporter.export(batch[:1])
    _wait(lambda: exporter.health().consecutive_failures > 0)
    if options:
        _wait(lambda: exporter.health().held_in_memory == 0)
    cpu, (size, calls), began = time.process_time(), _files(), time.monotonic()
    for _ in range(0, records, BATCH):
        exporter.export(batch)
    _wait(lambda: not options or exporter.health().held_in_memory == 0)
    seconds = time.monotonic() - began
    held = time.process_time()
    print("held", flush=True)
    sys.stdin.readline()
    resumed = time.process_time()
    while not exporter.force_flush(1_000):
        pass
    stored, (bytes_after, calls_after) = time.process_time(), _files()
    print(
        json.dumps(
            {
                "cpu_in": (held - cpu) / records * 1e6,
                "cpu_out": (stored - resumed) / records * 1e6,
                "seconds": seconds / records * 1e6,
                "bytes": (bytes_after - size) / records,
                "calls": (calls_after - calls) / records * 1e3,
                "alone": _alone(exporter) if options else 0.0,
            }
        ),
        flush=True,
    )
    exporter.shutdown()


def _alone(exporter: Any) -> float:
    from logwell_otel._encoding.chunk import Chunk

    spool, times = exporter._spool, []  # noqa: SLF001 - the insert alone
    with spool.lock:
        for _ in range(50):
            began = time.perf_counter()
            (rows,) = spool.store([Chunk(b'[{"level":"info","message":"alone"}]', 1)])
            times.append(time.perf_counter() - began)
            spool.delete(rows)
    return sorted(times)[len(times) // 2] * 1e3


def _wait(finished: Any) -> None:
    while not finished():
        time.sleep(0.002)


def _files() -> tuple[int, int]:
    """Bytes written to files, and calls that read or write them."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["wchar"]), int(counters["syscr"]) + int(counters["syscw"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:6])
    else:
        for found in rows(quick="--quick" in sys.argv):
            print(table([found]), flush=True)
