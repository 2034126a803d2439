"""`logwell-otel patterns`: what is read, what is counted, what is printed."""

from __future__ import annotations

import argparse
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from logwell_otel.cli.patterns import FURTHER, PatternTable, add_to, as_json, entries_of
from logwell_otel.cli.terminal import Terminal
from logwell_otel.sampling import SamplingRules, signature
from support.server import SocketServer, answer_all, closed_port, response

if TYPE_CHECKING:
    from pathlib import Path


def _run(*arguments: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    add_to(parser.add_subparsers())
    options = parser.parse_args(["patterns", *arguments])
    output, errors = io.StringIO(), io.StringIO()
    status = options.run(options, Terminal(output, errors))
    return status, output.getvalue(), errors.getvalue()


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """600 infos, 300 debugs, 90 warnings and 10 errors of one pattern each, in two forms."""
    path = tmp_path / "app.log"
    lines = [f"2025-10-24 12:00:01,{n:03} INFO shop: order {n} sold" for n in range(600)]
    lines += [json.dumps({"level": "debug", "message": f"cache hit {n}"}) for n in range(300)]
    lines += [json.dumps({"levelname": "WARNING", "msg": f"slow {n}ms"}) for n in range(90)]
    lines += [json.dumps({"severity": "ERROR", "event": f"payment {n} failed"}) for n in range(10)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_table(log: Path) -> None:
    status, output, errors = _run(str(log), "--rates", "info=0.1, DEBUG=0.05,", "--top", "3")
    assert (status, errors) == (0, "")
    order = "2025-10-24 12:00:01,000 INFO shop: order 0 sold"
    slow = signature("slow 0ms")
    rows = (
        "    count  share      kept  saved  levels                signature         example",
        f"      600  60.0%        61  89.8%  info 100%             {signature(order)}  {order}",
        "      300  30.0%        16  94.7%  debug 100%            a391e110ed5eb55a  cache hit 0",
        f"       90   9.0%        46  49.4%  warn 100%             {slow}  slow 0ms",
        "       10   1.0%        10   0.0%  in 1 more pattern",
        "    1,000   100%       132  86.8%  total: 4 patterns; of 34.0 kB of messages 3.7 kB kept",
    )
    assert output == "".join(f"{row}\n" for row in rows)


def test_the_same_as_json(log: Path) -> None:
    status, output, errors = _run(str(log), "--json", "--rates", "info=0.1", "--top", "1")
    assert (status, errors) == (0, "")
    assert json.loads(output) == {
        "patterns": [
            {
                "signature": signature("2025-10-24 12:00:01,7 INFO shop: order 7 sold"),
                "pattern": "<date> <time> INFO shop: order <n> sold",
                "example": "2025-10-24 12:00:01,000 INFO shop: order 0 sold",
                "share": 0.6,
                "levels": {"info": 600},
                "count": 600,
                "kept": 60.9,
                "saved": 0.8985,
                "bytes": 29_290,
                "kept_bytes": 2973,
            }
        ],
        "total": {
            "patterns": 4,
            "count": 1000,
            "kept": 132.4,
            "saved": 0.8677,
            "bytes": 34_040,
            "kept_bytes": 3739,
        },
    }


def test_a_policy_instead_of_rates(log: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"rates": {"info": 1}, "patterns": {"cache hit <n>": 0}}')
    _, output, _ = _run(str(log), "--json", "--policy", str(policy))
    kept = {p["pattern"]: p["kept"] for p in json.loads(output)["patterns"]}
    assert kept["cache hit <n>"] == 1
    assert kept["<date> <time> INFO shop: order <n> sold"] == 600


def test_nothing_at_all(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    status, output, _ = _run(str(path))
    assert status == 0
    total = "0 0% 0 0.0% total: 0 patterns; of 0 B of messages 0 B kept"
    assert " ".join(output.splitlines()[1].split()) == total


def test_standard_input_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            part = super().read1(-1 if size is None else size)
            if not part:
                raise KeyboardInterrupt
            return part

    standard = io.TextIOWrapper(Interrupted(b"one 1\ntwo \xff\none 2\n"))
    monkeypatch.setattr(sys, "stdin", standard)
    status, output, errors = _run("-", "--json")
    assert status == 0
    assert json.loads(output)["total"]["count"] == 3
    assert errors == "Interrupted: what was read until now.\n"


@pytest.mark.socket
def test_a_receivers_answer() -> None:
    logs = [{"level": "warn", "message": f"line separator \u2028 {n}"} for n in range(5)]
    body = json.dumps({"logs": logs, "total": 5}, ensure_ascii=False).encode()
    with SocketServer(answer_all(response(body))) as server:
        for url in (server.url, f"{server.url}/api/logs", f"{server.url}/api/logs?level=warn"):
            _, output, _ = _run(url, "--json")
            assert json.loads(output)["patterns"][0]["levels"] == {"warn": 5}
    assert [head.split()[1] for head in server.heads] == [
        "/api/logs?limit=100000",
        "/api/logs?limit=100000",
        "/api/logs?level=warn",
    ]


@pytest.mark.socket
def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert _run(str(tmp_path / "none")) == (
        1,
        "",
        f"logwell-otel patterns: {tmp_path / 'none'}: No such file or directory\n",
    )
    with SocketServer(answer_all(response(b"", "404 Not Found"))) as server:
        status, _, errors = _run(server.url)
    assert (status, "answered 404" in errors) == (1, True)
    with SocketServer(answer_all(response(b"", "401 Unauthorized"))) as server:
        status, _, errors = _run(server.url)
    assert status == 1
    assert "logwell-otel search --limit all --json | logwell-otel patterns -" in errors
    with closed_port() as port:
        status, _, errors = _run(f"http://127.0.0.1:{port}")
    assert (status, "no answer: ConnectError" in errors) == (1, True)
    (tmp_path / "policy").write_text("{}")
    status, _, errors = _run("-", "--policy", str(tmp_path / "policy"))
    assert (status, "one of the fields" in errors) == (1, True)
    status, _, errors = _run("-", "--rates", "error=0.5")
    assert (status, "errors are kept whole" in errors) == (1, True)


def test_what_a_terminal_would_act_on_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\x1b]0;title\x07 \x1b[31mred\n")
    _, output, _ = _run(str(path))
    assert "\x1b" not in output
    assert r"\x1b]0;title\x07 \x1b[31mred" in output


def test_a_narrow_terminal_cuts_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    path = tmp_path / "log"
    path.write_text("x" * 5000 + "\n")
    _, output, _ = _run(str(path))
    assert output.splitlines()[1].endswith("  " + "x" * 40)


def test_levels_mixed_in_one_pattern() -> None:
    table = PatternTable()
    for _ in range(999):
        table.add("info", "x")
    table.add("error", "x")
    (found,) = as_json(table.rows(), SamplingRules({"info": 0.5}), 5)["patterns"]
    assert found["levels"] == {"info": 999, "error": 1}
    assert found["kept"] == 501


def test_patterns_are_bounded() -> None:
    table = PatternTable(size=2)
    for name in "aabcdd":
        table.add("info", name)
    found = as_json(table.rows(), SamplingRules({}), 5)["patterns"]
    assert [(p["example"], p["count"]) for p in found] == [(FURTHER, 3), ("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("line", "entries"),
    [
        ("plain", [("info", "plain")]),
        ("  \n", []),
        ("DEBUG x", [("debug", "DEBUG x")]),
        ("x [WARNING] y", [("warn", "x [WARNING] y")]),
        ("12:00 CRITICAL y", [("fatal", "12:00 CRITICAL y")]),
        ("an error in INFORMATION", [("info", "an error in INFORMATION")]),
        ('ts=1 level="error" msg=x', [("error", 'ts=1 level="error" msg=x')]),
        ("x" * 120 + " ERROR", [("info", "x" * 120 + " ERROR")]),
        ("[12:30:01] ERROR x", [("error", "[12:30:01] ERROR x")]),
        ("{broken", [("info", "{broken")]),
        ('{"level": 30, "msg": "x"}', [("info", "x")]),
        ('{"lvl": "Fatal", "text": "x"}', [("fatal", "x")]),
        ('{"severityNumber": 17, "body": {"stringValue": "x"}}', [("error", "x")]),
        ('{"message": {"a": 1}}', [("info", '{"a":1}')]),
        ('{"message": null, "level": "warn"}', [("warn", '{"message": null, "level": "warn"}')]),
        ('[{"message": "x"}, 5]', [("info", "x"), ("info", "5")]),
        ('{"logs": [{"level": "debug", "message": "x"}], "total": 1}', [("debug", "x")]),
    ],
)
def test_lines(line: str, entries: list[Any]) -> None:
    assert list(entries_of([line])) == entries
