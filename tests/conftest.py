"""Fixtures of more than one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServer
from support.policy import PolicyStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    """A stand-in for Logwell, with the real server's limits."""
    with DevServer() as running:
        yield running


@pytest.fixture
def stand_in() -> Iterator[PolicyStandIn]:
    """A policy server that knows one service."""
    with PolicyStandIn() as running:
        yield running
