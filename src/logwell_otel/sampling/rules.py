"""Which rate holds for a record: checked, complete, and replaced as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from logwell_otel._clock import monotonic
from logwell_otel._config import settings
from logwell_otel._wire import LEVELS
from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.sampling.signature import client_signature, server_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DEFAULT_RATES: Final = {"debug": 0.05, "info": 0.2, "warn": 0.5, "error": 1.0, "fatal": 1.0}
"""What is kept of each level when sampling is on and nothing else is said."""

UNUSUAL_TIMES: Final = 3.0
"""A minute's volume is unusual when it is more than this times the average."""

UNUSUAL_LEAST: Final = 20
"""Records a minute under which nothing is unusual: three instead of one is no anomaly."""

HISTORY_MINUTES: Final = 5
"""Minutes of a pattern that must be known before anything is."""

AVERAGE_WEIGHT: Final = 0.05
"""Of the latest minute in the average: a lasting new volume is usual after some 8 minutes."""

MINUTE: Final = 60.0

_MAX_PATTERNS: Final = 10_000

_ERRORS: Final[tuple[str, ...]] = ("error", "fatal")
_COMPATIBLE_LENGTH: Final = 32
"""Hexadecimal digits of a policy server's signatures; our own have 16."""
_MAX_KNOWN: Final = 2048
_MAX_KNOWN_LENGTH: Final = 256


class SamplingRules:
    """Rates by pattern and by level. Never changed once made.

    The order: error and fatal are kept unless `sample_errors` says otherwise; then the
    pattern's rate; then the level's; then `fallback_rate`.

    Args:
        rates: Level -> rate from 0 to 1. Names in any case; `warning`, `critical` and
            `trace` mean warn, fatal and debug. Error and fatal are 1.0 unless named.
        pattern_rates: Signature -> rate, by our own signature (16 hex digits) or by one of
            the policy server's two (32).
        fallback_rate: The rate of every level that `rates` does not name.
        sample_errors: Allows rates below 1.0 for error and fatal, and pattern rates and
            rate limits to act on them.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the setting.
    """

    def __init__(
        self,
        rates: Mapping[str, float],
        *,
        pattern_rates: Mapping[str, float] | None = None,
        fallback_rate: float = 1.0,
        sample_errors: bool = False,
    ) -> None:
        self.fallback_rate: float = _checked("fallback_rate", fallback_rate)
        self.rates: dict[str, float] = {
            **dict.fromkeys(LEVELS, self.fallback_rate),
            **dict.fromkeys(_ERRORS, 1.0),
        }
        for level, rate in by_level(rates).items():
            self.rates[level] = _checked(f"rates[{level!r}]", rate)
        self.pattern_rates: dict[str, float] = {
            signature.lower(): _checked(f"pattern_rates[{signature!r}]", rate)
            for signature, rate in (pattern_rates or {}).items()
        }
        self.sample_errors = sample_errors
        if not sample_errors:
            for level in _ERRORS:
                if self.rates[level] < 1.0:
                    raise invalid(
                        f"sampling rates[{level!r}] is {self.rates[level]}: errors are kept "
                        "whole; to drop some of them on purpose set sample_errors=True"
                    )
        self._has_compatible = any(len(key) == _COMPATIBLE_LENGTH for key in self.pattern_rates)
        self._compatible_rates: dict[str, float | None] = {}

    def is_always_kept(self, level: str) -> bool:
        """Tell whether records of a level are kept whatever their message is."""
        return level in _ERRORS and not self.sample_errors

    def rate(self, level: str, message: str, signature: str) -> float:
        """Return the rate of a record.

        Args:
            level: `debug`, `info`, `warn`, `error` or `fatal`.
            message: The text, for a policy server's signatures.
            signature: Its signature by our own algorithm.
        """
        if self.is_always_kept(level):
            return 1.0
        if self.pattern_rates:
            rate = self.pattern_rates.get(signature)
            if rate is None and self._has_compatible:
                rate = self._compatible_rate(message)
            if rate is not None:
                return rate
        return self.rates.get(level, self.fallback_rate)

    def _compatible_rate(self, message: str) -> float | None:
        try:
            return self._compatible_rates[message]
        except KeyError:
            rate = self.pattern_rates.get(client_signature(message))
            if rate is None:
                rate = self.pattern_rates.get(server_signature(message))
        if len(message) <= _MAX_KNOWN_LENGTH:
            if len(self._compatible_rates) >= _MAX_KNOWN:
                self._compatible_rates.clear()
            self._compatible_rates[message] = rate
        return rate


