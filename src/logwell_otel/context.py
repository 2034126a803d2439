"""Attributes for every record of a block, a request, a process.

A record attribute wins over the inner `log_context`, the inner over the outer, and that
over `set_global_context`. The request middlewares of `logwell_otel.integrations` enter such a
block around each request; `add_to_request` adds to it from within.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry.sdk._logs import LogRecordProcessor

from logwell_otel._encoding.values import clean_attributes
from logwell_otel._otel import CleanAttributes

if TYPE_CHECKING:
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import ReadWriteLogRecord

_CallableT = TypeVar("_CallableT", bound=Callable[..., Any])

# Immutable, so that tasks that copied the context never see each other's changes.
_blocks: ContextVar[tuple[LogContext, ...]] = ContextVar("logwell_otel_log_context", default=())

# Replaced as a whole, never changed: reading it needs no lock.
_global: dict[str, Any] = {}


def log_context(attributes: Mapping[str, object] | None = None, /, **named: object) -> LogContext:
    """Add attributes to every record emitted inside a block or a function.

        with log_context(request_id=request_id, user_id=user.id):
            logger.info("order accepted")

        @log_context({"service.name": "billing"})
        async def bill(order): ...

    They follow the code across `await`, into tasks, into `asyncio.to_thread` and into
    whatever else copies the context, which a bare `threading.Thread` by default does not.
    Values are taken as they are when this is called. A value that cannot be turned into an
    attribute is replaced by a placeholder that says why.

    Args:
        attributes: Values by name, for names that are no Python identifiers.
        **named: Values by name; they win over `attributes`.

    Returns:
        A context manager and decorator, for functions and coroutine functions. It may be
        used more than once, also at the same time.

    Raises:
        TypeError: `attributes` is not a mapping.
    """
    return LogContext(_cleaned(attributes, named))


def set_global_context(attributes: Mapping[str, object] | None = None, /, **named: object) -> None:
    """Add attributes to every record of this process, on every thread.

    Replaces what an earlier call has set; without arguments, nothing is left.

    Args:
        attributes: Values by name, for names that are no Python identifiers.
        **named: Values by name; they win over `attributes`.

    Raises:
        TypeError: `attributes` is not a mapping.
    """
    global _global  # noqa: PLW0603 - one process, one global context
    _global = _cleaned(attributes, named)


def add_to_request(attributes: Mapping[str, object] | None = None, /, **named: object) -> None:
    """Add attributes to the request that is being handled: to its further records and its own.

        def current_user(token: str) -> User:  # a dependency of FastAPI's, on another thread
            user = ...
            add_to_request(user_id=user.id)

    For what becomes known somewhere inside: unlike `log_context` it holds until the request
    has ended, and for what goes on elsewhere in it. Outside of a request that a middleware of
    `logwell_otel.integrations` handles, it does nothing.

    Args:
        attributes: Values by name, for names that are no Python identifiers.
        **named: Values by name; they win over `attributes`.

    Raises:
        TypeError: `attributes` is not a mapping.
    """
    cleaned = _cleaned(attributes, named)
    for block in reversed(_blocks.get()):
        if isinstance(block, RequestContext):
            block.add(cleaned)
            return


def current_context() -> dict[str, Any]:
    """Return the attributes that a record emitted here and now gets; not to be changed."""
    blocks = _blocks.get()
    if not blocks:
        return _global
    if len(blocks) == 1 and not _global:
        return blocks[0].attributes
    merged = dict(_global)
    for block in blocks:
        merged.update(block.attributes)
    return merged


class LogContext:
    """What `log_context` returns."""

    __slots__ = ("_attributes",)

    def __init__(self, attributes: dict[str, Any]) -> None:
        self._attributes = attributes

    @property
    def attributes(self) -> dict[str, Any]:
        """Attribute values by name. Not to be changed."""
        return self._attributes

    def __enter__(self) -> LogContext:  # noqa: PYI034 - typing.Self is 3.11
        _blocks.set((*_blocks.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        # Not by token: a generator's block, a FastAPI dependency for one, may be left in
        # another copy of the context than it was entered in, and a token would raise there.
        blocks = _blocks.get()
        if blocks and blocks[-1] is self:  # as nearly always
            _blocks.set(blocks[:-1])
            return
        for index in range(len(blocks) - 1, -1, -1):
            if blocks[index] is self:
                _blocks.set(blocks[:index] + blocks[index + 1 :])
                return

    def __call__(self, function: _CallableT) -> _CallableT:
        """Run a function, or a coroutine function, inside this context.

        Raises:
            TypeError: The function is a generator function; its body would run after the
                block has been left. Use `with` inside it.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "log_context does not decorate generator functions: their body runs after the "
                "call has returned. Use `with log_context(...):` inside the function."
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("_CallableT", run_async)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("_CallableT", run)

    def __repr__(self) -> str:
        return f"LogContext({self.attributes!r})"


