from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    # What all examples are set up with; not for OpenTelemetry 1.39.
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    with Receiver() as started:
        yield started
