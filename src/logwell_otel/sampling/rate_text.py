"""Rates as people write them on a command line or in a variable: `info=0.2,debug=0.05`."""

from __future__ import annotations

from logwell_otel.sampling.rules import by_level, invalid


def rates_of(text: str) -> dict[str, float]:
    """Return rates by level. White space does not matter, nor does a comma at the end.

    Raises:
        LogwellError: `INVALID_CONFIG`: a part is not `level=number`, a name is no level, or
            a level is there twice. Whether the number is a rate is for `SamplingRules`.
    """
    rates: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        try:
            if not equals:
                raise ValueError
            ((level, rate),) = by_level({name: float(value)}).items()
        except ValueError:
            raise invalid(
                f"sampling rates are written as info=0.2,debug=0.05, not as {part[:40]!r}"
            ) from None
        if level in rates:
            raise invalid(f"sampling rates name {level} twice")
        rates[level] = rate
    return rates
