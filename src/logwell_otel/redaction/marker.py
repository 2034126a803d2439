"""What stands in a text where something was taken out."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"(?:[A-Za-z0-9-]{1,20} )?\[redacted:[\w-]+\]")


def marker(kind: str) -> str:
    """Return the replacement for something of this kind, `[redacted:email]`."""
    return f"[redacted:{kind}]"


def is_marked(text: str) -> bool:
    """Tell whether a value is nothing but a marker, with or without a scheme before it.

    A second pass over a redacted text must change nothing, and `Authorization: Bearer
    [redacted:jwt]` says more than `Authorization: [redacted:authorization]`.
    """
    return _WHOLE.fullmatch(text) is not None
