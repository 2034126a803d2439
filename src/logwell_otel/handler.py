"""`LogwellHandler`: a logging handler for dictionaries, and for a provider of one's own."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry._logs import LoggerProvider
    from typing_extensions import Unpack

    from logwell_otel.setup import Pipeline
    from logwell_otel.types import PipelineOptions


@contextmanager
def _loggings_lock_released() -> Iterator[None]:
    """Without the lock that `dictConfig` holds while it makes handlers, where it is held.

    Whoever logs for the first time waits for that lock, and so would who waits for them:
    OpenTelemetry has a resource detected by other threads, and those log where a variable is
    wrong. Other threads may configure logging meanwhile, as they may before and afterwards.
    """
    lock: Any = getattr(logging, "_lock", None)
    depth = 0
    with suppress(AttributeError, RuntimeError):  # no such lock any more, or not held by us
        while True:
            lock.release()
            depth += 1
    try:
        yield
    finally:
        for _ in range(depth):
            lock.acquire()


# OpenTelemetry's SDK looks for the resource when it is imported, on another thread.
with _loggings_lock_released():
    from logwell_otel._config.options import Config
    from logwell_otel._config.settings import Resolver
    from logwell_otel._install import DeduplicatingHandler, open_levels
    from logwell_otel._translation import HandlerCounts
    from logwell_otel.errors import WithoutFrames, config_error
    from logwell_otel.setup import set_up

__all__ = ["HandlerCounts", "LogwellHandler"]


class LogwellHandler(DeduplicatingHandler):
    """Sends what the standard library's logging logs to Logwell, and never raises.

    For `logging.config.dictConfig`, Django's `LOGGING`, `fileConfig` and `addHandler`:

        "handlers": {"logwell": {"class": "logwell_otel.LogwellHandler", "service": "shop"}}

    It sets up what `configure()` sets up, and takes what is there for the same server and
    key: several handlers, and `configure()` beside them, send each record once. It opens no
    logger up unless `levels` or `root_level` say so: the dictionary says what passes. What is
    not given is read from the `LOGWELL_*` variables.

    Closing it ends nothing, as `dictConfig` closes every handler that there is: the pipeline
    ends with the program, or by `pipeline.shutdown()`.

    Whatever a record is made of, the logging call returns; what is wrong with it is
    replaced, counted in `counts` and said in the record. KeyboardInterrupt, SystemExit
    and other exceptions that are not `Exception` pass.

    Args:
        level: Records below it are left out. Default: none.
        logger_provider: Where records go. Given, nothing is set up: the exporter is the
            provider's, and of the options only `levels` may be given.
        endpoint: Base URL of the server.
        api_key: The project's API key.
        **options: Further arguments of `configure()`.

    Raises:
        TypeError: There is no option of that name.
        LogwellError: `INVALID_CONFIG` when a setting is missing or wrong. `dictConfig` raises
            `ValueError` from either.
    """

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        logger_provider: LoggerProvider | None = None,
        *,
        endpoint: str | None = None,
        api_key: str | None = None,
        **options: Unpack[PipelineOptions],
    ) -> None:
        settings = Resolver({"endpoint": endpoint, "api_key": api_key, **options})
        # An error leaves through this frame, and what shows its locals would show the key.
        del endpoint, api_key, options
        self._pipeline: Pipeline | None = None
        levels: Mapping[str, str]
        if logger_provider is None:
            with _loggings_lock_released(), WithoutFrames():
                config = Config.resolve(**settings.arguments).unless_in_tests()
                said = config.origins["level"] != "default"
                self._pipeline = set_up(config, settings, config.level, said=said)
            logger_provider, levels = self._pipeline.provider, config.levels
            open_levels(levels)
        else:
            levels = _levels_alone(settings)
        super().__init__(level, logger_provider, levels)

    @property
    def pipeline(self) -> Pipeline | None:
        """What `configure()` returns for the same settings; None with a `logger_provider`."""
        return self._pipeline

    def __repr__(self) -> str:
        # Of one whose construction failed too: what shows the locals of frames asks for it.
        return super().__repr__() if "level" in vars(self) else "<LogwellHandler, not constructed>"


def _levels_alone(settings: Resolver) -> Mapping[str, str]:
    """The `levels` of a handler whose provider has an exporter already."""
    others = [
        name for name, value in settings.arguments.items() if value is not None and name != "levels"
    ]
    if others:
        raise config_error(
            f"logger_provider does not go together with {', '.join(others)}: give them to the "
            "exporter of that provider, or leave logger_provider out."
        )
    return Resolver(settings.arguments, {}).levels("levels")
