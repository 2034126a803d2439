"""Our logging handler where it is installed: it stays there, and silences nobody.

`dictConfig`, `fileConfig`, `basicConfig(force=True)`, Django and Celery take every handler off
the root logger, and `basicConfig()` does nothing where there is one. So ours does not stand on
the root logger but behind it, on a parent that the root logger is given: records come there
last, after all handlers of the application, whatever those are replaced by.
"""

from __future__ import annotations

import copy
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from logwell_otel._duplicates import (
    STRUCTLOGS_INSTRUMENTATION,
    comes_out_of_a_queue,
    duplicates,
    is_sent_by_structlog,
)
from logwell_otel._otel import provider_of, resolved
from logwell_otel._process import after_fork_in_child
from logwell_otel._server_errors import ServerErrors, repeats_a_request_log
from logwell_otel._translation import TranslatingHandler, make_safe, number_of_level
from logwell_otel._writer import LOGGER_NAME, is_opentelemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from opentelemetry._logs import LoggerProvider

# What asks whether anybody prints, and sets up a console if not: logging's own, Flask's and
# werkzeug's, whose server says by it where it runs and what it is asked for.
_ASK_FOR_CONSOLES: Final = frozenset({"hasHandlers", "has_level_handler", "_has_level_handler"})


class _BehindRoot(logging.Logger):
    """Has handlers for whoever hands them records, and none for who looks for a console.

    Attributes:
        own: The handlers, for us: without a look at who asks.
    """

    own: list[logging.Handler]

    @property
    def handlers(self) -> list[logging.Handler]:
        """The handlers."""
        asks = sys._getframe(1).f_code.co_name  # noqa: SLF001 - as `logging` itself does
        return [] if asks in _ASK_FOR_CONSOLES else self.own

    @handlers.setter
    def handlers(self, handlers: list[logging.Handler]) -> None:
        self.own = handlers


# It logs nothing itself, and no name leads to it: only the root logger does.
_behind_root: Final = _BehindRoot(f"{LOGGER_NAME}.behind_root")


def install_handler(
    logger: logging.Logger,
    provider: LoggerProvider | None,
    threshold: int,
    levels: Mapping[str, str] | None = None,
) -> InstalledHandler | None:
    """Have records of `logger` reach `provider` once.

    Args:
        logger: Where records come from.
        provider: Where they go; None is the global one. A handler of OpenTelemetry's on the
            root logger that leads there is replaced.
        threshold: Least severe level that passes. The logger is opened up to it if it lets
            less through. With `NOTSET` the logger's own level decides.
        levels: Least severe levels by logger; those are opened up likewise.

    Returns:
        The handler that was added, None if one was there.
    """
    added = replace_opentelemetrys(provider, levels)
    there = [
        handler
        for one in _upwards(logger)
        for handler in one.handlers
        if isinstance(handler, InstalledHandler) and handler.provider is resolved(provider)
    ]
    for handler in there:
        if handler.listens_to is logger:
            handler.let_pass(threshold)
    if not there and added is None:
        added = InstalledHandler(threshold, provider, levels)
        added.install(logger)
    open_up(logger, threshold)
    open_levels(levels or {})
    return added


def replace_opentelemetrys(
    provider: LoggerProvider | None, levels: Mapping[str, str] | None = None
) -> InstalledHandler | None:
    """Put ours in the place of OpenTelemetry's handlers on the root logger that lead there.

    It gets the level, the formatter and the filters of the first of them.

    Returns:
        The handler that was added, None where there was nothing to replace or one is there.
    """
    root, goal = logging.getLogger(), resolved(provider)
    found = [handler for handler in root.handlers if _is_foreign(handler, goal)]
    for handler in found:
        root.removeHandler(handler)
    known = any(
        isinstance(handler, InstalledHandler) and handler.provider is goal
        for handler in _behind_root.handlers
    )
    if known or not found:
        return None
    added = InstalledHandler(found[0].level, provider, levels)
    added.formatter = found[0].formatter
    added.filters[:] = found[0].filters
    added.install(root)
    return added


_CELERYS_TASKS: Final = "celery.task"
"""The logger above those of `celery.utils.log.get_task_logger`."""


