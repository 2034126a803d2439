"""Which configurator counts: ours where the variable names it, otherwise as without us."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from logwell_otel.configurator import LogwellConfigurator

LogwellConfigurator().configure(auto_instrumentation_version="1")
provider = get_logger_provider()
if isinstance(provider, LoggerProvider):
    processors = provider._multi_log_record_processor._log_record_processors
    print([type(processor).__name__ for processor in processors])
"""
VENDOR = """
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

class VendorsConfigurator(_OTelSDKConfigurator):
    def _configure(self, **settings):
        print("the vendor's, with", settings)
"""


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """An installed distro with a configurator of its own."""
    (tmp_path / "vendor.py").write_text(VENDOR)
    info = tmp_path / "vendor-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_configurator]\nvendors = vendor:VendorsConfigurator\n"
    )
    return tmp_path


def configured(*first: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join([*map(str, first), *filter(None, sys.path)]),
            "OTEL_LOGS_EXPORTER": "logwell",
            "LOGWELL_ENDPOINT": "http://127.0.0.1:9",
            "LOGWELL_API_KEY": "lw_" + "k" * 32,
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_chosen_by_name_it_adds_context_and_our_processor(vendor: Path) -> None:
    if version("opentelemetry-sdk").startswith("1.39."):
        pytest.skip("OTEL_PYTHON_CONFIGURATOR=logwell is not for OpenTelemetry 1.39")
    processors = configured(vendor, OTEL_PYTHON_CONFIGURATOR="logwell")
    assert processors == "['ContextLogRecordProcessor', 'LogwellBatchLogRecordProcessor']"


def test_listed_first_by_chance_it_does_what_opentelemetry_does() -> None:
    assert configured() == "['BatchLogRecordProcessor']"


def test_listed_first_by_chance_it_leaves_a_distros_own_in_its_place(vendor: Path) -> None:
    expected = "the vendor's, with {'auto_instrumentation_version': '1'}"
    assert configured(vendor) == expected
