"""structlog's events arrive whole, printed by itself or by the standard library."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("structlog")

from support.process import own_metadata, run

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.devserver import DevServer, Entry

PLACE = """
log = structlog.get_logger("shop.orders").bind(order_id=7)
structlog.contextvars.bind_contextvars(request_id="r-1")
log.info("order placed", items=["pen", "ink"], name="Ann", total=2.5)
log.warning("stock is low")
try:
    raise ValueError("card was declined")
except ValueError:
    log.exception("payment failed")
    log.error("again", exc_info=True)
with logwell_otel.log_context(user_id="u-1"):
    log.info("with context")
"""
PROCESSOR = """
import structlog, logwell_otel
from logwell_otel.integrations.structlog import LogwellProcessor
structlog.configure(processors=[
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
    LogwellProcessor(),
    structlog.processors.JSONRenderer(),
])
logwell_otel.configure()
"""
# https://www.structlog.org/en/stable/standard-library.html#rendering-using-structlog-based-formatters-within-logging
FORMATTER = """
import logging, structlog, logwell_otel
from logwell_otel.integrations.structlog import LogwellProcessor
shared = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso"),
    {more}
]
structlog.configure(
    processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
console = logging.StreamHandler()
console.setFormatter(structlog.stdlib.ProcessorFormatter(
    foreign_pre_chain=shared, processor=structlog.processors.JSONRenderer()))
logging.getLogger().addHandler(console)
logwell_otel.configure()
"""
SET_UPS = {
    "by the processor": PROCESSOR,
    "by ProcessorFormatter": FORMATTER.replace("{more}", ""),
    "by both": FORMATTER.replace("{more}", "LogwellProcessor(),"),
    "exceptions rendered": FORMATTER.replace("{more}", "structlog.processors.format_exc_info,"),
    # All parameters but one that raises before Python 3.11.
    "call sites": FORMATTER.replace(
        "{more}",
        "structlog.processors.CallsiteParameterAdder("
        "{one for one in structlog.processors.CallsiteParameter if one.name != 'QUAL_NAME'}),",
    ),
}


def stored(receiver: DevServer, tmp_path: Path, text: str) -> tuple[list[Entry], str]:
    path = tmp_path / "app.py"
    path.write_text(textwrap.dedent(text))
    run(f"python {shlex.quote(str(path))}", receiver)
    return sorted(receiver.entries(), key=lambda entry: entry.line_number or 0), str(path)


@pytest.mark.parametrize("set_up", SET_UPS.values(), ids=SET_UPS)
def test_events_arrive_whole(receiver: DevServer, tmp_path: Path, set_up: str) -> None:
    entries, path = stored(receiver, tmp_path, set_up + PLACE)
    assert [(entry.level, entry.message) for entry in entries] == [
        ("info", "order placed"),
        ("warn", "stock is low"),
        ("error", "payment failed"),
        ("error", "again"),
        ("info", "with context"),
    ]
    first = (set_up + PLACE).splitlines().index('log.warning("stock is low")')
    assert [entry.line_number for entry in entries[:2]] == [first, first + 1]
    assert {entry.source_file for entry in entries} == {path}
    assert {entry.request_id for entry in entries} == {"r-1"}
    placed, low, failed, again, within = map(own_metadata, entries)
    assert without_call_sites(placed) == {
        "order_id": 7,
        "items": ["pen", "ink"],
        "name_": "Ann",
        "total": 2.5,
        "request_id": "r-1",
    }
    assert without_call_sites(low) == {"order_id": 7, "request_id": "r-1"}
    for failure in (failed, again):
        assert "ValueError: card was declined" in failure["exception.stacktrace"]
        assert "exc_info" not in failure
    assert within["user_id"] == "u-1"


def without_call_sites(metadata: dict[str, Any]) -> dict[str, Any]:
    """Without what only structlog knows of a call."""
    return {name: value for name, value in metadata.items() if not name.startswith("qual_")}


def test_a_dictionary_as_the_message(receiver: DevServer, tmp_path: Path) -> None:
    entries, _ = stored(
        receiver,
        tmp_path,
        """
        import logging, logwell_otel
        logwell_otel.configure()
        log = logging.getLogger("shop")
        log.info({"event": "order placed", "order_id": 7, "level": "high"})
        log.info({"message": "order paid", "lineno": 3})
        log.info({"order_id": 8, 9: None})
        log.info({})
        """,
    )
    seen = [(entry.message, own_metadata(entry)) for entry in entries]
    assert seen == [
        ("order placed", {"order_id": 7, "level": "high"}),
        ("order paid", {"lineno_": 3}),
        ("{'order_id': 8, 9: None}", {"order_id": 8, "9": None}),
        ("{}", {}),
    ]
