"""Whatever a record is made of, the logging call returns and the record arrives."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.handler import HandlerCounts, LogwellHandler
from support.records import Raising, Recorder, attributes_of, provider_with

NOT_ALL_CONVERTED = "not all arguments converted during string formatting"


class Unprintable:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error or ValueError("no text")

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Recording:
    def __init__(self, *processors: Any, formatter: logging.Formatter | None = None) -> None:
        self.recorder = Recorder()
        self.handler = LogwellHandler(logger_provider=provider_with(*processors, self.recorder))
        self.handler.setFormatter(formatter)
        self.logger = logging.Logger("test")
        self.logger.addHandler(self.handler)

    @property
    def body(self) -> Any:
        return self.recorder.only.body

    @property
    def attributes(self) -> dict[str, Any]:
        return attributes_of(self.recorder.only)

    @property
    def counts(self) -> HandlerCounts:
        return self.handler.counts


def test_an_attribute_whose_str_raises() -> None:
    to = Recording()
    to.logger.info("paid", extra={"order": Unprintable(), "amount": 3})
    assert to.body == "paid"
    assert to.attributes["order"] == "<unprintable Unprintable: ValueError: no text>"
    assert to.attributes["amount"] == 3
    assert to.counts == HandlerCounts(values_replaced=1)


def test_a_list_that_contains_itself() -> None:
    to = Recording()
    cycle: list[Any] = ["a"]
    cycle.append(cycle)
    to.logger.info("x", extra={"cycle": cycle, "map": {"in": cycle}})
    assert to.attributes["cycle"] == ("a", "<circular reference>")
    assert to.attributes["map"] == {"in": ("a", "<circular reference>")}
    assert to.counts == HandlerCounts(values_replaced=2)


def test_an_argument_that_cannot_be_had_leaves_the_others() -> None:
    to = Recording()
    to.logger.info("%s paid %d for %s", "ann", 3, Unprintable(KeyError("id")))
    assert to.body == "ann paid 3 for <unprintable Unprintable: KeyError: 'id'>"
    assert to.counts == HandlerCounts(values_replaced=1)


def test_a_named_argument_that_cannot_be_had() -> None:
    to = Recording()
    to.logger.info("%(who)s paid", {"who": Unprintable()})
    assert to.body == "<unprintable Unprintable: ValueError: no text> paid"


@pytest.mark.parametrize(
    ("message", "arguments", "reason"),
    [
        (
            "%d items",
            ("three",),
            "TypeError: %d format: a real number is required, not str; arguments: ('three',)",
        ),
        (
            "%s and %s",
            ("one",),
            "TypeError: not enough arguments for format string; arguments: ('one',)",
        ),
        (
            "done",
            ("x" * 500,),
            f"TypeError: {NOT_ALL_CONVERTED}; arguments: ('{'x' * 198}",
        ),
        (
            "100%",
            (1,),
            "ValueError: incomplete format; arguments: (1,)",
        ),
    ],
)
def test_a_format_that_does_not_fit(message: str, arguments: tuple[Any, ...], reason: str) -> None:
    to = Recording()
    to.logger.info(message, *arguments)
    assert to.body == f"{message} [not formatted: {reason}]"
    assert to.counts == HandlerCounts(messages_unformatted=1)


@pytest.mark.parametrize("message", [Unprintable(), 5, None, ["a"], {"a": 1}])
def test_a_message_that_is_no_text(message: Any) -> None:
    to = Recording()
    to.logger.info(message)
    if isinstance(message, Unprintable):
        assert to.body == "<unprintable Unprintable: ValueError: no text>"
        assert to.counts == HandlerCounts(values_replaced=1)
    else:
        assert (to.body, to.counts) == (str(message), HandlerCounts())


def test_an_exception_whose_text_raises() -> None:
    to = Recording()
    try:
        raise UnprintableError(Unprintable())
    except UnprintableError:
        to.logger.exception("failed")
    assert to.body == "failed"
    assert to.attributes["exception.message"] == "<unprintable: ValueError: no text>"
    assert "in test_an_exception_whose_text_raises" in to.attributes["exception.stacktrace"]


def test_a_formatter_that_raises() -> None:
    to = Recording(formatter=logging.Formatter("%(nowhere)s %(message)s"))
    to.logger.info("hello %s", "ann")
    assert (to.body, to.counts) == ("hello ann", HandlerCounts(messages_unformatted=1))


def test_a_formatter_given_arguments_that_raise() -> None:
    to = Recording(formatter=logging.Formatter("INFO %(message)s"))
    to.logger.info("hello %s", Unprintable())
    assert to.body == "hello <unprintable Unprintable: ValueError: no text>"
    assert to.counts == HandlerCounts(values_replaced=1)


@pytest.mark.parametrize("formatter", [None, logging.Formatter("%(message)s")])
def test_a_record_class_whose_own_message_raises(formatter: logging.Formatter | None) -> None:
    to = Recording(formatter=formatter)

    class Structured(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802 - the standard library's name
            raise ValueError("not today")

    to.handler.handle(Structured("test", logging.INFO, __file__, 1, "x", None, None))
    assert to.body == "x"
    assert to.counts.records_lost == 0


def test_containers_that_change_while_they_are_read() -> None:
    class Growing(dict[str, Any]):
        def items(self) -> Any:
            for pair in super().items():
                self[f"more{len(self)}"] = 1
                yield pair

    to = Recording()
    to.logger.info("x", extra={"growing": Growing(a=1)})
    assert to.attributes["growing"].startswith("<unprintable Growing: RuntimeError: dict")
    assert to.counts == HandlerCounts(values_replaced=1)


def test_values_are_read_when_the_call_is_made() -> None:
    to = Recording()
    tags = ["a"]
    to.logger.info("%s", tags, extra={"tags": tags})
    tags.append("b")
    assert (to.body, to.attributes["tags"]) == ("['a']", ("a",))


def test_logging_from_inside_a_value_is_counted_and_ends() -> None:
    to = Recording()

    class Chatty:
        def __str__(self) -> str:
            to.logger.info("asked", extra={"me": self})
            return "chatty"

    to.logger.info("hello %s", Chatty(), extra={"me": Chatty()})
    assert (to.body, to.attributes["me"]) == ("hello chatty", "chatty")
    assert to.counts == HandlerCounts(records_recursive=2)


def test_logging_from_inside_a_processor_is_counted_and_ends() -> None:
    to = Recording()

    class Chatty(Recorder):
        def on_emit(self, log_record: Any) -> None:
            to.logger.warning("exporting")
            super().on_emit(log_record)

    to.handler = LogwellHandler(logger_provider=provider_with(Chatty(), to.recorder))
    to.logger.handlers = [to.handler]
    to.logger.info("hello")
    assert (to.body, to.counts) == ("hello", HandlerCounts(records_recursive=1))


def test_nothing_is_said_about_replaced_values(capsys: pytest.CaptureFixture[str]) -> None:
    to = Recording()
    to.logger.info("%d", "x", extra={"a": Unprintable(), "b": object(), "": 1, "c": {1: 2}})
    assert capsys.readouterr() == ("", "")
    assert to.counts == HandlerCounts(values_replaced=2, messages_unformatted=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["argument", "attribute", "processor"])
def test_what_ends_a_program_passes(error: BaseException, where: str) -> None:
    to = Recording(Raising(error)) if where == "processor" else Recording()
    argument = Unprintable(error) if where == "argument" else "x"
    extra = {"a": Unprintable(error)} if where == "attribute" else {}
    with pytest.raises(type(error)) as caught:
        to.logger.info("%s", argument, extra=extra)
    assert caught.value is error
    # And the handler is as good as before.
    after = Recording()
    after.logger.info("still here")
    assert after.body == "still here"


def test_an_application_that_recurses_without_end_gets_its_own_error() -> None:
    to = Recording()

    def down(level: int) -> None:
        to.logger.info("level %d", level, extra={"bad": Unprintable()})
        down(level + 1)

    with pytest.raises(RecursionError):
        down(0)
    before = len(to.recorder.records)
    assert before > 10
    to.logger.info("up again")
    assert len(to.recorder.records) == before + 1


def test_values_nested_without_end() -> None:
    to = Recording()
    deep: Any = 1
    for _ in range(50_000):
        deep = {"in": [deep]}
    to.logger.info("x", extra={"deep": deep})
    assert to.counts == HandlerCounts(values_replaced=1)


def test_a_lost_record_that_cannot_be_reported_either() -> None:
    to = Recording(Raising(RuntimeError("broken")))

    class Unreportable(LogwellHandler):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
            raise RecursionError

    handler = Unreportable(logger_provider=provider_with(Raising(RuntimeError("broken"))))
    to.logger.handlers = [handler]
    to.logger.info("x")
    assert handler.counts == HandlerCounts(records_lost=1, errors_unreported=1)


anything = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Unprintable),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(
    message=st.text() | anything,
    arguments=st.lists(anything, max_size=3),
    extra=st.dictionaries(st.text(), anything, max_size=3),
)
def test_any_record_at_all_arrives(message: Any, arguments: list[Any], extra: Any) -> None:
    to = Recording()
    record = logging.LogRecord("test", logging.INFO, __file__, 1, message, tuple(arguments), None)
    for name, value in extra.items():
        if name not in record.__dict__:
            record.__dict__[name] = value
    to.handler.handle(record)
    assert isinstance(to.body, str)
    assert to.counts.records_lost == to.counts.records_recursive == 0


def test_a_filter_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be one that takes something out: what it has not seen is not sent."""

    def fails(_: logging.LogRecord) -> bool:
        raise ValueError("no filter")

    to = Recording()
    to.handler.addFilter(fails)
    to.logger.info("a secret")
    assert to.recorder.records == []
    assert to.counts == HandlerCounts(records_lost=1)
    assert "ValueError: no filter" in capsys.readouterr().err
