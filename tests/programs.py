"""Programs of their own, started as people start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

_OURS = ("LOGWELL_", "OTEL_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


def instrumented(program: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`opentelemetry-instrument python PROGRAM`, with these variables and no others of ours."""
    pytest.importorskip("opentelemetry.distro")
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    assert any(
        point.name == "logwell" for point in entry_points(group="opentelemetry_logs_exporter")
    ), "logwell-otel must be installed for this test: pip install -e ."
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and name.upper() not in _PROXIES
    }
    return subprocess.run(
        [str(command), sys.executable, str(program)],
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def json_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in `text`, whatever stands between them."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
        else:
            found.append(value)
    return found
