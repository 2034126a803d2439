"""Logging is set up in any order, by anybody: every record arrives once, and is printed as ever."""

from __future__ import annotations

import re
import shlex
import textwrap
from typing import TYPE_CHECKING

import pytest

from support.process import instrumented, needs_threads_at_exit, own_metadata, run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer

DICT = """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "console %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "INFO", "handlers": ["console"]},
})
"""
FILE = '''
import io, logging.config
logging.config.fileConfig(io.StringIO("""
[loggers]
keys=root
[handlers]
keys=console
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=console
[handler_console]
class=StreamHandler
formatter=plain
[formatter_plain]
format=console %(message)s
"""), disable_existing_loggers=False)
'''
BASIC = "logging.basicConfig(level=logging.INFO, format='console %(message)s')"
FORCED = "logging.basicConfig(level=logging.INFO, format='console %(message)s', force=True)"
CELERY = f"logging.getLogger().handlers = []\n{BASIC}"  # worker_hijack_root_logger
CLEARED = f"logging.getLogger().handlers.clear()\n{BASIC}"
IMPORTED = f"from logging import basicConfig\nbasicConfig{BASIC.partition('basicConfig')[2]}"
CONSOLES = {
    "dictConfig": DICT,
    "fileConfig": FILE,
    "basicConfig": BASIC,
    "basicConfig, forced": FORCED,
    "basicConfig, imported": IMPORTED,
    "Celery": CELERY,
    "cleared": CLEARED,
}


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "app.py"
    path.write_text(f"import logging, logging.config, logging.handlers\n{textwrap.dedent(text)}")
    return path


def messages(receiver: DevServer) -> list[str]:
    return sorted(entry.message for entry in receiver.entries())


@pytest.mark.parametrize("console", CONSOLES.values(), ids=CONSOLES)
@pytest.mark.parametrize("first", ["the console", "configure()"])
def test_whoever_comes_first(receiver: DevServer, tmp_path: Path, console: str, first: str) -> None:
    configure = "import logwell_otel\npipeline = logwell_otel.configure()"
    steps = [console, configure] if first == "the console" else [configure, console]
    log = "logging.getLogger('shop.orders').info('placed')"
    path = program(tmp_path, "\n".join([*steps, log, console, "logging.info('again')"]))
    done = run(f"python {shlex.quote(str(path))}", receiver)
    assert messages(receiver) == ["again", "placed"]
    assert done.stderr.splitlines() == ["console placed", "console again"]


@needs_threads_at_exit
@pytest.mark.parametrize("console", CONSOLES.values(), ids=CONSOLES)
@pytest.mark.parametrize("configure", ["", "import logwell_otel; logwell_otel.configure()"])
def test_after_a_start_without_code(
    receiver: DevServer, tmp_path: Path, console: str, configure: str
) -> None:
    text = f"{configure}\n{console}\nlogging.getLogger('shop.orders').info('placed')"
    done = instrumented(
        program(tmp_path, text),
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
    )
    assert done.returncode == 0, done.stderr
    assert messages(receiver) == ["placed"]
    assert done.stderr.splitlines()[-1] == "console placed"


