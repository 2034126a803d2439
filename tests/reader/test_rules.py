"""When a rule fires, and what a rules file may say. No server, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.reader.filters import Filter, iso
from logwell_otel.reader.rows import LogRow
from logwell_otel.reader.rules import (
    LATE,
    Command,
    Condition,
    Evaluation,
    Firing,
    LogLine,
    Rule,
    RuleState,
    Sample,
    Webhook,
    moment_at,
)
from logwell_otel.reader.rules_file import load_rules, parse_rules

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START = 1_800_000_000.0
SECRET = "https://hooks.example.com/services/T0SECRET/B0SECRET/very-secret-token"


def row(at: float = 0.0, message: str = "boom", **fields: Any) -> LogRow:
    fields = {"level": "error", "id": f"{at}-{message}", **fields}
    return LogRow(message=message, timestamp=iso(moment_at(START + at)), **fields)


def evaluation(rule: Rule) -> Evaluation:
    return Evaluation(rule, RuleState.begin(START))


def rule(kind: Any, *, count: int = 1, window: float = 60.0, silence: float = 0.0) -> Rule:
    window = float("inf") if kind == "new_incident" else window
    condition = Condition(kind=kind, count=count, window=window)
    return Rule(name="r", filter=Filter(), condition=condition, silence=silence)


def fired(one: Evaluation, seconds: Iterable[float], until: float) -> list[tuple[float, int]]:
    """When it fires, after the start, and for how many rows."""
    firings: list[Firing] = []
    for at in seconds:
        firings += one.see(row(at), START + at)
    firings += one.advance(START + until)
    return [(firing.at - START, firing.count) for firing in firings]


@pytest.mark.parametrize(
    ("one", "seconds", "until", "expected"),
    [
        (rule("count", count=3), [1, 2], 600, []),
        (rule("count", count=3), [1, 2, 3], 600, [(3, 3)]),
        (rule("count", count=1), [5], 600, [(5, 1)]),
        # The window is open at one end: rows exactly as far apart as it is long are not in it.
        (rule("count", count=2), [0, 60], 600, []),
        (rule("count", count=2), [0, 59.999], 600, [(59.999, 2)]),
        (rule("count", count=3), [0, 40, 80, 99], 600, [(99, 3)]),
        # What has made it fire counts no second time.
        (rule("count", count=2), [1, 2, 3], 600, [(2, 2)]),
        (rule("count", count=2), [1, 2, 3, 4], 600, [(2, 2), (4, 2)]),
        # Silence: what comes meanwhile counts, if it is still enough when that ends.
        (rule("count", count=2, silence=30), [1, 2, 3, 4], 600, [(2, 2), (32, 2)]),
        (rule("count", count=2, silence=300), [1, 2, 3, 4], 600, [(2, 2)]),
        (rule("count", count=2, silence=300), [1, 2, 290, 295], 600, [(2, 2), (302, 2)]),
        (rule("count", count=2, silence=300), [1, 2, 290, 295], 301, [(2, 2)]),
        (rule("count", count=2, silence=300), [1, 2, 295, 310], 600, [(2, 2), (310, 2)]),
        # Late rows count with those of their time.
        (rule("count", count=3), [100, 0, 1, 2], 600, [(100, 3)]),
        (rule("count", count=3), [100, 0, 50, 99], 600, [(100, 3)]),
        (rule("count", count=3), [200, 0, 70, 140], 600, []),
        (rule("count", count=2), [LATE + 100, 10, 20], 600, []),
        (rule("rate", count=120, window=60), [i / 2 for i in range(120)], 600, [(59.5, 120)]),
        (rule("rate", count=120, window=60), [i / 1.9 for i in range(200)], 600, []),
        # Absence: from the start, and from each row on.
        (rule("absence"), [], 59, []),
        (rule("absence", silence=300), [], 60, [(60, 0)]),
        (rule("absence", silence=300), [50], 109, []),
        (rule("absence", silence=300), [50], 110, [(110, 0)]),
        (rule("absence", silence=300), [], 700, [(60, 0), (360, 0), (660, 0)]),
        (rule("absence", silence=0), [], 180, [(60, 0), (120, 0), (180, 0)]),
        (rule("absence", silence=300), [70, 350], 409, [(60, 0)]),
        (rule("absence", silence=300), [70, 350], 410, [(60, 0), (410, 0)]),
    ],
)
def test_when_a_rule_fires(
    one: Rule, seconds: list[float], until: float, expected: list[tuple[float, int]]
) -> None:
    assert fired(evaluation(one), seconds, until) == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize("silence", [0.0, 30.0])
@given(
    seconds=st.lists(st.integers(0, 400).map(float), max_size=40),
    count=st.integers(1, 5),
    steps=st.lists(st.integers(0, 400).map(float), max_size=10),
)
def test_how_often_somebody_looks_makes_no_difference(
    silence: float, seconds: list[float], count: int, steps: list[float]
) -> None:
    """Polling every second, or once in all: the same rows make the same firings."""
    seconds.sort()
    one = rule("count", count=count, silence=silence)
    expected = fired(evaluation(one), seconds, 1000)
    looked, found = evaluation(one), []
    for until in sorted({*steps, 1000.0}):
        now = [at for at in seconds if at <= until]
        seconds = seconds[len(now) :]
        found += fired(looked, now, until)
        looked.state = msgspec.json.decode(msgspec.json.encode(looked.state), type=RuleState)
    assert found == expected


@given(seconds=st.lists(st.integers(0, 250).map(float), max_size=30), count=st.integers(1, 5))
def test_rows_in_any_order_fire_when_a_window_has_enough(seconds: list[float], count: int) -> None:
    inside = sorted(seconds)
    enough = any(b - a < 60 for a, b in zip(inside, inside[count - 1 :], strict=False))
    found = fired(evaluation(rule("count", count=count, silence=10_000)), seconds, 1000)
    assert bool(found) == enough


def test_a_new_incident_fires_once_and_an_old_one_never() -> None:
    one = evaluation(rule("new_incident"))
    seen = [
        ("old", -10.0),
        ("new", 1.0),
        ("new", 1.0),
        ("other", 2.0),
        ("new", 1.0),
        (None, None),
    ]
    said = [
        firing.said
        for at, (incident, first) in enumerate(seen)
        for firing in one.see(
            row(at, incident_id=incident), START + at, None if first is None else START + first
        )
    ]
    assert said == ["a new incident", "a new incident"]
    assert one.advance(START + 100_000) == []


def test_new_incidents_of_a_silence_are_told_when_it_ends() -> None:
    one = evaluation(rule("new_incident", silence=86_400))
    found = []
    for at, incident in enumerate("abc"):
        found += one.see(row(at, incident_id=incident), START + at, START + at)
    found += one.advance(START + 100_000)
    assert [(firing.at - START, firing.count, firing.said) for firing in found] == [
        (0.0, 1, "a new incident"),
        (86_400.0, 2, "2 new incidents"),
    ]


def test_memory_is_bounded_and_what_is_forgotten_fires_no_second_time() -> None:
    one = evaluation(rule("new_incident"))
    names = [f"i{number}" for number in range(2_500)]
    first = [
        one.see(row(at, incident_id=name), START + at, START + at) for at, name in enumerate(names)
    ]
    assert all(first)
    assert len(one.state.known) == 2_000
    assert not any(
        one.see(row(at, incident_id=name), START + 9_999, START + at)
        for at, name in enumerate(names)
    )
    burst = evaluation(rule("count", count=5, window=86_400, silence=86_400))
    for at in range(12_000):
        burst.see(row(at / 1000), START + at / 1000)
    assert len(burst.state.hits) == 10_005


def test_only_rows_of_the_filter_count() -> None:
    one = evaluation(
        Rule(
            name="r",
            filter=Filter.of("Pay", level="error,fatal", service="shop", where={"order": 17}),
            condition=Condition(kind="count", count=1, window=60),
            silence=0,
        )
    )
    right: dict[str, Any] = {"service_name": "shop", "metadata": {"order": 17}}
    rows = [
        row(1, "a payment failed", **right),
        row(2, "boom", **right),
        row(3, "a payment failed", **{**right, "level": "warn"}),
        row(4, "a payment failed", **{**right, "service_name": "shops"}),
        row(5, "a payment failed", **{**right, "metadata": {"order": 18}}),
    ]
    found = [firing for each in rows for firing in one.see(each, each.time.timestamp())]
    assert [firing.samples[0].id for firing in found] == [rows[0].id]


def test_signs_are_a_text_too() -> None:
    """The server finds none, but rules look at the rows themselves."""
    one = evaluation(
        Rule(
            name="r",
            filter=Filter.of(">>>"),
            condition=Condition(kind="count", count=1, window=60),
            silence=0,
        )
    )
    rows = [row(1, "plain"), row(2, "prompt >>> here")]
    found = [firing for each in rows for firing in one.see(each, each.time.timestamp())]
    assert [firing.samples[0].id for firing in found] == [rows[1].id]


def test_what_an_action_gets() -> None:
    one = evaluation(rule("count", count=2))
    one.see(row(1, "first"), START + 1)
    (firing,) = one.see(
        row(
            2,
            "<!channel> & \x1b[31mred\nsecond line",
            service_name="shop",
            source_file="shop.py",
            line_number=7,
            incident_id="i",
            request_id="q",
            metadata={"trace_id": "t", "password": "not for others"},
        ),
        START + 2,
    )
    assert firing.text == (r"r: 2 entries within 1m: <!channel> & \x1b[31mred (shop) (shop.py:7)")
    assert json.loads(msgspec.json.encode(firing.payload())) == {
        "id": firing.id,
        "rule": "r",
        "condition": "count",
        "at": "2027-01-15T08:00:02.000Z",
        "count": 2,
        "summary": "2 entries within 1m",
        "entries": [
            {
                "id": "1-first",
                "timestamp": "2027-01-15T08:00:01.000Z",
                "level": "error",
                "message": "first",
            },
            {
                "id": "2-<!channel> & \x1b[31mred\nsecond line",
                "timestamp": "2027-01-15T08:00:02.000Z",
                "level": "error",
                "message": "<!channel> & \x1b[31mred\nsecond line",
                "service": "shop",
                "source": "shop.py:7",
                "trace_id": "t",
                "request_id": "q",
                "incident_id": "i",
            },
        ],
        "text": r"r: 2 entries within 1m: &lt;!channel&gt; &amp; \x1b[31mred (shop) (shop.py:7)",
    }


def test_a_long_message_is_cut() -> None:
    sample = Sample.of(row(message="x" * 400_000))
    assert sample.message == "x" * 499 + "…"


# What a rules file may say.

GOOD = f"""
rules:
  - name: payments fail
    filter:
      level: [error, fatal]
      service: shop
      text: payment
      where: {{order.id: 17, vip: yes}}
    count: 10
    window: 5m
    silence: 1h
    actions:
      - webhook: {SECRET}
        format: slack
        headers: {{Authorization: Bearer secret-token}}
      - command: [/usr/local/bin/page, --urgent, "$HOME; rm -rf /"]
      - log
  - {{name: flood, rate: 100/m, window: 30s, actions: [log]}}
  - {{name: new, new_incident: true, actions: [webhook: "${{HOOK}}"]}}
  - {{name: quiet, filter: {{service: cron}}, absence: 1d, silence: 0s, actions: [log]}}
