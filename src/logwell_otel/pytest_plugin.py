"""The fixture `logwell`, for pytest: apart from what it gives, which no other test run imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.testing import LogwellTestServer


@pytest.fixture
def logwell() -> Iterator[LogwellTestServer]:
    """A Logwell server for this test, which `configure()` finds by itself.

    See `logwell_otel.testing.LogwellTestServer`: `logwell.assert_logged("order placed", order=17)`.
    """
    from logwell_otel.testing import LogwellTestServer  # noqa: PLC0415 - see the module

    with LogwellTestServer() as running:
        yield running
