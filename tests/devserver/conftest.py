from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from logwell_otel.devserver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def client(receiver: Receiver) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
    with httpx.Client(base_url=receiver.url, headers=headers, trust_env=False) as one:
        yield one
