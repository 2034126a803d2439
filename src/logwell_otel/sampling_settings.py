"""The settings of sampling: rates, and the policy that may change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from logwell_otel.credentials import BearerToken, config_error, hide_keys, token_problem
from logwell_otel.endpoint import base_url
from logwell_otel.settings import shown_text

if TYPE_CHECKING:
    from pathlib import Path

    from logwell_otel.settings import Settings

_EXPECTED_POLICY: Final = "the path of a JSON file, or the http or https URL of a policy server"
# Of a serial number in the server's database.
_MOST_TEAMS: Final = 2**31 - 1


def sampling_of(settings: Settings) -> dict[str, Any]:
    """What `Config` holds of sampling, by field.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
    """
    sampler = settings.argument("sampler")
    policy = _policy(settings)
    team_id, token = _team_id(settings), _token(settings)
    if sampler is not None and policy is not None:
        raise config_error(
            "sampler and sampling_policy (LOGWELL_SAMPLING_POLICY) do not go together: have the "
            "sampler follow the policy with Sampler.follow, or leave one of them out."
        )
    if isinstance(policy, str) and team_id is None:
        raise config_error(
            "sampling_team_id (LOGWELL_SAMPLING_TEAM_ID) is not set: a policy server needs the "
            "number that the team has there."
        )
    return {
        "sampling": settings.flag("sampling", default=policy is not None),
        "sample_rates": _rates(settings),
        "sampling_policy": policy,
        "sampling_team_id": team_id,
        "sampling_token": token,
        "sampler": sampler,
    }


def _rates(settings: Settings) -> dict[str, float]:
    """`info=0.2,debug=0.05` as a dictionary. The sampler checks levels and bounds."""
    value = settings.raw("sample_rates")
    if isinstance(value, Mapping):
        return dict(value)
    rates: dict[str, float] = {}
    text = settings.text("sample_rates") or ""
    for part in filter(None, map(str.strip, text.split(","))):
        level, _, rate = part.partition("=")
        try:
            rates[level.strip()] = float(rate)
        except ValueError:
            problem = repr(part)
        else:
            continue
        raise settings.error("sample_rates", "level=rate,level=rate", problem)
    return rates


def _policy(settings: Settings) -> Path | str | None:
    """A path, or a URL as text."""
    value = settings.raw("sampling_policy")
    text = value if isinstance(value, str) else ""
    if "://" not in text:
        # Not whether there is such a file: it may come later, and is said when it does not.
        return settings.path("sampling_policy")
    try:
        url = base_url(text)
    except ValueError as error:
        problem = str(error)
    else:
        if hide_keys(url) == url:
            return url
        problem = "what looks like an API key"
    # Outside of `except`, see Settings.error.
    found = f"{problem}: {shown_text(text)}"
    raise settings.error("sampling_policy", _EXPECTED_POLICY, found)


def _team_id(settings: Settings) -> int | None:
    if settings.raw("sampling_team_id") is None:
        return None
    return settings.integer("sampling_team_id", 1, least=1, most=_MOST_TEAMS)


def _token(settings: Settings) -> BearerToken | None:
    expected = "a token of printable ASCII characters without white space"
    value, path = settings.secret("sampling_token")
    if path is not None:
        try:
            return BearerToken.from_file(path)
        except (OSError, ValueError) as error:
            problem = str(error)
        raise settings.error(
            "sampling_token_file", f"a file that holds {expected}", f"a file with {problem}"
        )
    if value is None:
        return None
    if found := token_problem(value):
        raise settings.error("sampling_token", expected, found)
    return BearerToken(value)
