"""OpenTelemetry's private and unstable names that the package uses: here they still are.

The logs signal lives in modules that begin with an underscore, so a new OpenTelemetry may
move it. Whoever tries one reads here which name it was, and not an ImportError from the
middle of an application's start. Nothing of the package is imported for that: it would
fail first.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "logwell_otel"
OTEL = f"opentelemetry-sdk {version('opentelemetry-sdk')}"


# Every node of the files that name OpenTelemetry at all, by file.
NODES = {
    str(file.relative_to(SOURCE)): list(ast.walk(ast.parse(text)))
    for file in sorted(SOURCE.rglob("*.py"))
    if re.search(r"^ *from opentelemetry\b", text := file.read_text(encoding="utf-8"), re.MULTILINE)
}


def imports(nodes: list[ast.AST]) -> Iterator[tuple[str, ast.alias]]:
    """What is imported from a module of OpenTelemetry's."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opentelemetry"):
            for alias in node.names:
                yield node.module or "", alias


def imported_names() -> Iterator[tuple[str, str, str]]:
    """File, module and name of everything unstable that is imported anywhere."""
    for file, nodes in NODES.items():
        for module, alias in imports(nodes):
            if "._" in f".{module}.{alias.name}":
                yield file, module, alias.name


NAMES = sorted(set(imported_names()))


def need(module: str, name: str, used_in: str) -> Any:
    """The object, or a failure that says what moved and where it is used."""
    try:
        with warnings.catch_warnings():
            # The oldest SDK warns of its own names when it is imported.
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        pytest.fail(
            f"{OTEL} has no {module}.{name} any more, which {used_in} imports. Look for its new "
            "place in OpenTelemetry's changelog and change the import; if only one of the "
            "supported versions has it there, import it from both places in _otel.py."
        )


@pytest.mark.parametrize(("file", "module", "name"), NAMES, ids=str)
def test_imported(file: str, module: str, name: str) -> None:
    need(module, name, used_in=file)


def test_the_names_are_found_at_all() -> None:
    found = {name for file, _, name in NAMES if file == "_otel.py"}
    assert {"LogRecord", "ReadableLogRecord", "_SUPPRESS_INSTRUMENTATION_KEY"} <= found


