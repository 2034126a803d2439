"""`sampling_policy` at work: a file that changes, a policy server, zero-code, and the end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.sampling import signature
from support.bench import Bench
from support.config import KEY
from support.policy import POLICY, PolicyStandIn
from support.process import instrumented, needs_threads_at_exit
from support.records import record, records

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel import LogEntry, LogwellLogExporter
    from logwell_otel.devserver import DevServer
    from logwell_otel.sampling import Sampler
    from logwell_otel.sampling.policy_file import PolicyFile
    from logwell_otel.sampling.policy_server import PolicyServer


def source_of(exporter: LogwellLogExporter) -> Any:
    return exporter._stages._end_sampler.__self__._source  # type: ignore[union-attr]  # noqa: SLF001


def rate_of(bench: Bench, message: str = "message 1") -> float:
    sampler: Sampler = bench.exporter._stages._end_sampler.__self__  # type: ignore[union-attr]  # noqa: SLF001
    assert sampler is not None
    sampler._judge("info", message, 1)  # noqa: SLF001 - starts no thread; the first is kept anyway
    return sampler._rules.rate("info", message, signature(message))  # noqa: SLF001


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_file_that_changes_while_the_program_runs(tmp_path: Path) -> None:
    path = tmp_path / "sampling.json"
    path.write_text('{"rates": {"info": 0.0}}')
    bench = Bench(sampling_policy=str(path))
    bench.exporter.export(records(100))
    assert bench.exporter.health().dropped == {"sampled": 99}
    path.with_suffix(".new").write_text('{"rates": {"info": 1}, "anomaly_boost": 2}')
    path.with_suffix(".new").replace(path)
    file: PolicyFile = source_of(bench.exporter)
    file.tick()
    bench.exporter.export(records(100, first=100))
    bench.run()
    assert len(bench.server.stored) == 101
    bench.exporter.shutdown()
    assert not any(thread.name == "LogwellPolicyFile" for thread in threading.enumerate())


def test_a_file_that_is_not_there_is_said_and_the_settings_rates_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(sampling_policy=tmp_path / "later.json", sample_rates={"info": 0.25})
    assert "later.json cannot be read: No such file or directory" in caplog.text
    assert rate_of(bench) == 0.25
    (tmp_path / "later.json").write_text('{"rates": {"info": 0.5}}')
    source_of(bench.exporter).tick()
    assert rate_of(bench) == 0.5


def test_a_policy_that_is_switched_off_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sampling.json"
    path.write_text('{"rates": {"info": 0.0}}')
    monkeypatch.setenv("LOGWELL_SAMPLING_POLICY", str(path))
    monkeypatch.setenv("LOGWELL_SAMPLING", "off")
    bench = Bench()
    bench.exporter.export(records(100))
    assert bench.exporter.health().dropped == {}
    assert bench.exporter._stages is None  # noqa: SLF001


def test_a_server_sets_rates_and_gets_redacted_examples_at_the_end(
    stand_in: PolicyStandIn,
) -> None:
    stand_in.policy = {**POLICY, "severity_rates": {"INFO": 0.0}, "version": 2}
    before = threading.enumerate()
    bench = Bench(sampling_policy=f"{stand_in.url}?team_id=7", service="shop")
    bench.exporter.export([record("mail to ann@example.com")])
    until(lambda: rate_of(bench) == 0.0)
    bench.exporter.export(records(100))
    began = time.monotonic()
    bench.exporter.shutdown()
    assert time.monotonic() - began < 20
    assert bench.server.stored[0] == "mail to ann@example.com", "redaction is off"
    (report,) = stand_in.reports
    assert (report["service_name"], report["total_logs"]) == ("shop", 101)
    patterns = {pattern["signature"]: pattern for pattern in report["patterns"]}
    assert patterns[signature("message 1")]["count"] == 100
    mail = patterns[signature("mail to ann@example.com")]
    assert mail["example"] == "mail to [redacted:email]"
    assert "LogwellPolicyServer" not in [
        thread.name for thread in threading.enumerate() if thread not in before
    ]


def test_what_redacts_entries_redacts_examples_too(stand_in: PolicyStandIn) -> None:
    class Loud:
        def redact_entry(self, entry: LogEntry) -> LogEntry:
            entry.message = entry.message.upper()
            return entry

    bench = Bench(sampling_policy=f"{stand_in.url}?team_id=7", service="shop", redact=Loud())
    bench.exporter.export([record("hello")])
    bench.exporter.shutdown()
    assert stand_in.reports[0]["patterns"][0]["example"] == "HELLO"


def test_the_service_is_that_of_the_environment(
    stand_in: PolicyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variables, name in (
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name="}, "unknown_service"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=web%20shop"}, "web shop"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
    ):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        bench = Bench(sampling_policy=f"{stand_in.url}?team_id=7")
        assert repr(source_of(bench.exporter)).endswith(f", {name!r} of team 7>")


def test_a_token_from_a_file_is_read_again_when_it_is_refused(
    stand_in: PolicyStandIn, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    bench = Bench(
        sampling_policy=f"{stand_in.url}?team_id=7",
        sampling_token_file=path,
        service="shop",
    )
    server: PolicyServer = source_of(bench.exporter)
    server.fetch()
    path.write_text("second\n")
    stand_in.status = 401
    server.fetch()
    server.fetch()  # nothing new in the file: not asked twice
    assert [headers["authorization"] for headers in stand_in.headers] == [
        *("Bearer first", "Bearer first", "Bearer second", "Bearer second")
    ]


@pytest.mark.parametrize("trouble", ["silent", "refuses"])
def test_a_server_in_trouble_does_not_keep_the_end_waiting(
    stand_in: PolicyStandIn, trouble: str
) -> None:
    if trouble == "silent":
        stand_in.gate.clear()
    else:
        stand_in.status = 500
    bench = Bench(sampling_policy=f"{stand_in.url}?team_id=7", service="shop")
    bench.exporter.export(records(10))
    assert stand_in.arrived.wait(10)
    began = time.monotonic()
    bench.exporter.shutdown(500)
    assert time.monotonic() - began < 8  # the server is silent for 10
    assert len(bench.server.stored) >= 1
    assert stand_in.reports == []


def test_a_report_where_no_thread_can_be_started_any_more(
    stand_in: PolicyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from Python 3.12 on at the end of a program."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    bench = Bench(sampling_policy=f"{stand_in.url}?team_id=7", service="shop")
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", start)
        bench.exporter.export(records(3))
    bench.exporter.shutdown()
    assert [report["total_logs"] for report in stand_in.reports] == [3]


def test_a_sampler_of_ones_own_is_not_ended_with_the_exporter(tmp_path: Path) -> None:
    from logwell_otel.sampling import PolicyFile, Sampler

    path = tmp_path / "sampling.json"
    path.write_text('{"rates": {"info": 0.5}}')
    sampler = Sampler()
    sampler.follow(PolicyFile(path))
    bench = Bench(sampling=sampler)
    bench.exporter.export(records(1))
    bench.exporter.shutdown()
    assert sampler._source is not None  # noqa: SLF001
    sampler.shutdown()


APP = """\
import logging