INSTRUMENT = """
from opentelemetry.instrumentation.logging import LoggingInstrumentor
LoggingInstrumentor().instrument()
"""
QUEUE = """
import queue
from logwell_otel import LogwellHandler
waiting = queue.Queue()
logging.getLogger().addHandler(logging.handlers.QueueHandler(waiting))
listener = logging.handlers.QueueListener(waiting, LogwellHandler())
listener.start()
import atexit
atexit.register(listener.stop)
"""
ON_THE_ROOT = DICT.replace("logging.StreamHandler", "logwell_otel.LogwellHandler").replace(
    ', "formatter": "plain"', ""
)
ON_A_LOGGER = """
from logwell_otel import LogwellHandler
logging.getLogger("shop").addHandler(LogwellHandler())
"""
OPENTELEMETRYS_ON_A_LOGGER = """
from opentelemetry.instrumentation.logging.handler import LoggingHandler
logging.getLogger("shop").addHandler(LoggingHandler())
"""
BESIDE = {
    "LoggingInstrumentor": INSTRUMENT,
    "QueueHandler": QUEUE,
    "LogwellHandler on the root logger": ON_THE_ROOT,
    "LogwellHandler on a logger": ON_A_LOGGER,
    "LoggingHandler on a logger": OPENTELEMETRYS_ON_A_LOGGER,
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("first", [True, False])
def test_nothing_goes_twice(receiver: DevServer, tmp_path: Path, beside: str, first: bool) -> None:
    if "opentelemetry.instrumentation" in beside:
        pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    configure = "import logwell_otel\npipeline = logwell_otel.configure()"
    steps = [beside, configure] if first else [configure, beside]
    log = """
logging.getLogger().setLevel("INFO")
for number in range(20):
    logging.getLogger("shop.orders").info("placed %d", number)
    logging.getLogger("shop.orders").info("the same")
logging.getLogger("shop").error("failed")
"""
    run(f"python {shlex.quote(str(program(tmp_path, chr(10).join([*steps, log]))))}", receiver)
    expected = [f"placed {number}" for number in range(20)] + ["the same"] * 20 + ["failed"]
    assert messages(receiver) == sorted(expected)


STRUCTLOG = """
import structlog
structlog.configure(
    processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
early = structlog.get_logger("early").bind(order=1)
"""
STRUCTLOGS = """
from opentelemetry.instrumentation.structlog import StructlogInstrumentor
StructlogInstrumentor().instrument()
"""
EVENTS = """
import structlog
log = structlog.get_logger("shop")
for number in range(3):
    log.warning("placed", order=number)
logging.getLogger("shop").warning("by logging")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""
CONFIGURE = "import logwell_otel\npipeline = logwell_otel.configure()"
ORDERS = {
    "structlog, the instrumentation, configure()": [STRUCTLOG, STRUCTLOGS, CONFIGURE],
    "structlog, configure(), the instrumentation": [STRUCTLOG, CONFIGURE, STRUCTLOGS],
    "the instrumentation, structlog, configure()": [STRUCTLOGS, STRUCTLOG, CONFIGURE],
    "the instrumentation, configure(), structlog": [STRUCTLOGS, CONFIGURE, STRUCTLOG],
    "configure(), structlog, the instrumentation": [CONFIGURE, STRUCTLOG, STRUCTLOGS],
    "configure(), the instrumentation, structlog": [CONFIGURE, STRUCTLOGS, STRUCTLOG],
}


@pytest.mark.parametrize("steps", ORDERS.values(), ids=ORDERS)
def test_opentelemetrys_instrumentation_of_structlog(
    receiver: DevServer, tmp_path: Path, steps: list[str]
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.structlog")
    run(f"python {shlex.quote(str(program(tmp_path, chr(10).join([*steps, EVENTS]))))}", receiver)
    assert messages(receiver) == ["by logging", "failed", "placed", "placed", "placed"]
    placed = [entry for entry in receiver.entries() if entry.message == "placed"]
    assert [entry.metadata["order"] for entry in placed] == [0, 1, 2]
    (failed,) = [entry for entry in receiver.entries() if entry.message == "failed"]
    assert failed.metadata["exception.type"] == "ZeroDivisionError"


PRINTED = {
    "a warning of a logger": "logging.getLogger('shop').warning('sold %s', 'out')",
    "a warning of the root logger": "logging.warning('sold out')",
    "less": "logging.getLogger('shop').info('not printed')",
    "an exception": """
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger('shop').exception('failed')
""",
    "a library's": """
logging.getLogger('library').addHandler(logging.NullHandler())
logging.getLogger('library').warning('not printed')
""",
    "a logger of its own": """
logging.getLogger('own').addHandler(logging.StreamHandler())
logging.getLogger('own').warning('once')
""",
    "what looks for a console first": """
if not logging.getLogger("library").hasHandlers():
    logging.basicConfig(level="INFO", format="console %(message)s")
logging.getLogger("library").info("printed")
""",
    "Flask": """
import flask
app = flask.Flask("web")
app.logger.warning("printed as Flask does")
app.logger.info("not printed")
app.add_url_rule("/fail", view_func=lambda: 1 / 0)
app.test_client().get("/fail")
""",
    "werkzeug": """
import threading, urllib.request
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, lambda environ, start: start("200 OK", []) and [])
threading.Thread(target=server.serve_forever, daemon=True).start()
server.log_startup()
urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").read()
server.shutdown()
""",
}


@pytest.mark.parametrize("text", PRINTED.values(), ids=PRINTED)
@pytest.mark.parametrize("target", ["", "logger='shop'"])
def test_the_console_prints_what_it_printed_before(
    receiver: DevServer, tmp_path: Path, text: str, target: str
) -> None:
    for library in ("flask", "werkzeug"):
        if library in text:
            pytest.importorskip(library)
    alone = run(f"python {shlex.quote(str(program(tmp_path, text)))}", receiver)
    configure = f"import logwell_otel\nlogwell_otel.configure({target})\n"
    ours = run(f"python {shlex.quote(str(program(tmp_path, configure + text)))}", receiver)
    assert without_numbers(ours.stderr) == without_numbers(alone.stderr)


def without_numbers(text: str) -> str:
    """Without lines, times and ports."""
    return re.sub(r"\d+", "0", text)


def test_basic_config_after_configure(receiver: DevServer, tmp_path: Path) -> None:
    done = run(
        "python "
        + shlex.quote(
            str(
                program(
                    tmp_path,
                    """
                    import logwell_otel
                    logwell_otel.configure()
                    logging.getLogger("shop").warning("first")
                    logging.basicConfig(format="console %(message)s")
                    logging.getLogger("shop").warning("second")
                    """,
                )
            )
        ),
        receiver,
    )
    assert done.stderr.splitlines() == ["first", "console second"]
    assert messages(receiver) == ["first", "second"]


NAMED = """
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "loggers": {"shop": {"handlers": ["null"]}},
})
"""
CUT_OFF = {"root": "logging.getLogger().propagate = False", "shop": NAMED}


@pytest.mark.parametrize("name", CUT_OFF)
def test_a_handler_that_is_gone_all_the_same_is_put_back_and_said_once(
    receiver: DevServer, tmp_path: Path, name: str
) -> None:
    text = f"""
