"""Fixtures of more than one folder, and what runs when: always, nightly, in the inner loop."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import signal
import socket
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from logwell_otel.devserver import DevServer
from support.policy import PolicyStandIn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

# Exporters to servers that do not exist, with what they send looked at on the way.
os.environ["LOGWELL_SEND_IN_TESTS"] = "true"

# No deadlines: on a busy machine any example takes 200 ms once, and all take long to make.
_CALM: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("nightly", max_examples=200, **_CALM)
settings.register_profile("usual", max_examples=25, **_CALM)
settings.register_profile("fast", max_examples=5, **_CALM)

# Where one of these is imported, a process or a server is started: such a file is not even
# imported by the inner loop, most of whose time would go into that.
_SLOW_IMPORT = re.compile(
    r"^(?:from|import) (?:subprocess|multiprocessing|chaos|support\.(?:otlp|process))\b",
    re.MULTILINE,
)
_OF_THE_SYSTEM = re.compile(
    r"\b(os|signal)\.([A-Za-z]\w*)|^ *import (fcntl|grp|pty|pwd|resource|termios)\b", re.MULTILINE
)
_missing_here: dict[str, str] = {}  # by file, what it asks for and this system has not
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"}
_SOCKET_EVENTS = {"socket.bind", "socket.connect"}
_unmarked: list[pytest.Item] = []  # the test that runs, unless it may start what it wants
_SERVERS = {"receiver", "stand_in", "stub", "client", "shared"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast",
        action="store_true",
        help="leave out tests with processes or sockets, try fewer examples",
    )
    parser.addoption(
        "--nightly",
        action="store_true",
        help="run also what is marked nightly, and try more examples",
    )


def pytest_configure(config: pytest.Config) -> None:
    profile = next((name for name in ("fast", "nightly") if config.getoption(name)), "usual")
    settings.load_profile(profile)
    # What a shell starts in the background ignores it, and so would the programs of tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _calls_are_forgotten() -> Iterator[None]:
    """A test's `configure()` is not called again by the test server of another."""
    yield
    if (setup := sys.modules.get("logwell_otel.setup")) is not None:
        setup._calls.clear()  # noqa: SLF001 - our own


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half as many again as there are cores, since tests of processes and time-outs wait.

    Those of the inner loop do not, and each worker imports and collects all of them first.
    """
    cores = os.cpu_count() or 1
    return cores if config.getoption("--fast") else cores * 3 // 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what was collected out of garbage collections: thousands of tests live to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out whole files; None leaves the decision to others."""
    if sys.platform != "linux" and re.fullmatch(r"test_\w+\.py", collection_path.name):
        if names := _missing_in(collection_path.read_text(encoding="utf-8")):
            _missing_here[collection_path.name] = ", ".join(sorted(names))
            return True
    if not config.getoption("--fast") or collection_path.suffix != ".py":
        return None
    return _starts_something(collection_path) or None


def pytest_report_collectionfinish() -> list[str]:
    """Name the files that need what this system has not."""
    return [f"left out here: {name}, for {names}" for name, names in _missing_here.items()]


def _missing_in(text: str) -> set[str]:
    modules = {"os": os, "signal": signal}
    found = set()
    for module, name, imported in _OF_THE_SYSTEM.findall(text):
        if imported:
            if importlib.util.find_spec(imported) is None:
                found.add(imported)
        elif not hasattr(modules[module], name):
            found.add(f"{module}.{name}")
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses a server's fixture, and leave out what is for another occasion."""
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("socket")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        nightly = item.get_closest_marker("nightly") and not config.getoption("--nightly")
        slow = _is_slow(item) and config.getoption("--fast")
        (left_out if nightly or slow else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook of Python: a test that lacks its mark fails, and says what it did.

    On the main thread only: another one may still belong to an earlier test.
    """
    if not _unmarked or threading.current_thread() is not threading.main_thread():
        return
    if event in _PROCESS_EVENTS or (event in _SOCKET_EVENTS and _is_network(arguments)):
        raise AssertionError(f"{event} in a test that is marked neither process nor socket")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Only a test is refused anything: pytest-xdist starts its workers."""
    if not (_is_slow(item) or _starts_something(item.path)):
        _unmarked.append(item)
    try:
        return (yield)
    finally:
        _unmarked.clear()


@cache
def _starts_something(path: Path) -> bool:
    return bool(_SLOW_IMPORT.search(path.read_text(encoding="utf-8")))


def _is_network(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments[0].family in (socket.AF_INET, socket.AF_INET6))


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("process", "socket", "slow"))


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
