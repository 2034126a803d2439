"""Typical records, ready-made bodies of them, and an exporter whose pace does not limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from subjects import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from logwell_otel import LogwellLogExporter


def typical_records(count: int) -> list[Any]:
    """Records of eight attributes, made by OpenTelemetry."""
    from bench_encode import make_records, typical

    return list(make_records(typical, count))


def bodies(records: Sequence[Any]) -> list[bytes]:
    """The requests that they become."""
    from logwell_otel._encoding.encoder import Encoder
    from logwell_otel._encoding.mapping import Mapper

    return [chunk.body() for chunk in Encoder(Mapper()).encode(records).chunks]


def exporter(endpoint: str) -> LogwellLogExporter:
    """One that sends as fast as it can."""
    from logwell_otel import LogwellLogExporter

    return LogwellLogExporter(endpoint, KEY, requests_per_minute=1_000_000)
