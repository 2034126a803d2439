"""The spool among processes, restarts and disks that say no."""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from chaos.pipeline import texts
from chaos.process import SubjectProcess
from chaos.result import Trial
from logwell_otel import LogwellLogExporter
from logwell_otel._buffer.spool import Spool
from logwell_otel.devserver import DevServer
from support.records import records
from support.spool import FULL, Disk

if TYPE_CHECKING:
    from chaos.result import Result

_DELIVERY_SECONDS = 30.0


def subject_restarted(*, kill: bool) -> Result:
    """The persistence case of a public log shipper harness.

    Subject running, destination stopped, data sent, subject restarted, destination back:
    everything arrives.

    Args:
        kill: End the subject with `kill -9` a second and a half after the data was sent,
            instead of letting it exit.
    """
    trial = Trial()
    with tempfile.TemporaryDirectory() as directory, DevServer() as receiver:
        spool = Path(directory, "spool")
        with SubjectProcess(receiver, "before", spool) as subject:
            subject.started()
            _log(trial, subject, 100)
            trial.expect(subject.tell("flush", 5_000), "not stored before the destination stopped")
            receiver.stop()
            _log(trial, subject, 300, first=100)
            if kill:
                subject.tell("flush", 0)  # handed over, from which moment a second counts
                time.sleep(1.5)
                trial.ledger(subject.figures())
                subject.kill()
            else:
                trial.expect(subject.end() == 0, f"it failed: {subject.said()}")
        with SubjectProcess(receiver, "after", spool) as subject:
            subject.started()
            _log(trial, subject, 100)
            receiver.start()
            trial.expect(_complete(receiver, subject, 500), "not delivered")
            figures = subject.figures()
            trial.ledger(figures)
            trial.expect(figures.recovered == 300, f"{figures.recovered} recovered, not 300")
            trial.expect(subject.end() == 0, f"it failed: {subject.said()}")
        return trial.judge(entry.message for entry in receiver.entries())


def shared_by_two() -> Result:
    """Two processes log through an outage; one is killed, the other delivers for both."""
    trial = Trial()
    with tempfile.TemporaryDirectory() as directory, DevServer() as receiver:
        spool = Path(directory, "spool")
        with (
            SubjectProcess(receiver, "survivor", spool) as survivor,
            SubjectProcess(receiver, "victim", spool) as victim,
        ):
            receiver.stop()
            for subject in (survivor.started(), victim.started()):
                _log(trial, subject, 500)
                subject.tell("flush", 0)
            time.sleep(1.5)
            trial.ledger(victim.figures())
            victim.kill()
            receiver.start()
            # It looks for dead processes every 10 s, and sees one within 15 when idle.
            trial.expect(_complete(receiver, survivor, 1_000), "not delivered")
            figures = survivor.figures()
            trial.ledger(figures)
            trial.expect(figures.recovered == 500, f"{figures.recovered} recovered, not 500")
            trial.expect(survivor.end() == 0, f"it failed: {survivor.said()}")
        return trial.judge(entry.message for entry in receiver.entries())


def disk_fails(error: Exception = FULL, *, batches: int = 20) -> Result:
    """The spool's disk fills up, or turns read-only, in the middle of an outage."""
    trial, disk, said = Trial(), Disk(), list[str]()
    with (
        tempfile.TemporaryDirectory() as directory,
        DevServer() as receiver,
        mock.patch(
            "logwell_otel._buffer.spool.Spool", functools.partial(Spool, connect=disk.connect)
        ),
        mock.patch("logwell_otel._diagnostics.warn", said.append),
    ):
        exporter = LogwellLogExporter(receiver.url, receiver.key, spool_dir=directory)
        receiver.stop()
        sent = 0
        for batch in range(batches):
            if batch == batches // 2:
                trial.expect(_spooled(exporter, sent), "not in the spool though the disk was well")
                disk.error = error
            trial.within("export", functools.partial(exporter.export, records(50, sent)))
            sent += 50
            time.sleep(0.05)
        trial.send(texts(sent, prefix="message"))
        health = exporter.health()
        trial.ledger(health)
        trial.expect(health.held == sent, f"{health.held} of {sent} held")
        trial.expect(health.held_in_memory > 0, "nothing fell back to memory")
        receiver.start()
        trial.deliver(exporter)
        until = time.monotonic() + 5.0
        while exporter.health().held and time.monotonic() < until:
            time.sleep(0.05)
        trial.ledger(exporter.health())
        trial.within("shutdown", exporter.shutdown)
        complaints = [text for text in said if "held in memory instead" in text]
        trial.expect(len(complaints) == 1, f"said {len(complaints)} times: {complaints}")
        return trial.judge(entry.message for entry in receiver.entries())


def _complete(receiver: DevServer, subject: SubjectProcess, count: int) -> bool:
    until = time.monotonic() + _DELIVERY_SECONDS
    while receiver.count() < count and time.monotonic() < until:
        subject.tell("flush", 100)
        time.sleep(0.1)
    return receiver.count() == count


def _spooled(exporter: LogwellLogExporter, count: int) -> bool:
    until = time.monotonic() + 3.0
    while exporter.health().held_on_disk < count:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _log(trial: Trial, subject: SubjectProcess, count: int, first: int = 0) -> None:
    trial.send(texts(count, first, subject.prefix))
    subject.tell("log", first, count)
