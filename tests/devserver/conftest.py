from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer() as running:
        yield running


@pytest.fixture
def client(receiver: DevServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
    with httpx.Client(base_url=receiver.url, headers=headers, trust_env=False) as one:
        yield one
