"""A sampling policy: JSON from a file or a policy server -> rates, checked as a whole."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from logwell_otel.sampling.rules import (
    DEFAULT_RATES,
    BoostedRules,
    SamplingRules,
    Volumes,
    by_level,
    invalid,
)
from logwell_otel.sampling.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_POLICY_BYTES: Final = 1024 * 1024
"""Of a policy, in a file or from a server; about 20,000 patterns."""

SHUTDOWN_SECONDS: Final = 2.0
"""How long the end of a program waits for what is done last for a policy."""

RATES_STAY: Final = "The sampling rates in use stay."
"""What it means that a policy cannot be had."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SERVER_FORM: Final = ("severity_rates", "global_rate")
_FILE_FORM: Final = ("rates", "patterns")
_SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_LEAST_RATE: Final = 0.001
_ERRORS: Final = frozenset({"error", "fatal", "critical"})


@dataclass(frozen=True, slots=True)
class Policy:
    """Rates that somebody else sets while the program runs.

    Attributes:
        rates: Level -> rate.
        pattern_rates: Signature -> rate, by our own signature or a policy server's two.
        fallback_rate: The rate of the levels that `rates` does not name.
        anomaly_boost: What a pattern's rate is multiplied by while its volume is unusual.
        version: The server's number for it; None where it has none.
    """

    rates: dict[str, float]
    pattern_rates: dict[str, float]
    fallback_rate: float = 1.0
    anomaly_boost: float = 1.0
    version: int | None = None

    @classmethod
    def parse(cls, text: bytes) -> Policy:
        """Read a policy. Fields that are not known are ignored.

        The policy server's form has `severity_rates` or `global_rate`, beside
        `pattern_rates`, `anomaly_boost` and `version`. Rates for error and fatal are
        ignored there: they are kept in any case, and a generated policy with one of 0.99
        is no reason to refuse the rest.

        The form for a file has `rates`, for levels other than the defaults, and
        `patterns`, whose keys are signatures, patterns or example messages; `anomaly_boost`
        is 1.0 unless given.

        Raises:
            LogwellError: `INVALID_CONFIG`: something in it is nonsense, so that none of it
                is used.
        """
        try:
            fields = msgspec.json.decode(text.removeprefix(_BYTE_ORDER_MARK))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # Not passed on: it may quote what it cannot read.
            raise invalid("a policy must be JSON, and this is none") from None
        if not isinstance(fields, dict):
            raise invalid(f"a policy must be a JSON object, not {_kind(fields)}")
        if any(fields.get(name) is not None for name in _SERVER_FORM):
            rates = {
                name: rate
                for name, rate in _rates(fields, "severity_rates").items()
                if name.strip().lower() not in _ERRORS
            }
            policy = cls(
                rates,
                _rates(fields, "pattern_rates"),
                _given(fields, "global_rate", 1.0),
                _boost(fields),
                _version(fields),
            )
        elif any(fields.get(name) is not None for name in _FILE_FORM):
            policy = cls(
                DEFAULT_RATES | by_level(_rates(fields, "rates")),
                {_as_signature(key): rate for key, rate in _rates(fields, "patterns").items()},
                anomaly_boost=_boost(fields),
                version=_version(fields),
            )
        else:
            names = ", ".join((*_FILE_FORM, *_SERVER_FORM))
            raise invalid(f"a policy must have one of the fields {names}")
        policy.rules()
        return policy

    def silences(self) -> bool:
        """Tell whether next to nothing below error is kept, whatever the pattern."""
        rates = SamplingRules(self.rates, fallback_rate=self.fallback_rate).rates
        levels = (rate for level, rate in rates.items() if level not in _ERRORS)
        return all(rate < _LEAST_RATE for rate in levels)

    def rules(self, volumes: Volumes | None = None) -> SamplingRules:
        """Return what `Sampler.use` takes.

        Args:
            volumes: Tells when a pattern's volume is unusual; without it nothing is boosted.

        Raises:
            LogwellError: `INVALID_CONFIG`: a rate is not a number from 0 to 1, or lowers
                errors.
        """
        if volumes is None or self.anomaly_boost == 1.0:
            return SamplingRules(
                self.rates, pattern_rates=self.pattern_rates, fallback_rate=self.fallback_rate
            )
        return BoostedRules(
            self.rates,
            pattern_rates=self.pattern_rates,
            fallback_rate=self.fallback_rate,
            boost=self.anomaly_boost,
            volumes=volumes,
        )


def _given(fields: dict[str, Any], name: str, default: Any) -> Any:
    value = fields.get(name)
    return default if value is None else value


def _rates(fields: dict[str, Any], name: str) -> dict[str, Any]:
    rates = _given(fields, name, {})
    if not isinstance(rates, dict):
        raise invalid(f"a policy's {name} must be an object of rates, not {_kind(rates)}")
    return rates


def _boost(fields: dict[str, Any]) -> float:
    boost = _given(fields, "anomaly_boost", 1.0)
    # Under 1 it would keep less of what is unusual.
    if isinstance(boost, bool) or not isinstance(boost, (int, float)) or not 1 <= boost < math.inf:
        raise invalid("a policy's anomaly_boost must be a number of at least 1")
    return float(boost)


def _version(fields: dict[str, Any]) -> int | None:
    version = fields.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise invalid(f"a policy's version must be a whole number, not {_kind(version)}")
    return version


def _as_signature(key: str) -> str:
    return key if _SIGNATURE.fullmatch(key) else signature(key)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


class PolicySource(Protocol):
    """What a sampler can follow: it sets the rates while the program runs.

    A `PolicyFile`, a `PolicyServer`, or something like them. None of it raises or waits.
    """

    @property
    def wants_messages(self) -> bool:
        """Whether `saw` must be told the messages of errors, too."""

    def feed(self, use: Callable[[SamplingRules], object]) -> None:
        """Hand rates to `use` whenever there are new ones, from any thread."""

    def saw(self, message: str, *, kept: bool) -> None:
        """Called after every decision."""

    def shutdown(self, timeout: float) -> None:
        """End what runs; seconds to wait at most."""
