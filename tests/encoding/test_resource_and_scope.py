"""Resource and scope: what entries get of them, once for all their records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from logwell_otel._encoding.encoder import Encoder
from logwell_otel._encoding.mapping import Mapper
from logwell_otel._otel import LogRecord
from support.entries import RESOURCE, Application, bounded, encode, entries, entry, record

LONG = "ü" * 2000


class Counting(Mapping[str, Any]):
    """Attributes that count how often they are read."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self.read = 0

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def __iter__(self) -> Iterator[str]:
        self.read += 1
        return iter(self.attributes)

    def __len__(self) -> int:
        return len(self.attributes)


def resource_with(attributes: Any) -> Resource:
    resource = Resource({})
    resource._attributes = attributes  # noqa: SLF001 - what the SDK would not let in
    return resource


class TestEncodedOnce:
    def test_a_resource_is_read_once_for_all_records_scopes_and_batches(self) -> None:
        attributes = Counting({"service.name": "shop", "host.name": "web-1"})
        resource = resource_with(attributes)
        scopes = [InstrumentationScope(f"logger.{number}") for number in range(300)]
        encoder = Encoder(Mapper())
        for _ in range(3):
            batch = [record(resource=resource, scope=scope) for scope in scopes]
            chunks = encoder.encode(batch).chunks
            for chunk in chunks:
                assert chunk.body().count(b'"resource":{"host.name":"web-1"}') == chunk.count
        assert attributes.read == 1

    def test_its_json_is_the_same_object_in_every_entry(self) -> None:
        mapper = Mapper()
        found = []
        for name in ("a", "b"):
            one = record(scope=InstrumentationScope(name))
            log = one.log_record
            found.append(mapper.entry(log, mapper.severity(log), mapper.resource_scope(one)))
        assert type(found[0].metadata["resource"]) is msgspec.Raw
        assert found[0].metadata["resource"] is found[1].metadata["resource"]

    def test_a_new_resource_is_noticed(self) -> None:
        """After a fork the SDK gives its loggers another one: the scope stays the same."""
        scope = InstrumentationScope("a")
        first, second = Resource({"n": 1}), Resource({"n": 2})
        batch = [record(resource=resource, scope=scope) for resource in (first, second, first)]
        assert [found["metadata"]["resource"] for found in entries(batch)] == [
            {"n": 1},
            {"n": 2},
            {"n": 1},
        ]

    def test_a_freed_resource_or_scope_is_not_taken_for_a_new_one(self) -> None:
        """Ids of freed objects are used again: what is cached is held."""
        encoder = Encoder(Mapper())
        for number in range(500):
            one = record(resource=Resource({"n": number}), scope=InstrumentationScope(f"s{number}"))
            [chunk] = encoder.encode([one]).chunks
            [found] = json.loads(chunk.body())
            assert found["metadata"] == {"resource": {"n": number}, "otel.scope.name": f"s{number}"}
            del one, found

    @pytest.mark.slow
    def test_loggers_and_resources_without_end_do_not_fill_the_memory(self) -> None:
        mapper = Mapper()
        scopes: Any = mapper.resource_scope.__self__  # type: ignore[attr-defined]
        for number in range(5000):
            mapper.resource_scope(
                record(resource=Resource({}), scope=InstrumentationScope(f"s{number}"))
            )
        assert len(scopes._scopes) <= 2048  # noqa: SLF001
        assert len(scopes._resources) <= 16  # noqa: SLF001


class TestResource:
    def test_what_is_left_out_of_it(self) -> None:
        resource = Resource.create({"service.name": "shop", "telemetry.sdk.extra": 1, "a.b": [1]})
        found = entry(resource=resource)["metadata"]["resource"]
        found.pop("service.instance.id", None)  # the SDK's own, since 1.40
        assert found == {"a.b": [1]}

    def test_none_at_all(self) -> None:
        for resource in (Resource({}), Resource({"service.name": "x"}), None):
            assert "resource" not in entry(resource=resource)["metadata"]

    def test_awkward_values(self) -> None:
        attributes: dict[Any, Any] = {
            "a\0": "b\ud800",
            "n": float("nan"),
            "i": 2**70,
            5: "five",
            "5": "text",
            "raw": b"\xff",
            "deep": {"x": [object]},
        }
        assert entry(resource=resource_with(attributes))["metadata"]["resource"] == {
            "a\ufffd": "b\ufffd",
            "n": "NaN",
            "i": str(2**70),
            "5": "five",
            "5#2": "text",
            "raw": "/w==",
            "deep": {"x": ["<class 'object'>"]},
        }

    def test_a_huge_one_is_cut_to_32_kib_once(self) -> None:
        attributes = {f"k{number}": "x" * 900 for number in range(100)}
        found = entry(resource=Resource({**attributes, "service.name": "shop"}))
        resource = found["metadata"]["resource"]
        assert resource.pop("logwell.truncated") is True
        assert len(json.dumps(resource)) <= 33 * 1024
        assert found["service"] == "shop"
        assert found["message"] == "hello"
        assert "logwell.truncated" not in found["metadata"]

    def test_a_long_value_in_it_keeps_the_others_whole(self) -> None:
        found = entry(resource=Resource({"process.owner": "x" * 100_000, "host.name": "h"}))
        resource = found["metadata"]["resource"]
        assert resource["host.name"] == "h"
        assert resource["process.owner"].startswith("x" * 8000)


