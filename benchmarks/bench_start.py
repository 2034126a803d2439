"""What start-up costs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from figures import Check, Figure, Row
from subjects import JSON, KEY, LOGWELL_OTEL, NOOP, PROTOBUF
from worker import clean_environment, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)", re.ASCII)

# By what the SDK calls them; its own console exporter imports nothing.
ENTRY_POINTS = {
    NOOP: "console",
    LOGWELL_OTEL: "logwell",
    PROTOBUF: "otlp_proto_http",
    JSON: "otlp_json_http",
}
MODULES = {
    LOGWELL_OTEL: "logwell_otel.exporter",
    PROTOBUF: "opentelemetry.exporter.otlp.proto.http._log_exporter",
    JSON: "opentelemetry.exporter.otlp.json.http._log_exporter",
}
SDK_ALONE = "import opentelemetry.sdk._configuration, opentelemetry.sdk._logs.export"
ZERO_CODE = (
    "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize()"
)
FIRST_RECORD = """
import os, sys, time, subjects
subject = subjects.make(*sys.argv[1:])
subject.log("first", {})
subject.flush()
assert subject.delivered() == 1
print(time.process_time())
os._exit(0)
"""


def rows(*, quick: bool) -> Iterator[Row]:
    """Fresh processes in turn."""
    rounds = 1 if quick else 7
    yield _zero_code(rounds)
    yield _module(rounds)
    yield _first_record(rounds)


def _zero_code(rounds: int) -> Row:
    new: dict[str, list[float]] = {subject: [] for subject in ENTRY_POINTS if subject != NOOP}
    for number in range(rounds + 1):
        imports = {subject: _zero_code_imports(name) for subject, name in ENTRY_POINTS.items()}
        if number:  # the first writes bytecode
            for subject, values in new.items():
                values.append(_added(imports[subject], imports[NOOP]))
    figures = {subject: Figure.of(values) for subject, values in new.items()}
    return Row(
        "zero-code start-up",
        "self time of the modules that start-up imports for the exporter, beyond the SDK's own",
        "ms",
        figures,
        [
            Check(
                "of OTLP protobuf's",
                figures[LOGWELL_OTEL].median / figures[PROTOBUF].median,
                1.0,
            )
        ],
    )


def _module(rounds: int) -> Row:
    taken: dict[str, list[float]] = {subject: [] for subject in MODULES}
    for number in range(rounds + 1):
        floor = _imports(SDK_ALONE)
        for subject, module in MODULES.items():
            imported = _imports(f"{SDK_ALONE}; import {module}")
            if number:
                taken[subject].append(_added(imported, floor))
    figures = {subject: Figure.of(values) for subject, values in taken.items()}
    return Row(
        "import",
        "self time of the modules behind `import` of the exporter alone, beyond the SDK's own",
        "ms",
        figures,
        [
            Check(
                "of OTLP protobuf's",
                figures[LOGWELL_OTEL].median / figures[PROTOBUF].median,
                1.0,
            )
        ],
    )


def _first_record(rounds: int) -> Row:
    taken = in_turn(FIRST_RECORD, ENTRY_POINTS, rounds)
    figures = {
        subject: Figure.of([cost - floor for cost, floor in zip(values, taken[NOOP], strict=True)])
        for subject, values in taken.items()
        if subject != NOOP
    }
    ratio = figures[LOGWELL_OTEL].median / figures[PROTOBUF].median
    return Row(
        "first record",
        "CPU time of a process until its first record is delivered: HTTP libraries included",
        "ms over the no-op exporter",
        figures,
        [Check("of OTLP protobuf's", ratio, 1.0)],
    )


def _added(imports: dict[str, int], floor: dict[str, int]) -> float:
    """Milliseconds of the modules that `floor` does not have."""
    return sum(taken for module, taken in imports.items() if module not in floor) / 1000


def _zero_code_imports(exporter: str) -> dict[str, int]:
    return _imports(
        ZERO_CODE,
        OTEL_PYTHON_CONFIGURATOR="configurator",
        OTEL_LOGS_EXPORTER=exporter,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        LOGWELL_ENDPOINT="http://127.0.0.1:9",
        LOGWELL_API_KEY=KEY,
    )


def _imports(program: str, **variables: str) -> dict[str, int]:
    """Microseconds of each module that `program` imports, without what that imports."""
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return {module: int(taken) for taken, module in _LINE.findall(found.stderr)}
