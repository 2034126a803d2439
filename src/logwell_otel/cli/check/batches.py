"""The batch processor's settings, which come from OTEL_BLRP_* variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel.cli.check.result import Finding, failed, passed, skipped, warning
from logwell_otel.setup import MAX_EXPORT_BATCH_SIZE, MAX_QUEUE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUEUE: Final = "OTEL_BLRP_MAX_QUEUE_SIZE"
_BATCH: Final = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"
_DELAY: Final = "OTEL_BLRP_SCHEDULE_DELAY"
# https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
_OTEL_DEFAULTS: Final = {_QUEUE: 2048, _BATCH: 512, _DELAY: None}
_OUR_DEFAULTS: Final = {_QUEUE: MAX_QUEUE_SIZE, _BATCH: MAX_EXPORT_BATCH_SIZE, _DELAY: None}


def batches(environ: Mapping[str, str], *, zero_code: bool, file: bool) -> Finding:
    """Queue and batch sizes; a combination that OpenTelemetry refuses stops the SDK.

    Args:
        environ: The environment.
        zero_code: Whether OpenTelemetry's own defaults apply, not those of `configure()`.
        file: Whether a configuration file decides instead.
    """
    if file:
        return skipped("the configuration file decides")
    values: dict[str, int | None] = {}
    wrong: list[str] = []
    for name, default in (_OTEL_DEFAULTS if zero_code else _OUR_DEFAULTS).items():
        values[name] = default
        given = environ.get(name)
        if given is None or (not zero_code and not given):
            continue
        try:
            values[name] = int(given)
        except ValueError:
            wrong.append(f"{name}={given!r}")
            values[name] = _OTEL_DEFAULTS[name]
    queue, batch, delay = values[_QUEUE], values[_BATCH], values[_DELAY]
    assert queue is not None  # noqa: S101 - only the delay has no default here
    assert batch is not None  # noqa: S101
    if queue <= 0 or batch <= 0 or (delay is not None and delay <= 0):
        return failed(
            "a size or a delay is not above 0, which OpenTelemetry refuses at start",
            f"Correct {_QUEUE}, {_BATCH} and {_DELAY}, or unset them.",
        )
    if batch > queue:
        return failed(
            f"batches of {batch} do not fit a queue of {queue}, which OpenTelemetry refuses at "
            "start",
            f"Make {_QUEUE} larger than {_BATCH}, or unset both.",
        )
    every = "" if delay is None else f", every {delay} ms"
    said = f"a queue of {queue} records, batches of {batch}{every}"
    if wrong:
        return warning(
            f"{said}; {', '.join(wrong)} is no number and is passed over", "Correct or unset it."
        )
    return passed(said)