def keywords() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """File, module and name of everything of OpenTelemetry's that is called, with its keywords."""
    for file, nodes in NODES.items():
        imported = {
            alias.asname or alias.name: (module, alias.name) for module, alias in imports(nodes)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = tuple(sorted(word.arg for word in node.keywords if word.arg is not None))
                if node.func.id in imported and names:
                    yield file, *imported[node.func.id], names


KEYWORDS = sorted(set(keywords()))


@pytest.mark.parametrize(("file", "module", "name", "given"), KEYWORDS, ids=str)
def test_parameters(file: str, module: str, name: str, given: tuple[str, ...]) -> None:
    called = need(module, name, used_in=file)
    taken = inspect.signature(called).parameters
    missing = [word for word in given if word not in taken]
    assert not missing, f"{OTEL}: {module}.{name} takes no {missing} any more; see {file}"
    assert deprecated_parameters(called).isdisjoint(given), (
        f"{OTEL}: of {given}, {module}.{name} will not take all any more; see {file}"
    )


def deprecated_parameters(called: Any) -> set[str]:
    """Parameters that only deprecated overloads have."""
    overloads: Any = getattr(typing, "get_overloads", None)  # from Python 3.11 on
    function = getattr(called, "__init__") if isinstance(called, type) else called  # noqa: B009
    known = overloads(function) if overloads else []
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for one in known:
        names[hasattr(one, "__deprecated__")].update(inspect.signature(one).parameters)
    return names[True] - names[False]


def test_the_parameters_are_found_at_all() -> None:
    found = {(name, given) for _, _, name, given in KEYWORDS}
    assert ("BoundedAttributes", ("attributes", "immutable")) in found
    assert ("get_logger", ("logger_provider",)) in found


def test_attributes_of_every_kind_are_kept_without_a_deprecated_argument(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    otel = importlib.import_module("logwell_otel._otel")
    values = {"a": {"b": [{"c": None}]}, "d": b"x", "e": None}
    bounded = otel.bounded_attributes(values, 3)
    assert (dict(bounded), bounded.dropped) == (
        {"a": {"b": ({"c": None},)}, "d": b"x", "e": None},
        3,
    )
    kind = need("opentelemetry.attributes", "BoundedAttributes", used_in="_otel.py")
    used = set(otel._OF_EVERY_KIND)  # noqa: SLF001 - as it is passed
    assert deprecated_parameters(kind).isdisjoint(used)
    assert (recwarn.list, caplog.records) == ([], [])


FIELDS = {
    ("opentelemetry._logs", "LogRecord"): [
        "timestamp",
        "observed_timestamp",
        "trace_id",
        "span_id",
        "trace_flags",
        "severity_text",
        "severity_number",
        "body",
        "attributes",
        "event_name",
        "context",
    ],
    ("opentelemetry.sdk._logs", "ReadableLogRecord"): [
        "log_record",
        "resource",
        "instrumentation_scope",
    ],
    ("opentelemetry.sdk.util.instrumentation", "InstrumentationScope"): [
        "name",
        "version",
        "attributes",
    ],
    ("opentelemetry.attributes", "BoundedAttributes"): ["copy", "dropped"],
}


def instance(module: str, name: str) -> Any:
    kind = need(module, name, used_in="mapping.py")
    if name == "ReadableLogRecord":
        return kind(instance("opentelemetry._logs", "LogRecord"), None, None)
    return kind("scope") if name == "InstrumentationScope" else kind()


@pytest.mark.parametrize(("module", "name"), FIELDS)
def test_fields_that_the_mapping_reads(module: str, name: str) -> None:
    thing = instance(module, name)
    missing = [field for field in FIELDS[module, name] if not hasattr(thing, field)]
    assert not missing, f"{OTEL}: {module}.{name} has no {missing} any more; see mapping.py"


def test_attributes_are_copied_in_one_step() -> None:
    """Entries are changed, records are not; and values are what the SDK cleaned them to."""
    kind = need("opentelemetry.attributes", "BoundedAttributes", used_in="mapping.py")
    attributes = kind(attributes={"a": [1, 2]}, immutable=False)
    copied = attributes.copy()
    assert type(copied) is dict, f"{OTEL}: BoundedAttributes.copy() gives {type(copied)}"
    copied["c"] = 1
    assert dict(attributes) == {"a": (1, 2)}


def test_records_reach_an_exporter_with_the_sdks_own_attributes() -> None:
    """Others are taken too, but by a slower way."""
    logs = need("opentelemetry.sdk._logs", "LoggerProvider", used_in="otel.py")
    export = importlib.import_module("opentelemetry.sdk._logs.export")
    kept = export.InMemoryLogRecordExporter()
    provider = logs(shutdown_on_exit=False)
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(kept))
    log = need("opentelemetry._logs", "LogRecord", used_in="otel.py")
    provider.get_logger("x").emit(log(body="x", attributes={"a": 1}))
    [record] = kept.get_finished_logs()
    bounded = need("opentelemetry.attributes", "BoundedAttributes", used_in="mapping.py")
    assert type(record.log_record.attributes) is bounded, f"{OTEL}: other attributes than before"


def test_severity_numbers() -> None:
    numbers = need("opentelemetry._logs", "SeverityNumber", used_in="severity.py")
    found = {member.name: member.value for member in numbers}
    assert found["UNSPECIFIED"] == 0
    plain = [found[name] for name in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")]
    assert plain == [5, 9, 13, 17, 21], f"{OTEL}: severity numbers are {found}"


def test_the_exporters_interface() -> None:
    """Its methods are what the processor calls; `timeout_millis` is looked for by name."""
    kind = need("opentelemetry.sdk._logs.export", "LogRecordExporter", used_in="exporter.py")
    assert kind.__abstractmethods__ <= {"export", "shutdown", "force_flush"}, (
        f"{OTEL}: exporters need {sorted(kind.__abstractmethods__)}"
    )
    processor = need("opentelemetry.sdk._shared_internal", "BatchProcessor", used_in="processor.py")
    source = inspect.getsource(processor.shutdown)
    assert '"timeout_millis" in' in source or "timeout_millis=" in source, (
        f"{OTEL}: the batch processor does not pass timeout_millis to shutdown any more"
    )
    results = need("opentelemetry.sdk._logs.export", "LogRecordExportResult", used_in="exporter.py")
    assert {member.name for member in results} == {"SUCCESS", "FAILURE"}
