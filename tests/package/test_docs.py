"""The documentation: its programs run, its links lead somewhere, its words are the code's.

A Python block is a program of its own where the line before it says so:
`<!-- runs: stores 2 -->`, with the number of entries that the stand-in server must have
then, and `; prints TEXT` where the output matters. A shell block may say so as well.
`<!-- app: NAME -->` is a part that a test here puts to use. Every other Python block must
at least be Python.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

import pytest

import logwell_otel
from logwell_otel import Health, LogwellErrorCode
from logwell_otel._config.settings import variable_of
from logwell_otel._delivery.response import outcome_of
from logwell_otel._delivery.status import SPOOL_LOSSES, UNAVOIDED
from logwell_otel._http import Answer, NoAnswer
from logwell_otel._wire import MAX_ENTRIES
from logwell_otel.devserver import DevServer
from support.config import resolve
from support.process import PATIENCE, instrumented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from logwell_otel.devserver import Entry

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "logwell_otel"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = (
    "getting-started",
    "health-and-metrics",
    "moving-from-logwell-sdk",
    "moving-from-other-clients",
    "platforms",
    "sizing",
    "troubleshooting",
)
OURSELVES = "https://github.com/logwell-otel/logwell-otel"
KEY = "lw_" + "x" * 32

_FENCE = re.compile(
    r"^(?:[ ]*<!-- (?P<mark>(?:runs|app): [^\n]*) -->\n)?"
    r"(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_NEEDS = re.compile(r"(?<![\w.])(?:fastapi|flask)(?!\w)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("body")) + 1
        body = textwrap.dedent(match["body"])
        yield Block(page.name, line, match["language"], match["mark"] or "", body)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PROGRAMS = [block for block in BLOCKS if block.mark.startswith("runs:")]
APPS = {block.mark.split()[1]: block for block in BLOCKS if block.mark.startswith("app:")}
# What runs a block of a language, before the file's name.
RUNNERS = {"python": [sys.executable, "-W", "error"], "sh": ["sh", "-eu"]}


def page_text(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


# The programs.


def run(
    program: str,
    receiver: DevServer,
    tmp_path: Path,
    *,
    language: str = "python",
    status: int = 0,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run a program as its reader would; returns what it printed."""
    for framework in sorted(set(_NEEDS.findall(program))):
        pytest.importorskip(framework)
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    result = subprocess.run(
        [*RUNNERS[language], str(path)],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LOGWELL_ENDPOINT": receiver.url,
            "LOGWELL_API_KEY": receiver.key,
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout


class Ran(NamedTuple):
    """What became of a program."""

    output: str
    entries: list[Entry]
    file: str
    rows: list[dict[str, Any]]
    """The entries as Logwell's API shows them."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Block], Ran]:
    """Runs a program, each once."""

    @functools.cache
    def once(block: Block) -> Ran:
        directory = tmp_path_factory.mktemp("program")
        with DevServer() as receiver:
            output = run(block.text, receiver, directory, language=block.language)
            with urlopen(f"{receiver.url}/api/logs", timeout=PATIENCE) as answer:
                rows = json.load(answer)["logs"]
            return Ran(output, receiver.entries(), str(directory / "program.py"), rows)

    return once


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_a_program_stores_what_its_page_says(block: Block, ran: Callable[[Block], Ran]) -> None:
    match = re.fullmatch(r"runs: stores (\d+)(?:; prints (.+))?", block.mark)
    assert match, f"{block}: {block.mark!r} is no mark"
    found = ran(block)
    assert len(found.entries) == int(match[1]), [entry.message for entry in found.entries]
    assert (match[2] or "") in found.output


def test_there_are_programs_on_every_page_that_should_have_some() -> None:
    assert len(PROGRAMS) >= 10
    assert {block.page for block in PROGRAMS} >= {
        "README.md",
        "getting-started.md",
        "health-and-metrics.md",
        "moving-from-logwell-sdk.md",
        "moving-from-other-clients.md",
        "sizing.md",
    }


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_every_python_block_is_python(block: Block) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(block.text, str(block), "exec", flags=flags)


def program_with(text: str) -> Block:
    (block,) = (block for block in PROGRAMS if text in block.text)
    return block


def test_the_first_program_stores_what_getting_started_says(ran: Callable[[Block], Ran]) -> None:
    found = ran(program_with("payment provider did not answer"))
    first, second = found.entries
    assert (first.level, first.message, first.service) == ("info", "order 17 placed", "shop")
    assert (first.user_id, first.source_file) == ("u-42", found.file)
    assert (second.level, second.message) == ("error", "payment failed")
    assert second.metadata is not None
    assert "payment provider did not answer" in second.metadata["exception.stacktrace"]


def test_an_entry_inside_a_span_carries_the_trace_id(ran: Callable[[Block], Ran]) -> None:
    found = ran(program_with("TracerProvider"))
    (entry,) = found.entries
    assert entry.metadata is not None
    assert found.output == f"search Logwell for {entry.metadata['trace_id']}\n"


def test_moving_keeps_service_request_id_and_columns(ran: Callable[[Block], Ran]) -> None:
    signed_in, late = ran(program_with("Invoice is late")).entries
    assert signed_in.user_id == "123"
    assert (late.level, late.service, late.request_id) == ("warn", "billing", "r-1")


def test_moving_keeps_names_that_python_uses_itself(ran: Callable[[Block], Ran]) -> None:
    found = ran(program_with('"name": "Ada"'))
    assert "Attempt to overwrite" in found.output
    assert (found.entries[0].metadata or {}).items() >= {"name": "Ada", "module": "billing"}.items()


def test_moving_keeps_time_and_source_location(ran: Callable[[Block], Ran]) -> None:
    (entry,) = ran(program_with("disk is nearly full")).entries
    assert (entry.timestamp, entry.service) == ("2026-01-31T12:00:00.000Z", "legacy")
    assert (entry.level, entry.source_file, entry.line_number) == ("warn", "old/monitor.py", 40)


def test_log_exception_names_its_caller(ran: Callable[[Block], Ran]) -> None:
    block = program_with("def log_exception")
    first, second = ran(block).entries
    assert (first.level, first.message) == ("error", "Failed to process order")
    assert (second.level, second.message) == ("error", "'order'")
    lines = block.text.splitlines()
    for entry in (first, second):
        assert entry.metadata is not None
        assert entry.metadata["exception.type"] == "KeyError"
        assert entry.line_number is not None
        assert "log_exception(" in lines[entry.line_number - 1]


# The front page and the configuration file.


def test_the_entry_of_the_front_page_is_what_its_program_stores(
    ran: Callable[[Block], Ran],
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.logging.handler")  # not for 1.39
    program = next(block for block in PYTHON if block.page == "README.md")
    found = ran(program)
    (row,) = found.rows
    shown = json.loads(APPS["first-entry"].text)
    assert row["sourceFile"] == found.file
    # What differs from run to run has the same form.
    for entry in (row, shown):
        entry["timestamp"] = re.sub(r"\d", "0", entry["timestamp"])
        entry["sourceFile"] = Path(entry["sourceFile"]).suffix
        uuid.UUID(entry["metadata"]["resource"].pop("service.instance.id"))
    assert shown == {name: value for name, value in row.items() if value is not None}


def test_the_front_page_is_short_and_can_be_read_anywhere() -> None:
    """On the package index, relative links lead nowhere."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 700
    assert all(link.startswith("https://") for link in re.findall(r"\]\(([^()\s]+)\)", text))
    first = next(blocks_of(ROOT / "README.md"))
    assert first.text.startswith("pip install logwell-otel\n")


def test_the_configuration_file_of_its_page(receiver: DevServer, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.configuration")
    app, file = tmp_path / "app.py", tmp_path / "otel.yaml"
    app.write_text('import logging\nlogging.warning("stock is low")\n', encoding="utf-8")
    file.write_text(APPS["configuration-file"].text, encoding="utf-8")
    variables = {"LOGWELL_ENDPOINT": receiver.url, "LOGWELL_API_KEY": receiver.key}
    done = instrumented(app, OTEL_CONFIG_FILE=str(file), **variables)
    assert done.returncode == 0, done.stderr
    (entry,) = receiver.entries()
    assert (entry.level, entry.message, entry.service) == ("warn", "stock is low", "shop")


# Readers.


@pytest.mark.parametrize("name", ["reader", "async-reader"])
def test_the_programs_of_the_page_on_reading(
    name: str, receiver: DevServer, tmp_path: Path
) -> None:
    log = """
import logging, logwell_otel
logwell_otel.configure(service="shop")
logging.error("payment failed", extra={"order": 17})
"""
    run(log, receiver, tmp_path)
    program = APPS[name].text
    for shown, known in {
        '"https://logs.example.com"': repr(receiver.url),
        '"ann", "a password"': f"{receiver.username!r}, {receiver.password!r}",
        'project="shop"': 'project="development"',
    }.items():
        program = program.replace(shown, known)
    if name == "reader":
        program += "        break\n"  # it ends with a tail, which does not end
    said = run(program, receiver, tmp_path, variables={"HOME": str(tmp_path)}).splitlines()
    assert "{'error': 1}" in said
    assert sum("payment failed" in line for line in said) == (3 if name == "reader" else 1)


# The health endpoint.

ASK = {
    "fastapi": """
import asyncio, httpx
async def ask():
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.get("/health/logs")
answer = asyncio.run(ask())
status, body = answer.status_code, answer.text
""",
    "flask": """
answer = app.test_client().get("/health/logs")
status, body = answer.status_code, answer.text
""",
}
LOG_AND_PRINT = """
import logging
logging.info("logged")
pipeline.force_flush({timeout})
{ask}
print(status)
print(body)
"""


def asked(
    framework: str, receiver: DevServer, tmp_path: Path, *, timeout: int, **variables: str
) -> dict[str, Any]:
    program = APPS[framework].text + LOG_AND_PRINT.format(timeout=timeout, ask=ASK[framework])
    status, body = run(program, receiver, tmp_path, variables=variables).split("\n", 1)
    assert status == "200"
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_health_endpoint_when_all_is_well(
    framework: str, receiver: DevServer, tmp_path: Path
) -> None:
    body = asked(framework, receiver, tmp_path, timeout=10_000)
    assert (body["status"], body["reasons"], body["accepted"], body["dropped"]) == (
        "healthy",
        [],
        1,
        {},
    )


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_health_endpoint_when_the_key_is_refused(
    framework: str, receiver: DevServer, tmp_path: Path
) -> None:
    body = asked(framework, receiver, tmp_path, timeout=3_000, LOGWELL_API_KEY=KEY)
    assert (body["status"], body["accepted"]) == ("unhealthy", 0)
    assert body["held"] >= 1
    assert "refuses the API key" in body["reasons"][0]
    assert KEY not in str(body)


# Health and metrics: nothing of the code is missing on the page, nothing more is on it.


def test_every_field_of_health_has_its_line() -> None:
    table = page_text("health-and-metrics").split("### The status")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    fields = {field.name for field in dataclasses.fields(Health)}
    assert named == fields | {"is_healthy", "dropped_total"}


def test_every_reason_for_dropping_has_its_line() -> None:
    section = page_text("health-and-metrics").split("### Why entries were dropped")[1]
    section = section.split("## A health endpoint")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    stages = (SOURCE / "_encoding" / "stages.py").read_text(encoding="utf-8")
    chosen = set(re.findall(r'DroppedRecord\("(\w+)"', stages)) | {"level"}
    failed = {f"{stage}_error" for stage in re.findall(r'_failed\("(\w+)"', stages)}
    assert len(chosen) == 3
    assert len(failed) == 3
    store = (SOURCE / "_buffer" / "spool" / "store.py").read_text(encoding="utf-8")
    spool = set(re.findall(r'"(spool_\w+)"', store))
    assert len(spool) == 4
    others = {"shutdown", "interrupted", "recursive", "spool_gone"}
    assert named == UNAVOIDED | spool | chosen | failed | others


METRICS_PROGRAM = """
import json, logging
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import logwell_otel

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
pipeline = logwell_otel.configure(max_queue_bytes=1 << 20)
logging.info("stored")
pipeline.force_flush()
found = {}
data = reader.get_metrics_data()
for resource in data.resource_metrics if data else ():
    for scope in resource.scope_metrics:
        if scope.scope.name == "logwell_otel":
            for metric in scope.metrics:
                points = [dict(point.attributes) for point in metric.data.data_points]
                found[metric.name] = [metric.unit, points]
print(json.dumps(found))
"""


def test_the_metrics_are_those_of_the_page(receiver: DevServer, tmp_path: Path) -> None:
    variable = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
    page = page_text("health-and-metrics").split("## Metrics")[1].split("## Warnings")[0]
    assert f"`{variable}`" in page
    assert json.loads(run(METRICS_PROGRAM, receiver, tmp_path)) == {}
    switched_on = run(METRICS_PROGRAM, receiver, tmp_path, variables={variable: "true"})
    found = json.loads(switched_on)

    listed = re.findall(r"^\| `(otel\.sdk\.exporter\.\S+)` \| ([^|]+) \|", page, re.MULTILINE)
    assert {name for name, _ in listed} == set(found)
    for name, kind in listed:
        unit, points = found[name]
        assert unit in kind
        for attribute in points[0]:
            assert f"`{attribute}`" in page
        assert points[0]["otel.component.name"].startswith("logwell_http_log_exporter/")


# Words.


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """Targets and fragments of internal links; code is no prose."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]+`", "", prose)):
        target = re.sub(f"^{OURSELVES}/blob/main", os.path.relpath(ROOT, page.parent), link)
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = target.partition("#")
            yield path, fragment


def anchors_of(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_internal_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, fragment in links_of(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {path}"
        assert ROOT in [target, *target.parents], f"{page.name} links out of the project: {path}"
        if fragment:
            assert fragment in anchors_of(target), f"{page.name} links to {path}#{fragment}"


def test_the_index_has_every_page() -> None:
    listed = {path for path, _ in links_of(ROOT / "docs" / "README.md")}
    pages = {page.name for page in PAGES if page.parent == ROOT / "docs"}
    assert pages - {"README.md", "index.md"} <= listed


def test_the_reference_has_every_public_name() -> None:
    """Packages beside it are there whole, by their `__all__`."""
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", page_text("reference"), re.MULTILINE)
    assert sorted([*listed, "__version__"]) == sorted(logwell_otel.__all__)


def string_constants() -> Iterator[str]:
    """Every text in the source, with `…` where a value is put in."""
    for path in sorted(SOURCE.rglob("*.py")):
        inside: set[ast.AST] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                inside.update(node.values)
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif node not in inside and isinstance(node, ast.Constant):
                yield str(node.value)


def error_messages() -> Iterator[str]:
    """What the error table makes of every kind of answer: it puts its sentences together."""
    page = {"content-type": "text/html"}
    refusal = b'{"error":"validation_error","message":"x"}'
    answers: list[Answer | NoAnswer] = [
        NoAnswer("ConnectError: refused"),
        NoAnswer("CERTIFICATE_VERIFY_FAILED"),
        NoAnswer("ImportError: no such module", "process"),
        NoAnswer("TypeError: not callable", "defect"),
    ]
    answers += [Answer(status, page, b"<html>") for status in (200, *range(300, 308))]
    answers += [Answer(status, page, b"<html>") for status in range(400, 505)]
    answers += [Answer(status, {}, refusal) for status in (400, 401, 403, 413, 415, 429)]
    answers.append(Answer(400, {}, b'{"error":"batch_too_large","message":"x"}'))
    for answer in answers:
        error = outcome_of(answer).error
        assert error is not None
        yield error.message


TEXTS = [*string_constants(), *error_messages()]


def is_printed(message: str) -> bool:
    """Whether the parts of `message` between its `…` stand, in order, in one text of the code."""
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip(" .")]
    assert sum(map(len, parts)) >= 10, f"too little to look for: {message}"
    pattern = re.compile(".*?".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in TEXTS)


MESSAGES = [
    block for block in BLOCKS if block.page == "troubleshooting.md" and block.language == "text"
]


@pytest.mark.parametrize("block", MESSAGES, ids=str)
def test_a_quoted_warning_is_one_that_is_printed(block: Block) -> None:
    message = block.text.strip()
    assert "\n" not in message
    assert is_printed(message)


def test_the_spools_losses_are_explained() -> None:
    page = " ".join(page_text("troubleshooting").split())
    for why in SPOOL_LOSSES.values():
        assert f"`{why}`" in page


def test_looking_for_a_warning_can_fail() -> None:
    assert len(MESSAGES) >= 20
    assert not is_printed("The server refuses the API key, … and that is that.")
    assert not is_printed("Entries are held. The server redirects to …")


def variables_in_source() -> set[str]:
    """LOGWELL_* names: those of settings that have a variable, and what is written out."""
    written = {name for text in TEXTS for name in re.findall(r"LOGWELL_[A-Z_]+[A-Z]", text)}
    return written | {variable_of(name) for name in resolve().origins}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_logwell_variable_exists(page: Path) -> None:
    named = set(re.findall(r"\bLOGWELL_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= variables_in_source()


@pytest.mark.parametrize("name", OURS)
def test_every_source_file_that_is_named_exists(name: str) -> None:
    text = re.sub(r"https?://\S+", "", page_text(name))
    theirs = {"neurallog.py", "queue.py", "transport.py"}
    for path in re.findall(r"`([\w/]+\.py)`", text):
        known = (SOURCE / path).exists() or (ROOT / path).exists()
        foreign = name.startswith("moving-") and (
            Path(path).name in theirs or path.startswith(("ledger/", "neurallog_sdk/", "adapters/"))
        )
        assert known or foreign or path.startswith("sdk/"), f"{name}.md names {path}"


def test_the_error_codes_are_as_many_as_the_page_says() -> None:
    assert len(LogwellErrorCode) == 7 + 2  # EXPIRED and INTERNAL_ERROR are ours alone
    assert "the seven codes" in page_text("moving-from-logwell-sdk")


def test_the_pythons_of_the_page_are_those_of_the_matrix() -> None:
    matrix = re.search(r"PYTHONS = \[(.*?)\]", (ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert matrix
    versions = re.findall(r"3\.\d+", matrix[1])
    section = page_text("platforms").split("## Python")[1].split("## OpenTelemetry")[0]
    assert f"{', '.join(versions[:-1])} and {versions[-1]}," in section
    # The package claims those that the tests have been seen to pass on.
    seen = [version for version in versions if f"{version} was added last" not in section]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert seen == re.findall(r":: Python :: (3\.\d+)", project)


def test_the_collector_configuration_keeps_to_the_servers_limits() -> None:
    yaml = pytest.importorskip("yaml")
    (block,) = (b for b in BLOCKS if b.page == "sizing.md" and b.language == "yaml")
    config = yaml.safe_load(block.text)
    exporter = config["exporters"]["otlp_http"]
    assert (exporter["encoding"], exporter["compression"]) == ("json", "none")
    queue = exporter["sending_queue"]
    # Without it, `queue_size` counts batches, and so would `batch` count bytes or nothing.
    assert queue["sizer"] == "items"
    assert queue["batch"]["min_size"] == queue["batch"]["max_size"] == MAX_ENTRIES
    assert queue["num_consumers"] == 1
    pipeline = config["service"]["pipelines"]["logs"]
    assert set(pipeline["receivers"]) <= set(config["receivers"])
    assert set(pipeline["exporters"]) <= set(config["exporters"])
