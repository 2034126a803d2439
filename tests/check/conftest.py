from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from check_support import Stub
from logwell_otel.devserver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no setting of the machine that the tests run on."""
    for name in list(os.environ):
        if name.upper().startswith(("LOGWELL_", "OTEL_", "SSL_CERT_")) or "PROXY" in name.upper():
            monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as running:
        yield running
