"""The settings of redaction: whether, and what is found or left beyond the usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from logwell_otel.credentials import config_error

if TYPE_CHECKING:
    from logwell_otel.settings import Settings

_LISTS: Final = ("redact_keys", "redact_allow")


def redaction_of(settings: Settings) -> dict[str, Any]:
    """What `Config` holds of redaction, by field.

    Raises:
        LogwellError: `INVALID_CONFIG`, naming the argument and the variable.
    """
    keys, allow = (settings.words(name) for name in _LISTS)
    redactor = settings.argument("redact")
    if redactor is not None and hasattr(redactor, "redact_entry"):
        if keys or allow:
            raise config_error(
                "A Redactor given as redact does not go together with redact_keys "
                "(LOGWELL_REDACT_KEYS) or redact_allow (LOGWELL_REDACT_ALLOW): give them to the "
                "Redactor as extra_keys and allow, or leave them out."
            )
        settings.origins["redact"] = "argument"
    else:
        redactor = settings.flag("redact", default=bool(keys or allow))
    return {"redact": redactor, "redact_keys": keys, "redact_allow": allow}