log = logging.getLogger("shop.orders")
for number in range(200):
    log.warning("order %d of ann@example.com is late", number)
log.error("it broke")
"""


def run_app(tmp_path: Path, receiver: DevServer, **variables: str) -> list[str]:
    app = tmp_path / "app.py"
    app.write_text(APP)
    run = instrumented(
        app,
        OTEL_LOGS_EXPORTER="logwell",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_SERVICE_NAME="shop",
        LOGWELL_ENDPOINT=receiver.url,
        LOGWELL_API_KEY=receiver.key,
        **variables,
    )
    assert run.returncode == 0, run.stderr
    assert KEY not in run.stderr
    assert "t0ken" not in run.stderr
    return [entry.message for entry in receiver.entries() if "order" in entry.message]


CONFIGURED = """
import logging, logwell_otel

with logwell_otel.configure({arguments}):
    for number in range(200):
        logging.info("order %d", number)
"""


@pytest.mark.parametrize(
    "options",
    [{"sampling": True, "sample_rates": {"info": 0.0}}, {"sampling_policy": "policy.json"}],
)
def test_configure(receiver: DevServer, tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "policy.json").write_text('{"rates": {"info": 0.0}}')
    arguments = {"endpoint": receiver.url, "api_key": receiver.key, **options}
    program = CONFIGURED.format(arguments=", ".join(f"{k}={v!r}" for k, v in arguments.items()))
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
    assert [entry.message for entry in receiver.entries()] == ["order 0"]


def test_zero_code_with_a_file(receiver: DevServer, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"rates": {"warn": 0.0}}))
    assert len(run_app(tmp_path, receiver, LOGWELL_SAMPLING_POLICY=str(policy))) == 1


@needs_threads_at_exit
def test_zero_code_with_a_server(
    receiver: DevServer, stand_in: PolicyStandIn, tmp_path: Path
) -> None:
    kept = run_app(
        tmp_path,
        receiver,
        LOGWELL_SAMPLING_POLICY=f"{stand_in.url}?team_id=7",
        LOGWELL_SAMPLING_TOKEN="t0ken",
    )
    assert 1 <= len(kept) < 200
    assert stand_in.requests[0] == "GET /api/v1/policies/shop?team_id=7"
    assert {headers["authorization"] for headers in stand_in.headers} == {"Bearer t0ken"}
    counted = sum(report["total_logs"] for report in stand_in.reports)
    assert counted >= 201, "every record, those decided at the very end included"
    assert "ann@" not in json.dumps(stand_in.reports)
