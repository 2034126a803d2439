"""A program that logs, told what to do line by line: `python -m chaos.subject PREFIX`.

Settings come from `LOGWELL_*`. Answers every line with one of JSON. At the end of its
input it ends as any program does, so that OpenTelemetry's provider shuts down at exit.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from typing import Any

import logwell_otel
from chaos.pipeline import texts
from chaos.result import Figures
from support.records import record


class Subject:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        pipeline = logwell_otel.configure()
        self._exporter, self._provider = pipeline.exporter, pipeline.provider

    def log(self, first: str, count: str) -> None:
        """Through the processor, as an application does."""
        logger = self._provider.get_logger("subject")
        for text in texts(int(count), int(first), self._prefix):
            logger.emit(body=text)

    def hand(self, first: str, count: str) -> None:
        """Straight to the exporter."""
        batch = [record(text) for text in texts(int(count), int(first), self._prefix)]
        self._exporter.export(batch)

    def run(self, rate: str) -> None:
        """For ever, by the standard library's logging; says how many records, and when."""
        rng, number = random.Random(self._prefix), 0
        logger = logging.getLogger("subject")
        while True:
            count = rng.randint(1, 8)
            for text in texts(count, number, self._prefix):
                logger.info(text)
            number += count
            os.write(1, b"%d %.6f\n" % (number, time.monotonic()))
            time.sleep(count / float(rate))

    def errors(self, seed: str, count: str) -> None:
        """Ten kinds of error in an order of its own, each text unique by its number."""
        from opentelemetry._logs import SeverityNumber

        rng = random.Random(seed)
        for first in range(0, int(count), 10):
            kinds = [*"abcdefghij"]
            rng.shuffle(kinds)
            batch = [
                record(
                    f"stock of {kind * 3} is out, order {self._prefix}{first + place}",
                    severity_number=SeverityNumber.ERROR,
                    attributes={"code.file.path": f"{kind}.py", "code.line.number": ord(kind)},
                )
                for place, kind in enumerate(kinds)
            ]
            self._exporter.export(batch)

    def flush(self, millis: str) -> bool:
        return self._provider.force_flush(int(millis))

    def health(self) -> dict[str, Any]:
        return Figures.of(self._exporter.health())._asdict()


def main() -> None:
    subject = Subject(sys.argv[1])
    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        command, *arguments = line.split()
        answer = getattr(subject, command)(*arguments)
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