class DeduplicatingHandler(TranslatingHandler):
    """Hands over a record that no other handler on its way hands over.

    Handlers of OpenTelemetry's that lead to the same provider included, whoever added them.
    """

    def handle(self, record: logging.LogRecord) -> Any:
        """Hand over a record that no other handler has handed over."""
        try:
            handed_over = self._look_before(record)
        except Exception:  # noqa: BLE001 - logging never raises into the application
            self._report(record)
            handed_over = False
        return True if handed_over else super().handle(record)

    def _look_before(self, record: logging.LogRecord) -> bool:
        """Whether somebody has handed it over."""
        reached, silent, queued, handed_over = 0, True, False, False
        logger: logging.Logger | None = _logger_of(record)
        while logger is not None:
            handlers = _behind_root.own if logger is _behind_root else logger.handlers
            # A copy: what is made harmless may be taken off.
            for handler in handlers[:]:
                if handler is self:
                    reached += 1
                elif not is_opentelemetry(type(handler)):
                    silent = False
                    queued = queued or hasattr(handler, "enqueue")
                elif _is_foreign(handler, self.provider):
                    # One that came later. It was called for this record if it is called before us.
                    handed_over = handed_over or (not reached and record.levelno >= handler.level)
                    self._make_harmless(handler, logger)
            logger = logger.parent if logger.propagate else None
        # Offered by a server's logger that does not come by here: Python has seen to it.
        if silent and reached:
            self._nobody_prints(record)
        # On several loggers in a row, which each call it; or beside a queue, behind which it
        # may stand as well: `QueueListener(queue, *pipeline.handlers)`.
        if reached > 1 or queued:
            duplicates.possible = True
        if STRUCTLOGS_INSTRUMENTATION in sys.modules and is_sent_by_structlog(self.provider):
            return True
        return handed_over or (
            queued
            and duplicates.possible
            and not comes_out_of_a_queue(record)
            and duplicates.has_a_twin(record, self.provider, copied=False)
        )

    def _nobody_prints(self, record: logging.LogRecord) -> None:
        """Handlers that only hand over to OpenTelemetry are on this record's way."""

    def _make_harmless(self, handler: logging.Handler, logger: logging.Logger) -> None:  # noqa: ARG002 - for those made from this
        make_safe(handler, self._provider)


class InstalledHandler(DeduplicatingHandler):
    """The handler that `configure` and zero-code start-up install on a logger.

    What printed on the console before still does: where there is no handler at all, Python
    prints warnings and errors by `logging.lastResort`, which it does not ask once there is
    this one.

    Attributes:
        listens_to: The logger that it is installed on.
    """

    listens_to: logging.Logger
    _hears_tasks = False

    def install(self, logger: logging.Logger) -> None:
        """Have it called for records of `logger` and of those below."""
        self.listens_to = logger
        root = logging.getLogger()
        if logger is not root:
            logger.addHandler(self)
            return
        _behind_root.addHandler(self)
        _server_errors.install()
        self._hear_tasks()
        # Without code this comes before Celery is imported.
        after_fork_in_child(self._hear_tasks)
        # Only a root logger that leads somewhere can be cut off from it.
        root.propagate = True
        if root.parent is None:
            root.parent = _behind_root

    def let_pass(self, threshold: int) -> None:
        """Let that level pass as well."""
        if threshold < self._threshold:
            self.setLevel(threshold)

    def uninstall(self) -> None:
        """End that."""
        self.listens_to.removeHandler(self)
        _behind_root.removeHandler(self)
        if self._hears_tasks:
            logging.getLogger(_CELERYS_TASKS).removeHandler(self)
        root = logging.getLogger()
        if not _behind_root.handlers:
            _server_errors.uninstall()
            if root.parent is _behind_root:
                root.parent = None

    def _hear_tasks(self, **_: object) -> None:
        """Listen to the loggers of Celery's tasks as well, once a worker has set them up.

        It gives them a console of their own and cuts them off from the root logger. Not before:
        where there is a handler, it adds none.
        """
        signals: Any = sys.modules.get("celery.signals")
        if signals is None:
            return
        with suppress(Exception):  # another Celery, or one that is only being imported
            if not self._hears_tasks:
                signals.after_setup_task_logger.connect(self._hear_tasks)
                self._hears_tasks = True
            tasks = logging.getLogger(_CELERYS_TASKS)
            if not tasks.propagate and self in _behind_root.handlers:
                tasks.addHandler(self)

    @property
    def installed(self) -> bool:
        """Whether records of its logger reach it."""
        return any(self in logger.handlers for logger in _upwards(self.listens_to))

    def _look_before(self, record: logging.LogRecord) -> bool:
        """Whether somebody has handed it over, or the request's own record has all of it."""
        if not self._hears_tasks and "celery.signals" in sys.modules:
            self._hear_tasks()
        handed_over = super()._look_before(record)
        return handed_over or (type(record.exc_info) is tuple and repeats_a_request_log(record))

    def _nobody_prints(self, record: logging.LogRecord) -> None:
        last = getattr(logging, "lastResort", None)  # programs set it to None
        if not issubclass(type(record.levelno), int):
            return  # of a record made by hand, which comes by no logger: that compares
        if last is None or record.levelno < last.level or record.name == LOGGER_NAME:
            return
        if is_opened_for(_logger_of(record), record.levelno):
            return
        shown = copy.copy(record)
        # With what could not be formatted repaired: no traceback of logging's on the console.
        shown.msg, shown.args = self._message(record), None
        last.handle(shown)

    def _make_harmless(self, handler: logging.Handler, logger: logging.Logger) -> None:
        if logger is logging.getLogger():
            logger.removeHandler(handler)
        else:
            super()._make_harmless(handler, logger)