"""


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD, encoding="utf-8")
    payments, flood, new, quiet = load_rules(path)
    hook, command, log = payments.actions
    assert isinstance(hook, Webhook)
    assert (hook.url.reveal(), hook.slack, dict(hook.headers)) == (
        SECRET,
        True,
        {"Authorization": "Bearer secret-token"},
    )
    assert (command, log) == (
        Command(("/usr/local/bin/page", "--urgent", "$HOME; rm -rf /")),
        LogLine(),
    )
    assert payments.filter == Filter.of(
        "payment",
        level="error,fatal",
        service="shop",
        where={"order.id": "17", "vip": "true"},
    )
    assert payments.condition == Condition(kind="count", count=10, window=300)
    assert [one.silence for one in (payments, flood, new, quiet)] == [3600, 900, 900, 0]
    assert flood.condition == Condition(kind="rate", count=50, window=30)
    assert new.condition == Condition(kind="new_incident")
    assert isinstance(new.actions[0], Webhook)
    assert new.actions[0].url.reveal() == SECRET
    assert quiet.condition == Condition(kind="absence", window=86_400)
    shown = repr((payments, new)) + str(payments.actions[0])
    assert "SECRET" not in shown
    assert "secret" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        hook.url.__reduce__()


def problems(document: Any) -> list[str]:
    with pytest.raises(LogwellError) as caught:
        parse_rules(document, {"HOOK": "not a url T0SECRET"})
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert "SECRET" not in caught.value.message
    return caught.value.message.split("\n")


RIGHT: dict[str, Any] = {"name": "r", "count": 1, "window": "5m", "actions": ["log"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": None}, "rule 1: name: expected 1 to 100 printable characters, got nothing."),
        ({"name": "a\nb"}, "rule 1: name: expected 1 to 100 printable characters, got 'a\\nb'."),
        (
            {"cuont": 1},
            (
                "rule 1 ('r'): cuont: expected one of name, filter, count, rate, "
                "new_incident, absence, window, silence, actions, got 'this name'."
            ),
        ),
        ({"count": 0}, "rule 1 ('r'): count: expected a whole number from 1 to 10,000, got 0."),
        (
            {"count": True},
            "rule 1 ('r'): count: expected a whole number from 1 to 10,000, got True.",
        ),
        (
            {"count": "many"},
            "rule 1 ('r'): count: expected a whole number from 1 to 10,000, got 'many'.",
        ),
        (
            {"absence": "5m"},
            (
                "rule 1 ('r'): condition: expected one of count, rate, new_incident, "
                "absence, got count and absence."
            ),
        ),
        (
            {"window": "soon"},
            (
                "rule 1 ('r'): window: expected a duration such as 30s, 5m, 2h, 1d, "
                "at most 1d and not 0, got 'soon'."
            ),
        ),
        (
            {"window": 300},
            (
                "rule 1 ('r'): window: expected a duration such as 30s, 5m, 2h, 1d, "
                "at most 1d and not 0, got 300."
            ),
        ),
        (
            {"window": None},
            (
                "rule 1 ('r'): window: expected a duration such as 30s, 5m, 2h, 1d, "
                "at most 1d and not 0, got nothing."
            ),
        ),
        (
            {"window": "2d"},
            (
                "rule 1 ('r'): window: expected a duration such as 30s, 5m, 2h, 1d, "
                "at most 1d and not 0, got '2d'."
            ),
        ),
        (
            {"silence": "-1s"},
            (
                "rule 1 ('r'): silence: expected a duration such as 30s, 5m, 2h, 1d, "
                "at most 30d, got '-1s'."
            ),
        ),
        (
            {"filter": "error"},
            (
                "rule 1 ('r'): filter: expected a mapping of text, level, service, "
                "where, trace, got 'error'."
            ),
        ),
        (
            {"filter": {"levle": "error"}},
            (
                "rule 1 ('r'): filter: expected some of text, level, "
                "service, where, trace, got 'levle'."
            ),
        ),
        (
            {"filter": {"level": "loud"}},
            (
                "rule 1 ('r'): filter: level: expected one of debug, info, "
                "warn, error, fatal, got 'loud'."
            ),
        ),
        (
            {"filter": {"level": [1]}},
            ("rule 1 ('r'): filter: expected level to be one level or a list of them, got a list."),
        ),
        (
            {"filter": {"service": 7}},
            (
                "rule 1 ('r'): filter: expected service to be a text (in "
                "quotes, where it is a number), got 7."
            ),
        ),
        (
            {"filter": {"where": []}},
            (
                "rule 1 ('r'): filter: expected where to be attributes and "
                "their values, got an empty list."
            ),
        ),
        (
            {"filter": {"trace": "x"}},
            ("rule 1 ('r'): filter: trace: expected 32 hexadecimal digits, got 'x'."),
        ),
        (
            {"actions": None},
            ("rule 1 ('r'): actions: expected a list of webhook, command or log, got nothing."),
        ),
        (
            {"actions": []},
            (
                "rule 1 ('r'): actions: expected a list of webhook, command or log, "
                "got an empty list."
            ),
        ),
        (
            {"actions": [SECRET]},
            (
                "rule 1 ('r'): actions[1]: expected `webhook: URL`, `command: "
                "[...]` or `log`, got something else."
            ),
        ),
        (
            {"actions": ["log", {"command": "rm -rf /"}]},
            (
                "rule 1 ('r'): actions[2].command: "
                'expected a list of texts, such as ["/usr/local/bin/page", "--urgent"], got '
                "'rm -rf /'."
            ),
        ),
        (
            {"actions": [{"webhook": f"{SECRET} "[5:]}]},
            (
                "rule 1 ('r'): actions[1].webhook: expected "
                "a URL, got something that does not begin with https:// or http:// and a host."
            ),
        ),
        (
            {"actions": [{"webhook": "https://u:T0SECRET@h/"}]},
            (
                "rule 1 ('r'): actions[1].webhook: "
                "expected a URL, got one with a user name; give a header Authorization instead."
            ),
        ),
        (
            {"actions": [{"webhook": "https://[T0SECRET"}]},
            ("rule 1 ('r'): actions[1].webhook: expected a URL, got one that cannot be read."),
        ),
        (
            {"actions": [{"webhook": "${HOOK}"}]},
            (
                "rule 1 ('r'): actions[1].webhook: expected "
                "${HOOK} to be a URL, got something that does not begin with https:// or "
                "http:// and a "
                "host."
            ),
        ),
        (
            {"actions": [{"webhook": "${NONE}"}]},
            (
                "rule 1 ('r'): actions[1].webhook: expected "
                "${NONE} to be a URL, and that variable is not set."
            ),
        ),
        (
            {"actions": [{"webhook": SECRET, "format": "xml"}]},
            ("rule 1 ('r'): actions[1].format: expected json or slack, got 'xml'."),
        ),
        (
            {"actions": [{"webhook": SECRET, "headers": {"X": "T0SECRET\n"}}]},
            (
                "rule 1 ('r'): "
                "actions[1].headers: expected a text of printable ASCII as X, got something else."
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_rule_and_field(given: dict[str, Any], expected: str) -> None:
    assert problems({"rules": [{**RIGHT, **given}]}) == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rate": "5"}, "rate: expected entries in a time, such as 2/s, 100/m or 5/h, got '5'."),
        ({"rate": "1/d"}, None),
        (
            {"rate": "9999/s"},
            (
                "rate: expected 1 to 10,000 entries in the window; this rate makes "
                "2,999,700, got '9999/s'."
            ),
        ),
    ],
)
def test_rates(given: dict[str, Any], expected: str | None) -> None:
    document = {"rules": [{"name": "r", "window": "5m", "actions": ["log"], **given}]}
    if expected is None:
        assert parse_rules(document)[0].condition.count == 1
    else:
        assert problems(document) == [f"rule 1 ('r'): {expected}"]


def test_a_window_stands_beside_count_and_rate_only() -> None:
    rules = [
        {"name": "a", "absence": "5m", "window": "5m", "actions": ["log"]},
        {"name": "b", "new_incident": False, "actions": ["log"]},
    ]
    assert problems({"rules": rules}) == [
        "rule 1 ('a'): window: expected none beside absence, got one.",
        "rule 2 ('b'): new_incident: expected true, got False.",
    ]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert problems({"rules": [{**RIGHT, "count": 0, "silence": 1}, RIGHT, 7]}) == [
        "rule 1 ('r'): count: expected a whole number from 1 to 10,000, got 0.",
        "rule 1 ('r'): silence: expected a duration such as 30s, 5m, 2h, 1d, at most 30d, got 1.",
        "rule 2 ('r'): name: expected a name that no other rule has, got 'r'.",
        "rule 3: expected name, a condition and actions, got 7.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"rules: [{{webhook: {SECRET}", "is not YAML (line 1, column"),
        ("", "expected `rules:` and a list below it, got nothing."),
        ("rules: []", "rules: expected a list of one rule or more, got an empty list."),
        ("rules: [1]\nmore: 2", "expected `rules:` and nothing beside it, got 'more' too."),
        ("rule: [1]", "expected `rules:` and a list below it, got a mapping."),
        ("!!python/object/apply:os.system ['true']", "is not YAML (line 1, column 1)"),
    ],
)
def test_a_file_that_is_no_rules_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LogwellError) as caught:
        load_rules(path)
    assert said in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert "SECRET" not in caught.value.message


def test_problems_of_a_file_name_the_line_and_the_field(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
rules:
  - name: one
    filter: {level: loud}
    count: 3
    window: soon
    actions: [log]
    count: 5
  - name: two
    absence: 1d
    actions:
      - webhook: https://hooks.example.com/very/secret
        format: teams
  - just text
""",
        encoding="utf-8",
    )
    with pytest.raises(LogwellError) as caught:
        load_rules(path)
    assert caught.value.message.splitlines() == [
        f"{path}: line 8, rule 1 ('one'): count: expected once, got it on line 5 too.",
        (
            "line 4, rule 1 ('one'): filter: level: expected one of debug, info, warn, error, "
            "fatal, got 'loud'."
        ),
        (
            "line 6, rule 1 ('one'): window: expected a duration such as 30s, 5m, 2h, 1d, at most "
            "1d and not 0, got 'soon'."
        ),
        "line 11, rule 2 ('two'): actions[1].format: expected json or slack, got 'teams'.",
        "line 14, rule 3: expected name, a condition and actions, got 'just text'.",
    ]


@pytest.mark.parametrize(
    "text",
    ["rules: {a: b}", "rules: [{<<: {name: x}, count: 1}]", "- rules", "rules: [1]\nrules: [[]]"],
)
def test_odd_files_are_wrong_and_no_defect(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LogwellError, match="expected"):
        load_rules(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LogwellError, match=r"none\.yaml: cannot be read: No such file"):
        load_rules(tmp_path / "none.yaml")
