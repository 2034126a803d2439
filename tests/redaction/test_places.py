"""Where a secret can stand: structures, bytes, and what many records share, through `export()`."""

from __future__ import annotations

import base64
import enum
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._encoding.stages import Stages
from logwell_otel.redaction import Redactor
from support.bench import Bench
from support.records import needs_mixed_lists, record
from support.redaction import redacted, requests

if TYPE_CHECKING:
    from logwell_otel import LogEntry

PAIRS: list[Any] = [
    ([("x-api-key", "abc")], [["x-api-key", "[redacted:api_key]"]]),
    ([["x-api-key", "abc"], ["host", "h"]], [["x-api-key", "[redacted:api_key]"], ["host", "h"]]),
    ({"headers": [("Cookie", "a")]}, {"headers": [["Cookie", "[redacted:cookie]"]]}),
    (("password", "swordfish"), ["password", "[redacted:password]"]),
    (["token", "8f3a21c9"], ["token", "[redacted:token]"]),
    (["password:", "swordfish"], ["password:", "[redacted:password]"]),
    (["x-api-key=", "swordfish-17"], ["x-api-key=", "[redacted:api_key]"]),
    (["password:", "token:"], ["password:", "token:"]),
    ({"api_keys": 3, "secrets": [3]}, {"api_keys": 3, "secrets": "[redacted:secret]"}),
    ({"pass\u200bword": "x"}, {"pass\u200bword": "[redacted:password]"}),
    ({"\uff50\uff49\uff4e": "4711"}, {"\uff50\uff49\uff4e": "[redacted:pin]"}),
    pytest.param([["token", ["a", "b"]]], [["token", "[redacted:token]"]], marks=needs_mixed_lists),
    pytest.param([["cvv", 123]], [["cvv", "[redacted:card]"]], marks=needs_mixed_lists),
    (["run", "--password", "swordfish", "-v"], ["run", "--password", "[redacted:password]", "-v"]),
    (["--token", "--verbose", "x"], ["--token", "--verbose", "x"]),
    (["--token=abc", "x"], ["--token=[redacted:token]", "x"]),
    ({"name": "password", "value": "x"}, {"name": "password", "value": "[redacted:password]"}),
    ({"Name": "DbPassword", "Value": "x"}, {"Name": "DbPassword", "Value": "[redacted:password]"}),
    (
        {"ParameterKey": "DbPassword", "ParameterValue": "x"},
        {"ParameterKey": "DbPassword", "ParameterValue": "[redacted:password]"},
    ),
    (
        {"OptionName": "DbPassword", "Value": "x"},
        {"OptionName": "DbPassword", "Value": "[redacted:password]"},
    ),
    ({"type": "password", "value": "x"}, {"type": "password", "value": "[redacted:password]"}),
    ({"id": "password", "value": "x"}, {"id": "password", "value": "[redacted:password]"}),
    ({"type": "token", "value": "("}, {"type": "token", "value": "("}),
    (
        {"field": "password", "old": "x1", "new": "x2"},
        {"field": "password", "old": "[redacted:password]", "new": "[redacted:password]"},
    ),
    ({"k": "api_key", "v": "x"}, {"k": "api_key", "v": "[redacted:api_key]"}),
    ({"name": "X-Api-Key", "values": ["x"]}, {"name": "X-Api-Key", "values": "[redacted:api_key]"}),
    (
        {"a_key": "password", "a_value": "x", "b_key": "size", "b_value": "large"},
        {
            "a_key": "password",
            "a_value": "[redacted:password]",
            "b_key": "size",
            "b_value": "large",
        },
    ),
    (
        {"loc": ("body", "password"), "msg": "too short", "input": "x"},
        {"loc": ["body", "password"], "msg": "too short", "input": "[redacted:password]"},
    ),
    ({"loc": ["body", "name"], "input": "x"}, {"loc": ["body", "name"], "input": "x"}),
    (
        ["curl", "-u", "bob:hunter2", "-b", "sid=1", "https://h"],
        ["curl", "-u", "bob:[redacted:password]", "-b", "[redacted:cookie]", "https://h"],
    ),
    (["/usr/bin/mysql", "-phunter2"], ["/usr/bin/mysql", "-p[redacted:password]"]),
    (["sshpass", "-p", "hunter2", "ssh"], ["sshpass", "-p", "[redacted:password]", "ssh"]),
    (["docker", "login", "-p", "x7"], ["docker", "login", "-p", "[redacted:password]"]),
    (["mysql", "-p", "shop"], ["mysql", "-p", "shop"]),
    (["http", "-a", "bob:x7", "h"], ["http", "-a", "bob:[redacted:password]", "h"]),
    (["openssl", "enc", "-k", "x7"], ["openssl", "enc", "-k", "[redacted:password]"]),
    (["twine", "upload", "-p", "x7"], ["twine", "upload", "-p", "[redacted:password]"]),
    (["smbclient", "-U", "bob%x7"], ["smbclient", "-U", "bob%[redacted:password]"]),
    ({"access_tokens": 3, "tokens": ["a"]}, {"access_tokens": 3, "tokens": ["a"]}),
    ({"access_tokens": ["a"]}, {"access_tokens": "[redacted:token]"}),
    (["curl", '-u "bob:x"'], ["curl", '-u "bob:[redacted:password]"']),
    (
        ["Host", "h", "Authorization", "Bearer x", "Cookie", "a=b", "X-Api-Key", "<<16>>"],
        [
            *("Host", "h", "Authorization", "[redacted:authorization]"),
            *("Cookie", "[redacted:cookie]", "X-Api-Key", "<<16>>"),
        ],
    ),
    (
        ["name", "bob", "token", "a1b2c3d4e5f6a7b8"],
        ["name", "bob", "token", "[redacted:token]"],
    ),
    (["password", "email"], ["password", "email"]),
    (["auth", "service"], ["auth", "service"]),
    (["session", "closed"], ["session", "closed"]),
    (["password", "token"], ["password", "token"]),
    (["password", "token", "x"], ["password", "token", "x"]),
    ([["password", None], ["token", ""]], [["password", None], ["token", ""]]),
    ({"name": "size", "value": "x"}, {"name": "size", "value": "x"}),
]


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=repr)
def test_a_name_and_its_value_in_one_structure(before: Any, after: Any) -> None:
    for place in (lambda value: {"note": value}, lambda value: {"a": {"b": [1, value]}}):
        sent = requests([record(attributes=place(before)), record(place(before))], redact=True)
        assert sent == requests([record(attributes=place(after)), record(place(after))])


