"""Requests put together from parts whose meaning is known: rules, not a list of requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logwell_otel.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ["debug", "info", "warn", "error", "fatal"]
RECORDED = Path(__file__).parents[1] / "contract" / "ingest_vectors.json"
GOOD = '{"level":"info","message":"good"}'
QUICK = settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass
class Part:
    """A field as JSON text, and what it does to its entry."""

    json: str | None = None
    stored: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    poison: bool = False


@dataclass
class Case:
    """An entry as JSON text, and what the server makes of it."""

    json: str
    stored: dict[str, Any] | None = None
    refused: str | None = None
    poison: bool = False


@pytest.fixture(scope="module")
def shared() -> Iterator[DevServer]:
    with DevServer(requests_per_minute=None) as running:
        yield running


@pytest.fixture(scope="module")
def wire(shared: DevServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {shared.key}", "Content-Type": "application/json"}
    with httpx.Client(
        base_url=shared.url, headers=headers, trust_env=False, verify=False
    ) as client:
        yield client


printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
letters = st.text("abcdefgh", min_size=1, max_size=8)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string that means this text: some characters as escapes."""
    parts = []
    for character in text:
        escape = ord(character) < 0x10000 and draw(st.booleans())
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        parts.append(f"\\u{ord(character):04x}" if escape else plain)
    return f'"{"".join(parts)}"'


@st.composite
def level(draw: st.DrawFn) -> Part:
    if draw(st.integers(0, 9)):
        value = draw(st.sampled_from(LEVELS))
        return Part(draw(spelled(value)), {"level": value})
    text = draw(st.sampled_from(["INFO", "warning", "trace", "", " info", "critical", "info "]))
    spellings = [(text, json.dumps(text)), ("null", "null"), ("5", "5"), ("true", "true")]
    spellings += [("1,2", "[1,2]"), ("[object Object]", '{"a":1}')]
    shown, literal = draw(st.sampled_from(spellings))
    return draw(
        st.sampled_from(
            [
                Part(None, refused="missing required field 'level'"),
                Part(
                    literal,
                    refused=f"invalid level '{shown}' (must be one of: {', '.join(LEVELS)})",
                ),
            ]
        )
    )


@st.composite
def message(draw: st.DrawFn) -> Part:
    kind = draw(st.integers(0, 14))
    if kind == 0:
        return Part(None, refused="missing required field 'message'")
    if kind == 1:
        literal = draw(st.sampled_from(["5", "null", "true", "{}", '["x"]']))
        return Part(literal, refused="message must be a string")
    if kind == 2:
        blank = draw(st.text(" \t\n\r\v\f\u00a0\u1680\u2003\u2028\u2029\u3000\ufeff", max_size=5))
        return Part(draw(spelled(blank)), refused="message cannot be empty")
    text = draw(printable)
    if kind == 3:
        return Part(f'"{json.dumps(text)[1:-1]}\\u0000"', poison=True)
    if kind == 4:
        half = draw(st.sampled_from(["\\ud800", "\\udbff", "\\udc00", "\\udfff"]))
        return Part(f'"{half}.{json.dumps(text)[1:-1]}"', {"message": f"\ufffd.{text}"})
    if kind == 5:
        # Not blank to JavaScript, though Python's strip() takes the first of them away.
        text = draw(st.sampled_from(["\x1c", "\x1f", "\x85", "\u200b", "\u180e"]))
    return Part(draw(spelled(text)), {"message": text})


@st.composite
def line(draw: st.DrawFn) -> Part:
    number = draw(st.integers(1, 2**31 - 1))
    return draw(
        st.sampled_from(
            [
                Part(),
                Part(str(number), {"lineNumber": number}),
                Part(f"{number}.0", {"lineNumber": number}),
                Part(f"{number}e0", {"lineNumber": number}),
                Part(f"-{number}"),
                Part(f"-{number}.5"),
                Part("0"),
                Part("-0.0"),
                Part(f'"{number}"'),
                Part("true"),
                Part("null"),
                Part(f"{number}.5", poison=True),
                Part("1e-9", poison=True),
                Part(str(2**31 - 1 + number), poison=True),
                Part("1e309", poison=True),
            ]
        )
    )


