from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from check_support import Stub, clean_environment
from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer() as running:
        yield running


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as running:
        yield running