def test_a_name_and_its_value_in_the_attributes_themselves() -> None:
    for before, after in (
        ({"name": "password", "value": "x"}, {"name": "password", "value": "[redacted:password]"}),
        ({"value": "x", "key": "api_key"}, {"value": "[redacted:api_key]", "key": "api_key"}),
        ({"name": "size", "value": "x"}, {"name": "size", "value": "x"}),
        ({"content": "x", "n": 1}, {"content": "x", "n": 1}),
    ):
        for _ in range(2):  # a name that was seen before is not asked about again
            sent = requests([record("x", attributes=before)] * 2, redact=True)
            assert sent == requests([record("x", attributes=after)] * 2)


@pytest.mark.parametrize("value", [b"sig=abc", "sig=abc"])
@pytest.mark.parametrize("name", ["url.query", "query", "query_string", "QUERY_STRING"])
def test_the_first_of_a_query_by_the_name_it_stands_under(name: str, value: object) -> None:
    (entry,) = redacted(record({"scope": {name: value}}))
    assert entry["metadata"]["body"] == {"scope": {name: "sig=[redacted:signature]"}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"password": "hunter2"}', '{"password": "[redacted:password]"}'),
        (b"to bob@example.com", "to [redacted:email]"),
        (b"\xff\xfe token=abc", None),
        (b"caf\xe9 token=abc", "caf\ufffd token=[redacted:token]"),
        ("token=abc".encode("utf-16"), "token=[redacted:token]"),
        (b"\x00token=abc", "\ufffdtoken=[redacted:token]"),
        (b"plain", b"plain"),
        (b"", b""),
        (b"\xff\x00\x01", b"\xff\x00\x01"),
    ],
)
def test_bytes_are_read_as_text(before: bytes, after: bytes | str | None) -> None:
    def records(value: object) -> list[Any]:
        return [
            record(attributes={"note": value, "list": [value], "deep": {"x": {"y": value}}}),
            record({"note": [value, 1]}),
            record(value),
        ]

    sent = requests(records(before), redact=True)
    if after is None:  # broken UTF-16: whatever it is read as, the secret is not in it
        assert b"abc" not in b"".join(sent)
        return
    assert sent == requests(records(after))


def test_bytes_of_every_type_and_in_pairs() -> None:
    class Code(enum.Enum):
        SECRET = b"password=hunter2"

    data = b"password=hunter2"
    for body in (data, bytearray(data), memoryview(data), Code.SECRET):
        assert redacted(record(body))[0]["message"] == "password=[redacted:password]"
    (entry,) = redacted(record({"headers": [[b"authorization", b"Bearer x"], [b"a", b"b"]]}))
    name, value = (base64.b64encode(text).decode() for text in (b"authorization", b"Bearer x"))
    assert entry["metadata"]["body"] == {
        "headers": [[name, "[redacted:authorization]"], ["YQ==", "Yg=="]]
    }
    assert value not in str(entry)
    (entry,) = redacted(record({b"password": b"x"}))
    assert entry["metadata"]["body"] == {"b'password'": "[redacted:password]"}
    (entry,) = redacted(record(None, attributes={"exception.message": data}))
    assert entry["message"] == "password=[redacted:password]"


