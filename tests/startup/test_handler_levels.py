"""Levels: those of one's own, by logger, and a root logger that lets less through."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from logwell_otel import LogwellError
from logwell_otel._config.options import Config
from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._install import install_handler
from logwell_otel._otel import SeverityNumber
from logwell_otel.handler import LogwellHandler
from support.config import KEY
from support.entries import entries
from support.process import instrumented, run
from support.records import Recorder, provider_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logwell_otel.devserver import DevServer


def record(level: int, name: str | None = None, logger: str = "shop") -> logging.LogRecord:
    made = logging.LogRecord(logger, level, __file__, 1, "x", None, None)
    made.levelname = made.levelname if name is None else name
    return made


@pytest.mark.parametrize(
    ("level", "name", "number", "entry"),
    [
        (1, "NOISE", 1, "debug"),
        (5, "SPAM", 1, "debug"),
        (5, "TRACE", 1, "debug"),
        (7, "SQL", 3, "debug"),
        (9, "\x1b[36mFINE\x1b[0m", 4, "debug"),
        (9, None, 4, "debug"),
        (15, "VERBOSE", 8, "debug"),
        (20, "\x1b[32mINFO\x1b[0m", 9, "info"),
        (21, "NOTICE", 10, "info"),
        (25, "SUCCESS", 12, "info"),
        (29, "AUDIT", 12, "info"),
        (30, "AVERTISSEMENT", 13, "warn"),
        (35, "ALERT", 16, "warn"),
        (40, "FEHLER", 17, "error"),
        (40, "DEBUG", 17, "error"),
        (45, "SEVERE", 20, "error"),
        (50, "PANIC", 21, "fatal"),
        (60, "APOCALYPSE", 24, "fatal"),
        (0, "NOTSET", 0, "debug"),
        (-1, "LOW", 0, "debug"),
    ],
)
def test_the_number_decides(level: int, name: str | None, number: int, entry: str) -> None:
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    handler = LogwellHandler(logger_provider=provider_with(SimpleLogRecordProcessor(kept)))
    handler.handle(record(level, name))
    [found] = kept.get_finished_logs()
    assert found.log_record.severity_number is SeverityNumber(number)
    assert entries([found])[0]["level"] == entry
    # As with LOGWELL_LEVEL set to info.
    encoded = Encoder(Mapper(), minimum_rank=1).encode([found])
    assert encoded.dropped["level"] == (entry == "debug")


LEVELS = {"httpx": "warn", "noisy": "off", "shop": "debug", "shop.payment.card": "error"}
PASS = [
    ("httpx", 20, False),
    ("httpx", 30, True),
    ("httpx._client", 20, False),
    ("httpxtra", 20, True),
    ("noisy", 50, False),
    ("noisy.too", 999, False),
    ("shop", 10, True),
    ("shop", 5, True),
    ("shop.cart", 10, True),
    ("shop.payment", 10, True),
    ("shop.payment.card", 30, False),
    ("shop.payment.card.visa", 40, True),
    ("other", 10, False),
    ("other", 20, True),
    ("root", 10, False),
]


@pytest.mark.parametrize(("name", "level", "passes"), PASS)
def test_levels_by_logger_in_the_handler(name: str, level: int, passes: bool) -> None:
    recorder = Recorder()
    handler = LogwellHandler(logging.INFO, provider_with(recorder), levels=LEVELS)
    logger = logging.Logger(name)
    logger.addHandler(handler)
    logger.log(level, "x")
    assert bool(recorder.records) is passes


@pytest.mark.parametrize(("name", "level", "passes"), PASS)
def test_levels_by_logger_of_the_exporter(name: str, level: int, passes: bool) -> None:
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    handler = LogwellHandler(logger_provider=provider_with(SimpleLogRecordProcessor(kept)))
    handler.handle(record(level, logger=name))
    encoded = Encoder(Mapper(levels=LEVELS), minimum_rank=1).encode(kept.get_finished_logs())
    assert (len(encoded.chunks), encoded.dropped["level"]) == ((1, 0) if passes else (0, 1))


@pytest.fixture
def loggers() -> Iterator[logging.Logger]:
    names = ["levels_test", "levels_test.open", "levels_test.closed"]
    found = [logging.getLogger(name) for name in names]
    found[0].propagate = False
    yield found[0]
    for logger in found:
        logger.handlers, logger.level, logger.propagate = [], logging.NOTSET, True


def test_loggers_are_opened_up_and_never_closed(loggers: logging.Logger) -> None:
    recorder = Recorder()
    levels = {"levels_test.open": "debug", "levels_test.closed": "error"}
    install_handler(loggers, provider_with(recorder), logging.WARNING, levels)
    loggers.info("no")
    loggers.warning("yes")
    logging.getLogger("levels_test.open").debug("yes, debug")
    logging.getLogger("levels_test.closed").warning("no")
    assert recorder.bodies == ["yes", "yes, debug"]
    # Another handler, a terminal's, still gets what it did.
    assert logging.getLogger("levels_test.closed").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(
    "given",
    [
        "httpx=warn,noisy=off",
        " httpx = WARNING , noisy = OFF ,",
        {"httpx": "warn", "noisy": "off"},
        {"httpx": logging.WARNING, "noisy": "off"},
    ],
)
def test_the_setting(given: Any) -> None:
    config = Config.resolve({}, endpoint="http://localhost:1", api_key=KEY, levels=given)
    assert config.levels == {"httpx": "warn", "noisy": "off"}
    if isinstance(given, str):
        environ = {"LOGWELL_LEVELS": given}
        config = Config.resolve(environ, endpoint="http://localhost:1", api_key=KEY)
        assert config.levels == {"httpx": "warn", "noisy": "off"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("httpx", "no level of debug, info, warn, error, fatal, off in part 1"),
        ("a=warn,=off", "no name of a logger in part 2"),
        ("a=loud", "in part 1"),
        ({"a": None}, "in part 1"),
        ({5: "warn"}, "no name of a logger in part 1"),
        (5, "neither a mapping nor a text"),
    ],
)
def test_a_wrong_setting(given: Any, said: str) -> None:
    with pytest.raises(LogwellError) as caught:
        Config.resolve({}, endpoint="http://localhost:1", api_key=KEY, levels=given)
    assert str(caught.value).startswith("levels (LOGWELL_LEVELS): expected logger=level,")
    assert said in str(caught.value)


PROGRAM = """\
import logging
{configure}
logging.getLogger("app").info("an info")
logging.getLogger("noisy").error("noise")
logging.getLogger("app.deep").debug("a detail")
"""
SETTINGS = {
    "LOGWELL_ROOT_LEVEL": "info",
    "LOGWELL_LEVELS": "noisy=off,app.deep=debug",
    "LOGWELL_LEVEL": "info",
}


@pytest.mark.process
def test_without_code(receiver: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(PROGRAM.format(configure=""))
    done = instrumented(
        path,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        **SETTINGS,
    )
    assert done.returncode == 0, done.stderr
    assert [entry.message for entry in receiver.entries()] == ["an info", "a detail"]


@pytest.mark.process
def test_with_configure(receiver: DevServer, tmp_path: Path) -> None:
    program = PROGRAM.format(
        configure="import logwell_otel; logwell_otel.configure(logger='app'); "
        "logging.getLogger('beside').info('x'); assert logging.getLogger().level == logging.INFO"
    )
    (tmp_path / "app.py").write_text(program)
    run("python app.py", receiver, SETTINGS, cwd=tmp_path)
    assert [entry.message for entry in receiver.entries()] == ["an info", "a detail"]
