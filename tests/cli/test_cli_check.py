"""`logwell-otel check`: the whole text, the JSON, the exit status."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from logwell_otel._version import __version__
from logwell_otel.cli import main
from logwell_otel.cli.check import startup
from logwell_otel.devserver import DevServer
from support.check import KEY, UP, clean_environment
from support.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

GREEN, RED, RESET = "\x1b[32m", "\x1b[31m", "\x1b[0m"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)
    versions = {
        "opentelemetry-sdk": "1.45.1",
        "opentelemetry-instrumentation-logging": "0.66b1",
        "httpcore": "1.0.9",
    }
    monkeypatch.setattr(startup, "_version", versions.get)
    monkeypatch.setattr(startup, "start", lambda *_: UP)


@pytest.fixture
def receiver() -> Iterator[DevServer]:
    with DevServer(api_key=KEY) as running:
        yield running


def versions() -> str:
    return (
        f"Python {platform.python_version()} in {sys.prefix}, logwell-otel {__version__}, "
        "opentelemetry-sdk 1.45.1, opentelemetry-instrumentation-logging 0.66b1, httpcore 1.0.9"
    )


GOOD = """\
logwell-otel {version} check

Settings
  endpoint  {url}  LOGWELL_ENDPOINT
  api_key   lw_***last              LOGWELL_API_KEY
  service   shop                    argument
  34 more as they are by default: --verbose shows them

  ok       Settings             complete and well-formed

Server
  ok       DNS                  127.0.0.1 is an address, there is no name to look up
  ok       TCP                  connected to 127.0.0.1 port {port}
  ok       TLS                  not used on this machine: the endpoint is http://
  ok       Health               healthy, database connected, version 1.1.3 (logwell-otel development server)
  ok       Key                  the server knows it
  ok       Entry                accepted; look for it under the service 'shop'
  ok       Clock                within 5 s of the server's

OpenTelemetry
  ok       Versions             {versions}
  skipped  Zero-code            not set up: OTEL_LOGS_EXPORTER does not name logwell
                                -> Set OTEL_LOGS_EXPORTER=logwell for opentelemetry-instrument; with logwell_otel.configure() it is not needed.
  ok       Start-up             configure() sends logs to https://logs.example.com
  ok       Logging handler      on the root logger; INFO and above reach it unless the application sets other levels
  ok       Service name         shop

Nothing failed
"""  # noqa: E501 - as it is printed


ALL_SETTINGS = """\
  endpoint                 {url}  LOGWELL_ENDPOINT
  api_key                  lw_***last              LOGWELL_API_KEY
  api_key_file             -                       default
  service                  shop                    argument
  headers                  -                       default
  timeout                  10                      default
  certificate_file         -                       default
  client_certificate_file  -                       default
  client_key_file          -                       default
  level                    debug                   default
  levels                   -                       default
  root_level               -                       default
  source_location          true                    default
  request_id_from_trace    false                   default
  message_template         false                   default
  max_queue_bytes          33554432                default
  on_queue_full            drop                    default
  requests_per_minute      600                     default
  requests_per_hour        -                       default
  spool_dir                -                       default
  spool_max_bytes          268435456               default
  spool_max_age            172800                  default
  spool_sync               normal                  default
  sampling                 false                   default
  sample_rates             -                       default
  sampling_policy          -                       default
  sampling_token           -                       default
  sampling_token_file      -                       default
  sampling_allow_zero      false                   default
  redact                   false                   default
  redact_keys              -                       default
  redact_allow             -                       default
  redact_also              -                       default
  deliver_on_sigterm       true                    default
  disabled                 false                   default
  send_in_tests            false                   default
  proxy                    -                       default
"""


def test_all_settings_with_verbose(
    receiver: DevServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGWELL_ENDPOINT", receiver.url)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY)
    assert main(["check", "--service", "shop", "--no-send", "--verbose"]) == 0
    out = capsys.readouterr().out
    assert f"\nSettings\n{ALL_SETTINGS.format(url=receiver.url)}\n  ok " in out


def test_a_good_server(
    receiver: DevServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGWELL_ENDPOINT", receiver.url)
    monkeypatch.setenv("LOGWELL_API_KEY", KEY)
    assert main(["check", "--service", "shop"]) == 0
    assert capsys.readouterr() == (
        GOOD.format(version=__version__, url=receiver.url, port=receiver.port, versions=versions()),
        "",
    )
    assert receiver.count() == 1


def test_nothing_is_stored_with_no_send(
    receiver: DevServer, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--endpoint", receiver.url, "--api-key", KEY]
    assert main(["check", *given, "--no-send"]) == 0
    out = capsys.readouterr().out
    assert "skipped  Entry                not sent, as asked" in out
    assert out.endswith("\nNothing failed, 1 warning\n")  # no service name
    assert receiver.count() == 0


NO_SETTINGS = """\
logwell-otel {version} check

Settings
  FAIL     Settings             not complete, or wrong
                                -> endpoint (LOGWELL_ENDPOINT) is not set: set the variable, or give the argument, to the base URL of a Logwell server such as https://logs.example.com.

Server
  skipped  DNS                  not run: Settings failed
  skipped  TCP                  not run: Settings failed
  skipped  TLS                  not run: Settings failed
  skipped  Health               not run: Settings failed
  skipped  Key                  not run: Settings failed
  skipped  Entry                not run: Settings failed
  skipped  Clock                not run: Settings failed
"""  # noqa: E501


def test_without_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.startswith(NO_SETTINGS.format(version=__version__))
    assert out.endswith("\n1 failed, 1 warning\n")


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:1")
    given = ["--endpoint", f"http://127.0.0.1:{port}", "--api-key", KEY, "--timeout", "3"]
    assert main(["check", *given, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"version", "ok", "settings", "proxy", "results"}
    assert (document["version"], document["ok"]) == (__version__, False)
    assert document["settings"][1] == {
        "name": "api_key",
        "value": "lw_***last",
        "origin": "argument",
    }
    assert document["settings"][2] == {"name": "api_key_file", "value": None, "origin": "default"}
    assert document["settings"][5] == {"name": "timeout", "value": "3", "origin": "argument"}
    assert document["proxy"] == {"url": None, "origin": "NO_PROXY"}
    assert document["results"][2:4] == [
        {
            "group": "server",
            "step": "TCP",
            "status": "fail",
            "text": f"nothing listens at 127.0.0.1 port {port} (127.0.0.1: connection refused)",
            "advice": "Start the server, or correct host and port in endpoint (LOGWELL_ENDPOINT).",
        },
        {
            "group": "server",
            "step": "TLS",
            "status": "skipped",
            "text": "not run: TCP failed",
            "advice": None,
        },
    ]


def test_json_without_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["settings"] == []
    assert document["proxy"] == {"url": None, "origin": "default"}


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["check"]) == 1
    assert f"  {RED}FAIL    {RESET} Settings  " in screen.getvalue()
    assert f"  {GREEN}ok      {RESET} Versions  " in screen.getvalue()


def test_in_a_process_of_its_own(receiver: DevServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "logwell_otel.cli", "check", "--json"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LOGWELL_ENDPOINT": receiver.url,
            "LOGWELL_API_KEY": KEY,
            "OTEL_SERVICE_NAME": "shop",
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True
    assert [entry.service for entry in receiver.entries()] == ["shop"]
    assert KEY not in done.stdout
