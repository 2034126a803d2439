"""The server in a process: killed, stopped, started again with its database and port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from logwell_otel.devserver import DevServer, DevServerProcess, FaultOutcome, FaultSettings


def post(receiver: DevServerProcess, message: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}
    return httpx.post(
        f"{receiver.url}/v1/ingest",
        content=json.dumps({"level": "info", "message": message}),
        headers=headers,
        trust_env=False,
        verify=False,
    )


def test_what_was_answered_survives_kill_9() -> None:
    with DevServerProcess() as receiver:
        url = receiver.url
        for number in range(20):
            assert post(receiver, f"m{number}").status_code == 200
        receiver.kill()
        assert receiver.pid is None
        with pytest.raises(httpx.ConnectError):
            post(receiver, "lost")
        assert [entry.message for entry in receiver.entries()] == [f"m{n}" for n in range(20)]

        receiver.start()
        assert receiver.url == url
        assert post(receiver, "after").status_code == 200
        assert [entry.message for entry in receiver.entries(19)] == ["m19", "after"]

        assert receiver.stop() == 0
        receiver.start()
        assert post(receiver, "again").status_code == 200
        assert len(receiver.entries()) == 22


def test_kill_9_with_requests_in_flight_loses_no_answered_entry() -> None:
    answered: list[str] = []

    def send(name: str) -> None:
        for number in range(1_000):
            message = f"{name}-{number}"
            try:
                if post(receiver, message).status_code == 200:
                    answered.append(message)
            except httpx.TransportError:
                return

    with DevServerProcess(requests_per_minute=None) as receiver:
        threads = [threading.Thread(target=send, args=[name]) for name in "ab"]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.005)
        receiver.kill()
        for thread in threads:
            thread.join()
        stored = [entry.message for entry in receiver.entries()]
    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored)
    assert len(stored) - len(answered) <= 2  # Stored, the answer lost.


def test_switches_and_journal_from_outside() -> None:
    with DevServerProcess() as receiver:
        settings = FaultSettings(
            outcome=FaultOutcome(kind="answer", status=502, times=1), delay_ms=1
        )
        receiver.set_faults(settings)
        assert receiver.faults() == settings
        assert post(receiver, "refused").status_code == 502
        assert post(receiver, "taken").status_code == 200
        assert receiver.faults() == FaultSettings(delay_ms=1)
        page = receiver.journal()
        assert page.counts.by_status == {502: 1, 200: 1}
        assert [(r.status, r.messages, r.entries) for r in page.requests] == [
            (502, ["refused"], 1),
            (200, ["taken"], 1),
        ]
        with pytest.raises(RuntimeError, match="already"):
            receiver.start()


def test_a_given_database_stays(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    receiver = DevServerProcess(db=path)
    assert receiver.entries() == []
    with receiver:
        post(receiver, "kept")
    assert [entry.message for entry in receiver.entries()] == ["kept"]
    assert receiver.stop() == 0  # Nothing runs: nothing to stop.


def test_why_it_did_not_start() -> None:
    with DevServer() as taken:
        receiver = DevServerProcess(port=taken.port)
        with pytest.raises(RuntimeError, match=f"status 1: .*port {taken.port} .* is in use"):
            receiver.start()
        receiver.close()


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "logwell_otel.cli", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_it_prints(number: signal.Signals) -> None:
    with command("--port", "0") as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready: "):
                break
        _, url, key = line.split()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = '{"level":"warn","message":"\\u001b[2Jdisk","timestamp":"2026-11-20T10:00:00Z"}'
        with httpx.Client(trust_env=False, verify=False) as client:
            answer = client.post(f"{url}/v1/ingest", content=body, headers=headers)
            assert answer.status_code == 200
            assert client.get(f"{url}/_control/faults").status_code == 404
            # Stopped with the connection open.
            process.send_signal(number)
            rest, errors = process.communicate(timeout=10)
    introduction = "".join(lines)
    assert "for developing and testing, not for production" in introduction
    assert f"export LOGWELL_ENDPOINT={url} LOGWELL_API_KEY={key}" in introduction
    assert rest == ("2026-11-20 10:00:00.000Z  WARN   -  \\x1b[2Jdisk\nstopped: 1 entries stored\n")
    assert (errors, process.returncode) == ("", 0)


def test_a_reader_that_leaves_does_not_stop_it() -> None:
    with command("--port", "0") as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("ready: "):
            line = process.stdout.readline()
        process.stdout.close()
        _, url, key = line.split()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        for _ in range(3):
            answer = httpx.post(
                f"{url}/v1/ingest",
                content='{"level":"info","message":"x"}',
                headers=headers,
                trust_env=False,
                verify=False,
            )
            assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with command("--port", str(port)) as process:
            output, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert output == ""
    assert errors == (
        f"logwell-otel serve: port {port} on 127.0.0.1 is in use: "
        "stop what runs there, or choose another --port\n"
    )


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux's /proc")
def test_no_list_of_processes_shows_its_key() -> None:
    with DevServerProcess() as server:
        shown = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"logwell_otel.devserver" in shown
        assert server.key.encode() not in shown


def test_the_module_names_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "logwell_otel.devserver", "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 1
    assert done.stderr == "To run the development server: logwell-otel serve\n"
