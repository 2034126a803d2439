"""Which rate holds for a record: checked, complete, and replaced as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.sampling.foreign import client_signature, server_signature
from logwell_otel.severity import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_RATES: Final = {"debug": 0.05, "info": 0.2, "warn": 0.5, "error": 1.0, "fatal": 1.0}
"""What is kept of each level when sampling is on and nothing else is said."""

_ALIASES = {"trace": "debug", "warning": "warn", "critical": "fatal"}
_ERRORS = ("error", "fatal")
_FOREIGN_LENGTH = 32
_MAX_KNOWN = 2048
_MAX_KNOWN_LENGTH = 256


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
        self.fallback_rate = _checked("fallback_rate", fallback_rate)
        self.rates = dict.fromkeys(LEVELS, self.fallback_rate) | dict.fromkeys(_ERRORS, 1.0)
        for level, rate in by_level(rates).items():
            self.rates[level] = _checked(f"rates[{level!r}]", rate)
        self.pattern_rates = {
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
        self._has_foreign = any(len(key) == _FOREIGN_LENGTH for key in self.pattern_rates)
        self._foreign_rates: dict[str, float | None] = {}

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
            if rate is None and self._has_foreign:
                rate = self._foreign_rate(message)
            if rate is not None:
                return rate
        return self.rates.get(level, self.fallback_rate)

    def _foreign_rate(self, message: str) -> float | None:
        try:
            return self._foreign_rates[message]
        except KeyError:
            rate = self.pattern_rates.get(client_signature(message))
            if rate is None:
                rate = self.pattern_rates.get(server_signature(message))
        if len(message) <= _MAX_KNOWN_LENGTH:
            if len(self._foreign_rates) >= _MAX_KNOWN:
                self._foreign_rates.clear()
            self._foreign_rates[message] = rate
        return rate


def by_level(rates: Mapping[str, float]) -> dict[str, float]:
    """Return rates under the levels that their names mean.

    Raises:
        LogwellError: `INVALID_CONFIG` for a name that means none.
    """
    return {_level(name): rate for name, rate in rates.items()}


def _level(name: object) -> str:
    level = str(name).strip().lower()
    level = _ALIASES.get(level, level)
    if level not in LEVELS:
        raise invalid(f"sampling rates[{name!r}]: no level of that name; {', '.join(LEVELS)} are")
    return level


def _checked(setting: str, rate: object) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise invalid(f"sampling {setting} must be a number from 0 to 1, not {rate!r}")
    return float(rate)


def invalid(message: str) -> LogwellError:
    """Return the error for a setting that is none."""
    return LogwellError(message, LogwellErrorCode.INVALID_CONFIG)
