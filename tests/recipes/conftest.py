from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer() as started:
        yield started