def by_level(rates: Mapping[str, float]) -> dict[str, float]:
    """Return rates under the levels that their names mean.

    Raises:
        LogwellError: `INVALID_CONFIG` for a name that means none.
    """
    return {_level(name): rate for name, rate in rates.items()}


def _level(name: object) -> str:
    level = settings.RATE_LEVELS.get(str(name).strip().lower())
    if level is None:
        raise invalid(f"sampling rates[{name!r}]: no level of that name; {', '.join(LEVELS)} are")
    return level


def _checked(setting: str, rate: object) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise invalid(f"sampling {setting} must be a number from 0 to 1, not {rate!r}")
    return float(rate)


def invalid(message: str) -> LogwellError:
    """Return the error for a setting that is none."""
    return LogwellError(message, LogwellErrorCode.INVALID_CONFIG)


def rates_of(text: str) -> dict[str, float]:
    """Return the rates that people write as `info=0.2,debug=0.05`, by level.

    White space does not matter, nor does a comma at the end.

    Raises:
        LogwellError: `INVALID_CONFIG`: a part is not `level=number`, a name is no level, or
            a level is there twice. Whether the number is a rate is for `SamplingRules`.
    """
    try:
        return settings.rates_of(text)
    except ValueError as error:
        problem = str(error)
    raise invalid(f"sampling rates are written as info=0.2,debug=0.05; found {problem}")


class _Volume:
    """How often one pattern comes."""

    __slots__ = ("average", "boosted_until", "count", "minute", "minutes")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.count = 0
        self.minutes = 0
        self.average = 0.0
        self.boosted_until = 0.0

    def turn(self, minute: int) -> None:
        """Enter the minutes that are over into the average, those without a record too."""
        self._enter(self.count)
        empty = minute - self.minute - 1
        # Beyond this the average is nothing, whatever it was.
        for _ in range(min(empty, 1000)):
            self._enter(0)
        self.minute = minute
        self.count = 0

    def _enter(self, count: int) -> None:
        self.minutes += 1
        # A plain mean at first: the first minute would otherwise weigh most for long.
        self.average += (count - self.average) * max(AVERAGE_WEIGHT, 1 / self.minutes)


class Volumes:
    """Tells which patterns come unusually often: over 3 times their own average.

    Compared are the records of the running minute with an exponentially weighted average
    of the minutes before it. Unusual lasts a minute from the last record that found it so.

    Not locked: a count that a race between threads loses is not missed in a comparison of
    three to one, and no decision waits.

    Args:
        clock: Seconds, monotonic.
        size: How many patterns are known at a time. Beyond it, everything is learnt anew.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, size: int = _MAX_PATTERNS) -> None:
        self._clock = clock
        self._size = size
        self._volumes: dict[str, _Volume] = {}

    def __len__(self) -> int:
        return len(self._volumes)

    def is_unusual(self, signature: str) -> bool:
        """Count one record of a pattern, and tell whether there are unusually many."""
        now = self._clock()
        minute = int(now // MINUTE)
        volume = self._volumes.get(signature)
        if volume is None:
            if len(self._volumes) >= self._size:
                self._volumes.clear()
            volume = self._volumes[signature] = _Volume(minute)
        elif minute > volume.minute:
            volume.turn(minute)
        volume.count += 1
        if (
            volume.count > UNUSUAL_TIMES * volume.average
            and volume.count >= UNUSUAL_LEAST
            and volume.minutes >= HISTORY_MINUTES
        ):
            volume.boosted_until = now + MINUTE
            return True
        return now < volume.boosted_until


class BoostedRules(SamplingRules):
    """Rules that multiply a pattern's rate while its volume is unusual, up to 1.0.

    The rate then depends on what was seen, never on what was kept: counts that are scaled
    back stay right.

    Args:
        rates: As `SamplingRules` takes them, and so are the other arguments.
        boost: What the rate is multiplied by, at least 1.
        volumes: Tells when.
    """

    def __init__(
        self, rates: dict[str, float], *, boost: float, volumes: Volumes, **options: Any
    ) -> None:
        super().__init__(rates, **options)
        self._boost = boost
        self._volumes = volumes

    def rate(self, level: str, message: str, signature: str) -> float:
        """Return the rate of a record. Asked once for each, since it is counted."""
        rate = super().rate(level, message, signature)
        if self.is_always_kept(level) or not self._volumes.is_unusual(signature):
            return rate
        return min(1.0, rate * self._boost)
