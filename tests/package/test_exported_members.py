"""The public surface: what `import logwell_otel` gives, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import logwell_otel

PACKAGE = Path(logwell_otel.__file__).parent


def test_everything_exported_is_there_and_nothing_else() -> None:
    modules = logwell_otel._MODULES  # noqa: SLF001 - names to the modules that have them
    assert logwell_otel.__all__ == sorted([*modules, "__version__"])
    for name in modules:
        assert getattr(logwell_otel, name).__name__ == name
    assert dir(logwell_otel) == logwell_otel.__all__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        logwell_otel.nothing  # noqa: B018


def test_members_are_documented() -> None:
    for name in logwell_otel.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(logwell_otel, name)), name


def test_private_arguments_are_no_part_of_the_documented_ones() -> None:
    for name in logwell_otel.__all__:
        assert "_dependencies" not in (inspect.getdoc(getattr(logwell_otel, name)) or "")


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_the_entry_point_is_the_exporter() -> None:
    (point,) = entry_points(group="opentelemetry_logs_exporter", name="logwell")
    assert point.load() is logwell_otel.LogwellLogExporter


def test_importing_starts_no_thread_and_loads_no_http_library() -> None:
    program = (
        "import sys, threading, logwell_otel as made\n"
        "made.LogwellLogExporter('http://127.0.0.1:9', 'lw_' + 'k' * 32)\n"
        "print(threading.active_count(), sorted({'httpx', 'httpcore', 'starlette', 'uvicorn',\n"
        "    'flask', 'fastapi', 'opentelemetry.instrumentation.logging'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=False
    )
    assert (run.stdout, run.stderr) == ("1 []\n", "")