class RequestContext(LogContext):
    """What every record of one request carries, as far as it is known by then.

    Args:
        attributes: What is known when it comes in.
    """

    __slots__ = ("_places",)

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__(attributes)
        self._places: tuple[tuple[str, Callable[[], object]], ...] = ()

    @property
    def attributes(self) -> dict[str, Any]:
        """Attribute values by name, as a copy: they grow, perhaps on another thread."""
        if places := self._places:
            # What is looked at may log.
            self._places = ()
            for name, look in places:
                if name not in self._attributes and (value := look()):
                    self._attributes[name] = value
            self._places = tuple(place for place in places if place[0] not in self._attributes)
        return self._attributes.copy()

    def look(self, name: str, look: Callable[[], object]) -> None:
        """Have an attribute looked for with each record until there is one.

        Args:
            name: Its name.
            look: Returns its value, None while there is none. Does not raise.
        """
        self._places = (*self._places, (name, look))

    def add(self, attributes: Mapping[str, Any]) -> None:
        """Add values, in the place of earlier ones of the same names."""
        self._attributes.update(attributes)

    def end(self) -> None:
        """Look for nothing any more: the request's objects are let go of."""
        self._places = ()


class ContextLogRecordProcessor(LogRecordProcessor):
    """Adds the context's attributes to every record of a LoggerProvider.

    Must be added to the provider **before** the batch processor, which exports on another
    thread: a record can be gone before a later processor has seen it.

        provider.add_log_record_processor(ContextLogRecordProcessor())
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

    Attributes:
        failures: Records left without their context because adding it raised.
    """

    def __init__(self) -> None:
        self.failures: int = 0

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Add the attributes that the record does not have itself."""
        try:
            add_context(log_record.log_record)
        except Exception:  # noqa: BLE001 - raised here, it would surface in the application
            self.failures += 1

    def enabled(self, **_: object) -> bool:
        """False: it emits nothing itself, so that the others' answer counts."""
        return False

    def shutdown(self) -> None:
        """Nothing to end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held: True."""
        return True


def add_context(record: LogRecord) -> None:
    """Add the context's attributes to a record that is about to be emitted.

    Args:
        record: Changed in place. What it already has stays. Where the SDK limits the
            number of attributes, those of the context give way, and are counted as dropped,
            as the specification has it; OpenTelemetry for Python would drop the record's own.
    """
    context = current_context()
    if not context:
        return
    attributes = record.attributes
    if type(attributes) is CleanAttributes:
        return  # made by our handler, which has added it
    if not isinstance(attributes, MutableMapping):
        record.attributes = {**context, **(attributes or {})}
        return
    limit = getattr(attributes, "maxlen", None)
    for name, value in context.items():
        if name in attributes:
            continue
        if limit is not None and len(attributes) >= limit:
            cast("Any", attributes).dropped += 1
        else:
            attributes[name] = value


def _cleaned(attributes: Mapping[str, object] | None, named: dict[str, object]) -> dict[str, Any]:
    if attributes is not None and not isinstance(attributes, Mapping):
        raise TypeError(f"attributes must be a mapping, not {type(attributes).__name__}")
    # The placeholder in a value's place says what was wrong with it: no count is kept here.
    cleaned, _ = clean_attributes({**(attributes or {}), **named})
    return cleaned