def test_bytes_longer_than_an_entry_are_looked_at_as_far_as_they_are_sent() -> None:
    data = b"password=hunter2 " + b"x" * 200_000
    for sent in requests([record(data), record(attributes={"note": [data]})], redact=True):
        assert b"[redacted:password]" in sent
        assert base64.b64encode(b"hunter2")[:8] not in sent
        assert base64.b64encode(data)[:40] not in sent


TRACE = 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{TRACE}ValueError: password=hunter2xyz", "ValueError: password=[redacted:password]"),
        (
            f'{TRACE}  File "x.pyx", line 1, in g\nKeyError: token=abc12345',
            "KeyError: token=[redacted:token]",
        ),
        (f"{TRACE}    f(password=secret_of(x))\nE: token=a1", "E: token=[redacted:token]"),
        (
            f"{TRACE}\nDuring handling of the above exception, another one:\n\n{TRACE}V: secret=x1",
            "V: secret=[redacted:secret]",
        ),
        (f"{TRACE}    login(password=pw, token=tk)\nKeyError: 'x'", "KeyError: 'x'"),
    ],
)
def test_in_a_stack_trace_only_source_is_source(before: str, after: str) -> None:
    (entry,) = redacted(record("x", attributes={"exception.stacktrace": before}))
    trace = entry["metadata"]["exception.stacktrace"]
    assert trace.splitlines()[:-1] == before.splitlines()[:-1]
    assert trace.splitlines()[-1] == after


@pytest.mark.parametrize(
    ("query", "after"),
    [
        ("sig=3Q%2Fabc&se=1", "sig=[redacted:signature]&se=1"),
        ("se=1&sig=3Q%2Fabc", "se=1&sig=[redacted:signature]"),
        ("sig=abc", "sig=[redacted:signature]"),
        ("key=12ab34cd56", "key=[redacted:api_key]"),
        ("code=abc&state=xyz", "code=[redacted:auth_code]&state=xyz"),
        ("state=xyz&code=4/0AX4XfWh", "state=xyz&code=[redacted:auth_code]"),
        ("code=SplxlOBeZQQYbYS6WxSbIA", "code=[redacted:auth_code]"),
        ("code=404", "code=404"),
        ("code=SUMMER25&x=1", "code=SUMMER25&x=1"),
        ("signature=0f1e&hmac=2d3c", "signature=[redacted:signature]&hmac=[redacted:signature]"),
    ],
)
def test_the_query_of_a_url(query: str, after: str) -> None:
    names = {"url.query": query, "url.full": f"https://h/x?{query}", "note": f"GET /x?{query} 200"}
    (entry,) = redacted(record(attributes=names))
    del entry["metadata"]["otel.scope.name"]
    assert entry["metadata"] == {name: value.replace(query, after) for name, value in names.items()}