def installed_handlers() -> list[logging.Handler]:
    """The handlers behind the root logger."""
    return _behind_root.handlers[:]


def _offer(record: logging.LogRecord) -> None:
    """Hand over a server's record that does not come by here."""
    if not any(logger is _behind_root for logger in _upwards(_logger_of(record))):
        _behind_root.callHandlers(record)


_server_errors: Final = ServerErrors(_offer)


def _is_foreign(handler: logging.Handler, provider: object) -> bool:
    """True for a handler of OpenTelemetry's, unchanged, that leads to that provider."""
    return (
        is_opentelemetry(type(handler))
        and not isinstance(handler, TranslatingHandler)
        and "emit" not in vars(handler)
        and provider_of(handler) is provider
    )


def _upwards(logger: logging.Logger | None) -> Iterator[logging.Logger]:
    """A logger and those that its records reach after it."""
    while logger is not None:
        yield logger
        logger = logger.parent if logger.propagate else None


def _logger_of(record: logging.LogRecord) -> logging.Logger:
    """The logger that a record was logged with, as far as its name tells."""
    name = record.name
    known = logging.Logger.manager.loggerDict.get(name) if type(name) is str else None
    return known if isinstance(known, logging.Logger) else logging.getLogger()


def open_levels(levels: Mapping[str, str]) -> None:
    """Have each of these loggers let pass what has at least its level."""
    for name, level in levels.items():
        open_up(logging.getLogger(name), number_of_level(level))


class OpenedLevel(int):
    """The level of a logger that is opened up for us alone, until somebody sets another one.

    Without opening the root logger nothing below WARNING would ever be sent; but a console
    that has shown warnings would then show every request of every library as well. So this
    level is told apart from one that the application sets, which counts for everybody.

    Attributes:
        logger: Whose level it is. One that it is copied to gets an ordinary level.
        before: What the application had set.
    """

    logger: logging.Logger
    before: int


def open_up(logger: logging.Logger, threshold: int) -> None:
    """Have a logger let pass what has at least that level; `NOTSET` leaves it as it is."""
    if threshold == logging.NOTSET or logger.getEffectiveLevel() <= threshold:
        return
    opened, known = OpenedLevel(threshold), logger.level
    opened.logger = logger
    opened.before = known.before if type(known) is OpenedLevel else known
    if not _originals:
        # The one place that every record comes by on its way to handlers, whoever adds those
        # and when: basicConfig() does it in the middle of the first `logging.info()`.
        _originals.append(logging.Logger.callHandlers)
        logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign]
    logger.setLevel(opened)


def is_opened_for(logger: logging.Logger | None, level: int) -> bool:
    """Whether a record of that level passes a logger only since that was opened up."""
    opened = False
    while logger is not None:
        lets_pass = logger.level
        if type(lets_pass) is OpenedLevel and lets_pass.logger is logger:
            opened, lets_pass = True, lets_pass.before
        if lets_pass:
            return opened and level < lets_pass
        logger = logger.parent
    return False


# One, or none: others replace it as well, before or after, and call what they have found.
_originals: Final[list[Callable[[logging.Logger, logging.LogRecord], None]]] = []
# What a logging call goes through, and a record that is handed to `Logger.handle` does not:
# levels are none of that one's business.
_HANDLE: Final = logging.Logger.handle.__code__
_LOG: Final = logging.Logger._log.__code__  # noqa: SLF001 - there is no other way to tell


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    """`Logger.callHandlers`, by those that hand over to OpenTelemetry where only they opened it."""
    try:
        # Where nobody else listens there is nothing to keep back, and nothing to find out.
        alone = (
            _others_listen(self)
            and is_opened_for(self, record.levelno)
            and _is_logged(sys._getframe(1))  # noqa: SLF001 - as `logging` itself does
        )
    except Exception:  # noqa: BLE001 - a record with nonsense for a level
        alone = False
    if not alone:
        _originals[0](self, record)
        return
    for logger in _upwards(self):
        for handler in logger.handlers:
            if record.levelno >= handler.level and is_opentelemetry(type(handler)):
                handler.handle(record)


# Whoever looks for the first frame outside of `logging` for the place of a call, as loguru's
# `InterceptHandler` does, is to look past this one as well. A traceback names it, and shows no
# line of a file that it is not in.
_call_handlers.__code__ = _call_handlers.__code__.replace(
    co_filename=_HANDLE.co_filename,
    co_firstlineno=1_000_000,
    co_name=f"{__name__}._call_handlers",
)


def _others_listen(logger: logging.Logger | None) -> bool:
    if _originals[0].__module__ != "logging":
        return True  # one that stood here before us, as Sentry's does
    # `_upwards` written out: every logging call comes by here, and a generator costs it more.
    while logger is not None and logger is not _behind_root:
        for handler in logger.handlers:
            if not is_opentelemetry(type(handler)):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _is_logged(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not _HANDLE:
        frame = frame.f_back  # others that stand before `callHandlers`
    return frame is not None and frame.f_back is not None and frame.f_back.f_code is _LOG
