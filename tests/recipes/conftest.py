from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServer
from support.terminal import Terminal, build_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer() as started:
        yield started


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def open_terminal(tmp_path: Path, wheel: Path) -> Callable[[str], Terminal]:
    return lambda name: Terminal.open(tmp_path / name, wheel)