import logwell_otel
pipeline = logwell_otel.configure(logger={name!r} if {name!r} != "root" else None)
{CUT_OFF[name]}
logging.getLogger("shop").warning("lost")
pipeline.health()
logging.getLogger("shop").warning("sent")
{CUT_OFF[name]}
"""
    done = run(f"python {shlex.quote(str(program(tmp_path, text)))}", receiver)
    assert messages(receiver) == ["sent"]
    said = f"Something has cut our handler off from the logger {name!r} since configure()"
    assert done.stderr.count(said) == 1


PROVIDERS = """
import logging
from opentelemetry._logs import get_logger, set_logger_provider
from opentelemetry._logs import LoggerProvider as Api, NoOpLogger
from opentelemetry.sdk._logs import LoggerProvider

class Takes(Api):  # as logfire's: stands in front of one of the SDK's
    def __init__(self): self.provider = LoggerProvider()
    def get_logger(self, *args, **kwargs): return self.provider.get_logger(*args, **kwargs)
    def __getattr__(self, name): return getattr(self.provider, name)

class TakesNone(Api):
    def get_logger(self, name, *args, **kwargs): return NoOpLogger(name)

import logwell_otel
"""
OVERRIDING = "Overriding of current LoggerProvider is not allowed"
LOG = """
logging.warning("by logging")
get_logger("api").emit(body="by the API")
"""


@pytest.mark.parametrize(
    ("theirs", "first", "arrives", "said"),
    [
        ("LoggerProvider()", True, ["by logging", "by the API"], ""),
        ("Takes()", True, ["by logging", "by the API"], ""),
        ("TakesNone()", True, ["by logging"], "(__main__.TakesNone) takes no processors"),
        # OpenTelemetry's own words, to whoever comes second.
        ("LoggerProvider()", False, [OVERRIDING, "by logging", "by the API"], OVERRIDING),
    ],
)
def test_a_provider_of_another_package(
    receiver: DevServer, tmp_path: Path, *, theirs: str, first: bool, arrives: list[str], said: str
) -> None:
    steps = [f"set_logger_provider({theirs})", "logwell_otel.configure()"]
    text = "\n".join([PROVIDERS, *(steps if first else reversed(steps)), LOG])
    done = run(f"python {shlex.quote(str(program(tmp_path, text)))}", receiver)
    assert messages(receiver) == arrives
    assert said in done.stderr
    assert ("Overriding" in done.stderr) is not first


FACTORY = """
def with_tenant(*args, **kwargs):
    record = logging.LogRecord(*args, **kwargs)
    record.tenant = record.name.split(".")[0]
    return record