class Counting(Redactor):
    """Counts the entries that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def redact_entry(self, entry: LogEntry) -> LogEntry:
        self.entries += 1
        return super().redact_entry(entry)


def test_what_records_share_is_redacted_once_for_each_origin() -> None:
    redactor = Counting()
    origins = [
        (
            Resource({"service.name": f"bob{n}@example.com", "db": "redis://:pw@h"}),
            InstrumentationScope("token=abc", "password=x1", attributes={"api_key": "k"}),
        )
        for n in range(2)
    ]
    records = [
        record(
            "x", attributes={"code.file.path": "/home/bob@example.com/a.py"}, resource=r, scope=s
        )
        for r, s in origins
    ]
    entries = redacted(*records * 50, redact=redactor)
    assert len(entries) == 100
    for entry in entries:
        del entry["timestamp"]
        assert entry == {
            "level": "info",
            "message": "x",
            "service": "[redacted:email]",
            "sourceFile": "/home/[redacted:email]/a.py",
            "metadata": {
                "otel.scope.name": "token=[redacted:token]",
                "otel.scope.version": "password=[redacted:password]",
                "otel.scope.attributes": {"api_key": "[redacted:api_key]"},
                "resource": {"db": "redis://:[redacted:password]@h"},
            },
        }
    # Each record, and once each: two resources, two scopes' names and attributes, services, file.
    assert redactor.entries <= 100 + 2 + 4 + 2 + 1


@pytest.mark.parametrize("redact", [True, False])
def test_the_command_line_of_the_process_is_left_out(redact: bool) -> None:
    resource = Resource(
        {
            "process.pid": 7,
            "process.command": "app.py",
            "process.command_line": "app.py --password hunter2",
            "process.command_args": ("app.py", "--password", "hunter2"),
        }
    )
    (entry,) = redacted(record("x", resource=resource), redact=redact)
    assert entry["metadata"]["resource"] == {"process.pid": 7, "process.command": "app.py"}


def test_a_redactor_that_fails_for_a_resource_lets_nothing_out() -> None:
    class Broken(Redactor):
        def redact_entry(self, entry: LogEntry) -> LogEntry:
            if "host.name" in entry.metadata:
                raise RuntimeError("secret")
            return super().redact_entry(entry)

    bench = Bench(redact=Broken())
    bench.exporter.export([record("x", resource=Resource({"host.name": "h"})), record("y")])
    bench.run()
    assert [b'"y"' in body for body in bench.server.bodies] == [True]
    assert bench.exporter.health().dropped == {"redaction_error": 1}
    bench.check_ledger()


class Foreign(Redactor):
    """May look at everything: its entries hold no ready JSON."""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sample_rates": {"info": 1.0}, "service": "bob@example.com", "source_location": False},
    ],
    ids=repr,
)
def test_what_is_ready_json_changes_nothing(options: dict[str, Any]) -> None:
    """Entries as they are with a redactor that is given plain values, byte by byte."""
    resource = Resource({"service.name": "shop", "host.name": "h", "db": "redis://:pw@h"})
    shared = {"resource": resource, "scope": InstrumentationScope("a", attributes={"x": "y"})}
    traced = {"trace_id": 2**127 + 1, "span_id": 2**63 + 1, "trace_flags": TraceFlags(1)}
    records = [
        record(body, attributes=attributes, event_name=event, **shared, **ids)
        for ids in ({}, traced)
        for body in ("plain", "to bob@example.com", "NUL \0", "lone \ud800", {"a": [1, b"x"]}, None)
        for event in (None, "e")
        for attributes in (
            {},
            {"n": 1, "f": 0.5, "b": b"token=x1", "s": [{"password": "x"}], "big": 10**30},
            {"resource": {"a": 1}, "trace_id": {"b": 2}, "otel.scope.name": "mine", "body": [1]},
            {"lone": "\ud800", "NUL": "\0", "card": 4111111111111111},
        )
    ]
    records += [  # too large for an entry, which costs more than all the others
        record(body, attributes=attributes, **shared, **traced)
        for body in ("to bob@example.com", {"a": [1, b"x"]})
        for attributes in (
            {"long": "x" * 120_000, "data": b"y" * 3000, "deep": {"a": ["z" * 3000]}},
            {f"a{index}": "w" * 900 for index in range(120)},
        )
    ]
    assert Redactor().takes_ready
    assert not Foreign().takes_ready
    sent = requests(records, redact=Redactor(), **options)
    assert sent == requests(records, redact=Foreign(), **options)


def test_names_and_patterns_that_may_mean_the_exporters_own_are_looked_for() -> None:
    traced = record("x", trace_id=2**127 + 1, span_id=7, trace_flags=TraceFlags(1))
    (entry,) = redacted(traced, redact=Redactor(extra_keys=["trace_id"]))
    assert entry["metadata"]["trace_id"] == "[redacted:trace_id]"
    assert entry["metadata"]["span_id"] == "0000000000000007"
    for redactor in (
        Redactor(extra_keys=["trace_id"]),
        Redactor(extra_patterns={"id": r"[0-9a-f]{32}"}),
        Redactor(also=["ip"]),
    ):
        assert not redactor.takes_ready


def test_before_send_sees_plain_values() -> None:
    seen: list[LogEntry] = []

    def before_send(entry: LogEntry) -> LogEntry:
        seen.append(entry)
        return entry

    redacted(record(b"plain", attributes={"a": b"x", "b": {"c": [b"y"]}}), before_send=before_send)
    assert seen[0].message == "cGxhaW4="
    assert seen[0].metadata["a"] == "eA=="
    assert seen[0].metadata["b"] == {"c": ["eQ=="]}


def test_a_mapper_that_does_not_know_of_the_redactor_hides_nothing_from_it() -> None:
    batch = [record({"a": {"password": "hunter2"}}, attributes={"b": {"token": "x1"}})]
    encoder = Encoder(Mapper(), stages=Stages(redactor=Redactor()))
    (chunk,) = encoder.encode(batch).chunks
    assert b"hunter2" not in chunk.body()
    assert b"x1" not in chunk.body()
