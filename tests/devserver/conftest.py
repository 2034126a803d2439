from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.devserver import DevServer


@pytest.fixture
def client(receiver: DevServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
    with httpx.Client(
        base_url=receiver.url, headers=headers, trust_env=False, verify=False, timeout=180
    ) as one:
        yield one
