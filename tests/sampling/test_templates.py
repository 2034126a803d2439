"""The template of a message as an attribute by option, and sampling by it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

import logwell_otel
from logwell_otel._encoding.events import templates
from logwell_otel.handler import LogwellHandler
from logwell_otel.sampling import Sampler, SamplingLogRecordProcessor, signature
from support.records import Recorder, attributes_of, provider_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logwell_otel.devserver import DevServer

TEMPLATE = "log.body.template"


@pytest.fixture
def wanted() -> Iterator[None]:
    templates.wanted = True
    yield
    templates.wanted = False


def logged(record: logging.LogRecord) -> tuple[Any, Any]:
    recorder = Recorder()
    LogwellHandler(logger_provider=provider_with(recorder)).handle(record)
    return recorder.only.body, attributes_of(recorder.only).get(TEMPLATE)


def record_of(message: Any, *arguments: Any, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("shop", logging.INFO, "a.py", 1, message, arguments, None)
    made.__dict__.update(fields)
    return made


@pytest.mark.usefixtures("wanted")
@pytest.mark.parametrize(
    ("record", "body", "template"),
    [
        (record_of("order %s placed", 17), "order 17 placed", "order %s placed"),
        (record_of("%(who)s left", {"who": "ann"}), "ann left", "%(who)s left"),
        (record_of("100 % sure"), "100 % sure", None),
        (record_of("order 17 placed"), "order 17 placed", None),
        (record_of("order %s", args=["17"]), "order ['17']", "order %s"),
        (
            record_of({"event": "order %s", "positional_args": (7,), "_from_structlog": True}),
            "order 7",
            "order %s",
        ),
        (record_of({"event": "order placed", "order_id": 7}), "order placed", None),
        (record_of("sent %s", 1, **{TEMPLATE: "own"}), "sent 1", "sent %s"),
    ],
)  # fmt: skip
def test_the_template_of_what_has_arguments(
    record: logging.LogRecord, body: str, template: str | None
) -> None:
    assert logged(record) == (body, template)


@pytest.mark.usefixtures("wanted")
@pytest.mark.parametrize(
    ("record", "template"),
    [
        (record_of(ValueError("no"), 7), None),
        (record_of("", 7), None),
        (record_of("%d", "x"), "%d"),
        (record_of("order placed", 7), "order placed"),
    ],
)
def test_the_template_of_what_could_not_be_formatted(
    record: logging.LogRecord, template: str | None
) -> None:
    body, found = logged(record)
    assert "not formatted" in body
    assert found == template


def test_off_by_default() -> None:
    assert logged(record_of("order %s placed", 17)) == ("order 17 placed", None)


@pytest.mark.usefixtures("wanted")
def test_a_template_is_as_long_as_a_message_may_be() -> None:
    template = logged(record_of("x" * 200_000 + "%s", 1))[1]
    assert len(template) < 200_000
    assert template.endswith("x%s")


NAMES = ["ann", "bob", "eve", "max", "zoe"]


def kept(level: int = logging.INFO) -> int:
    """Records with a name in them, of those that a rate of nothing keeps: one of each pattern."""
    recorder = Recorder()
    sampler = Sampler({"info": 0.0}, clock=lambda: 0.0)
    handler = LogwellHandler(
        logger_provider=provider_with(SamplingLogRecordProcessor(recorder, sampler))
    )
    for name in NAMES:
        record = record_of("%s signed in", name)
        record.levelno = level
        handler.handle(record)
    return len(recorder.records)


def kept_by_filter() -> int:
    decides = Sampler({"info": 0.0}, clock=lambda: 0.0).as_logging_filter()
    return sum(bool(decides.filter(record_of("%s signed in", name))) for name in NAMES)


def test_without_templates_each_name_is_a_pattern_of_its_own() -> None:
    assert (kept(), kept_by_filter()) == (5, 5)


@pytest.mark.usefixtures("wanted")
def test_sampling_goes_by_the_template() -> None:
    assert (kept(), kept_by_filter()) == (1, 1)


@pytest.mark.usefixtures("wanted")
def test_rates_by_the_signature_of_the_template() -> None:
    rates = {signature("%s signed in"): 1.0}
    sampler = Sampler({"info": 0.0}, pattern_rates=rates, clock=lambda: 0.0)
    recorder = Recorder()
    handler = LogwellHandler(
        logger_provider=provider_with(SamplingLogRecordProcessor(recorder, sampler))
    )
    for name in NAMES:
        handler.handle(record_of("%s signed in", name))
    assert recorder.bodies == [f"{name} signed in" for name in NAMES]


def test_by_a_setting(receiver: DevServer) -> None:
    logger = logging.getLogger("shop.templates")
    logger.setLevel(logging.INFO)
    try:
        pipeline = logwell_otel.configure(
            receiver.url,
            receiver.key,
            logger=logger,
            message_template=True,
            sampling=True,
            sample_rates={"info": 0.0},
        )
        for name in NAMES:
            logger.info("%s signed in", name)
        assert pipeline.force_flush()
        pipeline.shutdown()
    finally:
        templates.wanted = False
    (entry,) = receiver.entries()
    assert (entry.message, entry.metadata[TEMPLATE]) == ("ann signed in", "%s signed in")
    assert entry.metadata["sampling.rate"] == 1


def test_with_structlog_s_loggers_for_the_standard_library() -> None:
    structlog = pytest.importorskip("structlog")
    from logwell_otel.integrations.structlog import LogwellProcessor

    recorder = Recorder()
    templates.wanted = True
    try:
        log = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[LogwellProcessor(provider_with(recorder)), structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        log.info("order %s placed", 17, customer="ann")
    finally:
        templates.wanted = False
    attributes = attributes_of(recorder.only)
    assert (recorder.only.body, attributes[TEMPLATE]) == ("order 17 placed", "order %s placed")
    assert attributes["customer"] == "ann"
    assert "positional_args" not in attributes