logging.setLogRecordFactory(with_tenant)
"""


@pytest.mark.parametrize("first", ["the factory", "configure()"])
def test_what_a_record_factory_adds(receiver: DevServer, tmp_path: Path, first: str) -> None:
    """Also of one that was there before this package was imported, and that wants a name."""
    configure = "import logwell_otel; logwell_otel.configure()"
    steps = [FACTORY, configure] if first == "the factory" else [configure, FACTORY]
    log = """
logging.getLogger("shop.orders").info("placed")
logging.getLogger("shop.orders").info({"event": "paid", "amount": 7})
"""
    path = program(tmp_path, "\n".join([*steps, log]))
    done = run(f"python {shlex.quote(str(path))}", receiver)
    assert done.stderr == ""
    found = {entry.message: own_metadata(entry) for entry in receiver.entries()}
    assert found == {"placed": {"tenant": "shop"}, "paid": {"tenant": "shop", "amount": 7}}


@pytest.mark.parametrize("first", [True, False])
def test_opentelemetrys_fields_for_consoles_stay_out(
    receiver: DevServer, tmp_path: Path, first: bool
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging")
    instrument = INSTRUMENT.replace("instrument()", "instrument(set_logging_format=True)")
    configure = "import logwell_otel; logwell_otel.configure()"
    log = """
from opentelemetry.sdk.trace import TracerProvider
with TracerProvider().get_tracer("t").start_as_current_span("s"):
    logging.info("first")
    logging.info("inside", extra={"order_id": 7})
logging.info("outside")
"""
    steps = [instrument, configure] if first else [configure, instrument]
    path = program(tmp_path, "\n".join([*steps, log]))
    done = run(f"python {shlex.quote(str(path))}", receiver)
    assert "span_id=0 resource.service.name" in done.stderr  # the console has them
    found = {entry.message: own_metadata(entry) for entry in receiver.entries()}
    ids = {"trace_id", "span_id", "trace_flags"}
    assert {name: set(metadata) for name, metadata in found.items()} == {
        "first": ids,
        "inside": ids | {"order_id"},
        "outside": set(),
    }


BEHIND_A_QUEUE = """
import queue, logwell_otel
pipeline = logwell_otel.configure()
waiting = queue.Queue()
logging.getLogger().addHandler(logging.handlers.QueueHandler(waiting))
listener = logging.handlers.QueueListener(waiting, *pipeline.handlers)
listener.start()
for number in range(3):
    logging.warning("%d", number)
try:
    raise ValueError("failed")
except ValueError:
    logging.exception("failed")
listener.stop()
"""


def test_the_handler_that_configure_made_behind_a_queue_as_well(
    receiver: DevServer, tmp_path: Path
) -> None:
    path = program(tmp_path, BEHIND_A_QUEUE)
    run(f"python {shlex.quote(str(path))}", receiver)
    assert messages(receiver) == ["0", "1", "2", "failed"]