class TestService:
    @pytest.mark.parametrize(
        ("own", "exporter", "of_resource", "expected"),
        [
            ("record", "exporter", "resource", "record"),
            (None, "exporter", "resource", "exporter"),
            (None, None, "resource", "resource"),
            (None, " ", "resource", "resource"),
            (" ", None, "resource", "resource"),
            ("\ufeff", "exporter", "resource", "exporter"),
            (None, None, None, None),
            (None, None, "", None),
            (None, None, " \u2003", None),
            ("record", None, None, "record"),
        ],
    )
    def test_who_wins(
        self, own: str | None, exporter: str | None, of_resource: str | None, expected: str | None
    ) -> None:
        attributes = {} if own is None else {"service.name": own}
        resource = Resource({} if of_resource is None else {"service.name": of_resource})
        found = entry(Mapper(exporter), attributes=bounded(attributes), resource=resource)
        assert found.get("service") == expected
        kept = {"service.name": own} if own is not None and not own.strip(" \ufeff") else {}
        scope = {"otel.scope.name": "shop.orders", "otel.scope.version": "1.0"}
        assert found["metadata"] == {**kept, **scope}

    @pytest.mark.parametrize("value", [5, None, ["a"], b"shop", True])
    def test_a_name_that_is_no_text_stays_an_attribute(self, value: Any) -> None:
        found = entry(attributes=bounded({"service.name": value}))
        assert found["service"] == "shop"
        expected = {5: 5, None: None, b"shop": "c2hvcA==", True: True}
        assert found["metadata"]["service.name"] == (["a"] if value == ["a"] else expected[value])

    def test_a_resource_name_that_is_no_text(self) -> None:
        found = entry(resource=Resource({"service.name": 5}))
        assert "service" not in found
        assert found["metadata"]["resource"] == {"service.name": 5}

    def test_a_long_name_is_cut_to_what_the_servers_index_takes(self) -> None:
        cut = "ü" * 512
        assert entry(Mapper(LONG))["service"] == cut
        assert entry(resource=Resource({"service.name": LONG}))["service"] == cut
        own = entry(attributes=bounded({"service.name": LONG}))
        assert (own["service"], own["metadata"]["service.name"]) == (cut, LONG)

    @pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
    def test_an_unstorable_name(self, name: str) -> None:
        assert entry(Mapper(name))["service"] == "a\ufffdb"
        assert entry(resource=resource_with({"service.name": name}))["service"] == "a\ufffdb"
        own = entry(attributes=bounded({"service.name": name}))
        assert (own["service"], own["metadata"]["service.name"]) == ("a\ufffdb", "a\ufffdb")


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (InstrumentationScope("a", "1"), {"otel.scope.name": "a", "otel.scope.version": "1"}),
            (InstrumentationScope("a"), {"otel.scope.name": "a"}),
            (InstrumentationScope("", "1"), {"otel.scope.version": "1"}),
            (
                InstrumentationScope("a\0", "\ud800"),
                {"otel.scope.name": "a\ufffd", "otel.scope.version": "\ufffd"},
            ),
            (InstrumentationScope(LONG), {"otel.scope.name": "ü" * 512}),
            (InstrumentationScope(5, 1.5), {"otel.scope.name": "5", "otel.scope.version": "1.5"}),  # type: ignore[arg-type]
            (None, {}),
        ],
    )
    def test_name_and_version(
        self, scope: InstrumentationScope | None, expected: dict[str, Any]
    ) -> None:
        assert entry(scope=scope, resource=None).get("metadata", {}) == expected

    def test_attributes(self) -> None:
        application = Application()
        application.logger(attributes={"team": "orders", "n": [1, 2]}).emit(LogRecord(body="x"))
        [found] = application.entries()
        assert found["metadata"]["otel.scope.attributes"] == {"team": "orders", "n": [1, 2]}

    def test_many_attributes_are_cut(self) -> None:
        scope = InstrumentationScope("a", attributes={f"k{n}": "x" * 900 for n in range(30)})
        kept = entry(scope=scope)["metadata"]["otel.scope.attributes"]
        assert kept["logwell.truncated"] is True
        assert len(json.dumps(kept)) < 9 * 1024

    def test_they_survive_the_careful_path(self) -> None:
        scope = InstrumentationScope("a", attributes={"team": "orders"})
        found = entry(scope=scope, body="a\0b", resource=RESOURCE)
        assert found["message"] == "a\ufffdb"
        assert found["metadata"]["otel.scope.attributes"] == {"team": "orders"}
        assert found["metadata"]["resource"] == {"host.name": "web-1"}


def test_the_number_of_dropped_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "2")
    application = Application()
    with pytest.warns(UserWarning, match="dropped"):
        application.logger().emit(
            LogRecord(body="x", attributes={f"k{number}": number for number in range(5)})
        )
    [found] = application.entries()
    assert found["metadata"]["otel.dropped_attributes_count"] == 3
    assert {key for key in found["metadata"] if key.startswith("k")} == {"k3", "k4"}


def test_attributes_of_a_subclass_of_the_sdks_container() -> None:
    class Special(BoundedAttributes):
        pass

    attributes = Special(maxlen=1, attributes={"a": 1, "b": 2}, immutable=False)
    [found] = entries([record(attributes=attributes)])
    assert found["metadata"]["otel.dropped_attributes_count"] == 1
    assert found["metadata"]["b"] == 2


def test_an_empty_batch_needs_nothing() -> None:
    assert encode([]).chunks == []
