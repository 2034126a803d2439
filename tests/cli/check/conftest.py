from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.check import Stub, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as running:
        yield running
