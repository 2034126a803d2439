"""Counts of patterns: right under threads, bounded, examples redacted."""

from __future__ import annotations

import json
import sys
import threading

import msgspec

from logwell_otel.redaction import Redactor
from logwell_otel.sampling import signature
from logwell_otel.sampling.patterns import PatternStatistics, report_of
from support.clock import Clock


def test_a_report_whole() -> None:
    wall = Clock(1000.0)
    statistics = PatternStatistics(wall=wall)
    statistics.record("User 17 logged in", kept=True)
    wall.now = 1010.0
    statistics.record("User 18 logged in", kept=False)
    statistics.record("Started", kept=True)
    wall.now = 900.0  # set back
    statistics.record("Started", kept=True)
    assert report_of(statistics.take(), service="shop", team_id=7, now=1020.5) == {
        "service_name": "shop",
        "team_id": 7,
        "timestamp": 1020.5,
        "total_logs": 4,
        "unique_patterns": 2,
        "patterns": [
            {
                "signature": signature("User 1 logged in"),
                "count": 2,
                "sampled_count": 1,
                "first_seen": 1000.0,
                "last_seen": 1010.0,
                "example": "User 17 logged in",
            },
            {
                "signature": signature("Started"),
                "count": 2,
                "sampled_count": 2,
                "first_seen": 1010.0,
                "last_seen": 1010.0,
                "example": "Started",
            },
        ],
    }
    assert statistics.take().total == 0


def test_what_is_put_back_is_in_the_next_report() -> None:
    wall = Clock(1000.0)
    statistics = PatternStatistics(size=2, wall=wall)
    statistics.record("a", kept=True)
    counted = statistics.take()
    wall.now = 1010.0
    statistics.record("a", kept=False)
    statistics.record("b", kept=True)
    statistics.put_back(counted)
    statistics.put_back(statistics.take())
    statistics.record("b", kept=True)
    report = report_of(statistics.take(), service="shop", team_id=7, now=0.0)
    assert report["total_logs"] == 4
    first, second = report["patterns"]
    assert (first["count"], first["sampled_count"]) == (2, 1)
    assert (first["first_seen"], first["last_seen"]) == (1000.0, 1010.0)
    assert (second["count"], second["sampled_count"]) == (2, 2)


def test_patterns_are_bounded_and_the_total_is_not() -> None:
    statistics = PatternStatistics(size=3)
    for _ in range(2):
        for name in "abcde":
            statistics.record(name, kept=True)
    counted = statistics.take()
    assert (counted.total, list(counted.patterns)) == (10, [signature(name) for name in "abc"])
    for name in "fgh":
        statistics.record(name, kept=True)
    statistics.put_back(counted)
    counted = statistics.take()
    assert (counted.total, len(counted.patterns)) == (13, 3)


def test_examples_are_redacted_then_cut() -> None:
    statistics = PatternStatistics()
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 60
    for message in (
        "Mail to bob@example.com",
        f"Loaded {key}",
        "x" * 190 + " password=hunter2-and-more",
        "lone \ud800 surrogate",
    ):
        statistics.record(message, kept=True)
    counted = statistics.take()
    report = report_of(counted, service="shop", team_id=7, now=0.0, redact=Redactor().redact_text)
    examples = [pattern["example"] for pattern in report["patterns"]]
    assert examples[0] == "Mail to [redacted:email]"
    assert "MIIE" not in examples[1]
    assert "hunter" not in examples[2]
    assert examples[3] == "lone ? surrogate"
    assert max(map(len, examples)) == 200
    assert json.loads(msgspec.json.encode(report)) == report


def test_what_cannot_be_redacted_is_left_out() -> None:
    def fail(text: str) -> str:
        raise ValueError(text)

    statistics = PatternStatistics()
    statistics.record("secret", kept=True)
    report = report_of(statistics.take(), service="shop", team_id=7, now=0.0, redact=fail)
    assert [pattern["example"] for pattern in report["patterns"]] == [""]


def test_no_count_is_lost_between_threads() -> None:
    statistics = PatternStatistics()
    taken = []
    begin = threading.Barrier(5)

    def log() -> None:
        begin.wait()
        for number in range(2000):
            statistics.record(f"{'ab'[number % 2]} {number}", kept=number % 4 == 0)

    def take() -> None:
        begin.wait()
        for number in range(50):
            counted = statistics.take()
            if number % 2:
                statistics.put_back(counted)
            else:
                taken.append(counted)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=target) for target in (log, log, log, log, take)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    taken.append(statistics.take())
    assert sum(counted.total for counted in taken) == 8000
    every = [counts for counted in taken for counts in counted.patterns.values()]
    assert (sum(c.seen for c in every), sum(c.kept for c in every)) == (8000, 2000)