@st.composite
def moment(draw: st.DrawFn) -> Part:
    when = draw(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001
    minutes = draw(st.integers(-14 * 60, 14 * 60))
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    digits = draw(st.text("0123456789", max_size=9))
    local = (when + timedelta(minutes=minutes)).replace(microsecond=0)
    fraction = f".{digits}" if digits else ""
    stamp = {
        "timestamp": f"{when.isoformat()[:19]}.{f'{digits}000'[:3]}Z",
    }
    return draw(
        st.sampled_from(
            [
                Part(),
                Part(f'"{local.isoformat()}{fraction}{zone}"', stamp),
                Part(f'"{when.isoformat()[:19]}{fraction}Z"', stamp),
                Part(json.dumps(draw(letters))),
                Part("null"),
                Part(str(minutes)),
                Part('"0000-12-31T23:59:59Z"', poison=True),
                Part('"0001-01-01T00:00:00+00:01"', poison=True),
                Part('"9999-12-31T23:59:59-00:01"', poison=True),
                Part('"+010000-01-01T00:00:00Z"', poison=True),
            ]
        )
    )


@st.composite
def service(draw: st.DrawFn) -> Part:
    name = draw(letters)
    size = draw(st.integers(2_601, 4_000))
    return draw(
        st.sampled_from(
            [
                Part(),
                Part(f'"{name}"', {"service": name}),
                Part(f'"\\u00a0 {name}\\n"', {"service": name}),
                Part('" "'),
                Part('""'),
                Part("5"),
                Part("null"),
                Part(f'"{name}\\u0000"', poison=True),
                Part(f'"{name}\\ud800"', poison=True),
                Part(f'"{name * size}"', poison=True),
            ]
        )
    )


@st.composite
def source(draw: st.DrawFn) -> Part:
    name = draw(printable)
    return draw(
        st.sampled_from(
            [
                Part(),
                Part(json.dumps(name), {"sourceFile": name}),
                Part('""', {"sourceFile": ""}),
                Part('"a\\udc00"', {"sourceFile": "a\ufffd"}),
                Part("5"),
                Part('"a\\u0000"', poison=True),
            ]
        )
    )


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def metadata(draw: st.DrawFn) -> Part:
    # Keys that name no column: these are in `columns` below.
    content = draw(st.dictionaries(letters.map(lambda key: f"k.{key}"), plain_json, max_size=3))
    if draw(st.booleans()):
        return Part(json.dumps(content), {"metadata": content or None})
    text = draw(letters)
    nested = f'{{"n":[{{"x":{{}}}}],"v":{json.dumps(text)}}}'
    return draw(
        st.sampled_from(
            [
                Part(),
                Part("{}"),
                Part("[]"),
                Part('"text"'),
                Part("7"),
                Part('{"k":1,"k":2}', {"metadata": {"k": 2}}),
                Part(f"[{json.dumps(text)}]", {"metadata": [text]}),
                Part('{"k":9007199254740993}', {"metadata": {"k": 9007199254740992}}),
                Part('{"k":-12345678901234567890}', {"metadata": {"k": -12345678901234567000}}),
                Part('{"k":[1e309,-1e309,2.0]}', {"metadata": {"k": [None, None, 2]}}),
                Part(nested, {"metadata": json.loads(nested)}),
                Part(nested.replace(text, "\\u0000"), poison=True),
                Part(nested.replace("x", "\\u0000"), poison=True),
                Part(nested.replace(text, "\\ud800"), poison=True),
                Part(nested.replace("x", "\\udc00"), poison=True),
                Part('{"k":' + "[" * 5_000 + "]" * 5_000 + "}", poison=True),
            ]
        )
    )


COLUMNS = {
    "requestId": ["request.id", "request_id", "http.request_id"],
    "userId": ["enduser.id", "user.id", "user_id"],
    "ipAddress": ["client.address", "ip", "ip_address", "net.peer.ip", "net.sock.peer.addr"],
    "service": ["service.name", "service_name", "service"],
}


@st.composite
def columns(draw: st.DrawFn) -> Part:
    """Metadata that fills columns: the first text that is not blank counts, in this order."""
    content: dict[str, Any] = {}
    stored: dict[str, Any] = {"metadata": content}
    for column, names in COLUMNS.items():
        first = draw(st.integers(0, len(names)))
        for name in names[:first]:
            content[name] = draw(st.sampled_from([7, None, "", "  ", ["x"], {"a": 1}]))
        for place, name in enumerate(names[first:]):
            content[name] = draw(letters)
            if place == 0:
                stored[column] = content[name]
    return Part(json.dumps(content), stored)


FIELDS: dict[str, st.SearchStrategy[Part]] = {
    "level": level(),
    "message": message(),
    "timestamp": moment(),
    "lineNumber": line(),
    "sourceFile": source(),
    "metadata": metadata(),
    "service": service(),
}


def assemble(draw: st.DrawFn, parts: dict[str, Part]) -> Case:
    """The entry that these fields make, and what the server makes of it."""
    pairs = [f'"{name}":{part.json}' for name, part in parts.items() if part.json is not None]
    pairs += draw(st.sampled_from([[], ['"foo":"\\u0000"'], ['"source_file":"a"']]))
    text = "{" + ",".join(draw(st.permutations(pairs))) + "}"
    refused = parts["level"].refused or parts["message"].refused
    if refused is not None:
        return Case(text, refused=refused)
    if any(part.poison for part in parts.values()):
        return Case(text, poison=True)
    stored: dict[str, Any] = {}
    for part in parts.values():
        stored |= part.stored
    return Case(text, stored=stored)


@st.composite
def entry(draw: st.DrawFn) -> Case:
    kind = draw(st.integers(0, 19))
    if kind == 0:
        literal = draw(st.sampled_from(["null", "5", '"x"', "true", "1.5"]))
        return Case(literal, refused="must be an object")
    if kind == 1:
        literal = draw(st.sampled_from(["[]", '["level"]']))
        return Case(literal, refused="missing required field 'level'")
    # Poison hides everything else in its batch, so most entries are made without.
    poison = draw(st.integers(0, 11)) == 0
    strategies = FIELDS | ({"metadata": columns()} if kind < 8 else {})
    return assemble(
        draw,
        {
            name: draw(strategy.filter(lambda part: poison or not part.poison))
            for name, strategy in strategies.items()
        },
    )


@st.composite
def odd_entry(draw: st.DrawFn) -> Case:
    """An entry in which one field is anything and the others are plain."""
    plain = {
        "level": Part('"info"', {"level": "info"}),
        "message": Part('"plain"', {"message": "plain"}),
    }
    name = draw(st.sampled_from([*FIELDS, "columns"]))
    odd = {"metadata": draw(columns())} if name == "columns" else {name: draw(FIELDS[name])}
    return assemble(draw, plain | odd)


def shown(entry: Any) -> dict[str, Any]:
    return {
        "level": entry.level,
        "message": entry.message,
        "timestamp": entry.timestamp,
        "service": entry.service,
        "metadata": entry.metadata,
        "sourceFile": entry.source_file,
        "lineNumber": entry.line_number,
        "requestId": entry.request_id,
        "userId": entry.user_id,
        "ipAddress": entry.ip_address,
    }


def expect_stored(shared: DevServer, before: int, expected: list[dict[str, Any]]) -> None:
    stored = [shown(entry) for entry in shared.entries(before)]
    assert len(stored) == len(expected)
    for actual, wanted in zip(stored, expected, strict=True):
        # Without a time of its own an entry has the server's now.
        if "timestamp" not in wanted:
            sent = datetime.fromisoformat(actual["timestamp"].replace("Z", "+00:00"))
            assert abs(datetime.now(timezone.utc) - sent) < timedelta(minutes=1)
        assert actual == dict.fromkeys(actual) | {"timestamp": actual["timestamp"]} | wanted


@QUICK
@given(
    cases=st.lists(entry(), max_size=5),
    blank=st.text(" \t\r\n", max_size=3),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_a_batch_of_known_entries(
    shared: DevServer, wire: httpx.Client, cases: list[Case], blank: str, mark: str
) -> None:
    before = shared.count()
    body = f"{blank}[{blank}{f'{blank},{blank}'.join(case.json for case in cases)}]{blank}"
    answer = wire.post("/v1/ingest", content=(mark + body).encode())

    if not cases:
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")
        return
    if any(case.poison for case in cases):
        assert answer.status_code == 500
        expect_stored(shared, before, [])
        return
    errors = [f"Entry at index {i}: {case.refused}" for i, case in enumerate(cases) if case.refused]
    good = [case.stored for case in cases if case.stored is not None]
    wanted: dict[str, Any] = {"accepted": len(good)}
    if errors:
        wanted |= {"rejected": len(errors), "errors": errors}
    assert (answer.status_code, answer.json()) == (200, wanted)
    expect_stored(shared, before, good)


@QUICK
@given(case=odd_entry())
def test_one_entry_without_an_array(shared: DevServer, wire: httpx.Client, case: Case) -> None:
    before = shared.count()
    answer = wire.post("/v1/ingest", content=case.json.encode())
    assert answer.status_code == (500 if case.poison else 200)
    if case.refused:
        errors = [f"Entry at index 0: {case.refused}"]
        assert answer.json() == {"accepted": 0, "rejected": 1, "errors": errors}
    expect_stored(shared, before, [case.stored] if case.stored is not None else [])


MIDDLES = [
    vector
    for vector in json.loads(RECORDED.read_text())["vectors"]
    if isinstance(vector["body"], str)
    and vector["body"].startswith(f"[{GOOD},")
    and vector["body"].endswith(f",{GOOD}]")
    and vector["body"].count(GOOD) == 2
]


def test_there_are_enough_to_move() -> None:
    assert len(MIDDLES) == 60


@QUICK
@given(
    vector=st.sampled_from(MIDDLES),
    size=st.sampled_from([1, 2, 7, 99, 100, 101, 102, 150]),
    place=st.floats(0, 1, exclude_max=True),
)
def test_a_recorded_entry_elsewhere_in_a_batch_of_another_size(
    shared: DevServer, wire: httpx.Client, vector: dict[str, Any], size: int, place: float
) -> None:
    ahead = int(place * size)
    behind = size - 1 - ahead
    middle = vector["body"][len(GOOD) + 2 : -len(GOOD) - 2]
    before = shared.count()
    body = f"[{','.join([GOOD] * ahead + [middle] + [GOOD] * behind)}]"
    answer = wire.post("/v1/ingest", content=body.encode())

    if size > 100:
        assert answer.status_code == 400
        assert answer.json() == {
            "error": "batch_too_large",
            "message": f"Batch exceeds maximum limit of 100 logs. Received {size} logs.",
        }
        assert shared.count() == before
        return
    assert answer.status_code == vector["status"]
    if vector["status"] == 500:
        assert shared.count() == before
        return
    refused = vector["answer"].get("rejected", 0)
    wanted = {"accepted": size - refused}
    if refused:
        errors = [
            error.replace("index 1", f"index {ahead}") for error in vector["answer"]["errors"]
        ]
        wanted |= {"rejected": refused, "errors": errors}
    assert answer.json() == wanted
    stored = shared.entries(before)
    assert len(stored) == size - refused
    if not refused:
        recorded = vector["stored"][0] if vector["stored"] else {"message": "good"}
        assert stored[ahead].message == recorded["message"]


@QUICK
@given(padding=st.integers(524_280, 524_300), at=st.sampled_from(["message", "space"]))
def test_the_size_limit_counts_every_byte(
    shared: DevServer, wire: httpx.Client, padding: int, at: str
) -> None:
    fill = padding - len(GOOD)
    message = "g" * (fill + 4)
    body = GOOD + " " * fill if at == "space" else GOOD.replace("good", message)
    before = shared.count()
    answer = wire.post("/v1/ingest", content=body.encode())
    fits = padding <= 524_288
    assert answer.status_code == (200 if fits else 413)
    assert shared.count() == before + fits
