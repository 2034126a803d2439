"""Personal data that is found only where it is asked for: what looks like it is often none.

Telephone numbers, IP addresses, IBANs, national ids. Where there is a check digit it must be
right. None has a prefilter: they run on every text.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SPAIN = "TRWAGMYFPDXBNJZSQVHLCKE"


def _is_phone(text: str) -> bool:
    return 8 <= sum(map(str.isdigit, text)) <= 15


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_iban(text: str) -> bool:
    bare = text.replace(" ", "")
    return (
        15 <= len(bare) <= 34
        and int("".join(f"{int(c, 36)}" for c in bare[4:] + bare[:4])) % 97 == 1
    )


def _is_national_id(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if re.fullmatch(r"\d{3}-\d{2}-\d{4}", text):  # United States
        return digits[:3] not in ("000", "666") and digits[3:5] != "00" and digits[5:] != "0000"
    if re.fullmatch(r"\d{8}[A-Z]", text):  # Spain
        return _SPAIN[int(digits) % 23] == text[-1]
    if len(digits) == 15 and text[0] in "12":  # France
        return 97 - int(digits[:13]) % 97 == int(digits[13:])
    if len(digits) == 11 and text == digits:  # Poland
        weights = (1, 3, 7, 9) * 3
        total = sum(int(d) * w for d, w in zip(digits[:10], weights, strict=False))
        return -total % 10 == int(digits[10])
    return not text.isdigit()  # United Kingdom, Italy: letters in their places


_Detector = tuple[re.Pattern[str], "Callable[[str], bool]"]

DETECTORS: dict[str, _Detector] = {
    "phone": (
        re.compile(
            r"(?<![\w.+/-])(?:(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){6,14}"
            r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[-.]\d{3}[-.]\d{4})(?![\w-]|\.\d)"
        ),
        _is_phone,
    ),
    "ip": (
        re.compile(
            r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\w)"
            r"|(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,30}:\d{1,3}(?:\.\d{1,3}){3}(?!\w)"
            r"|(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{2,39}(?!\w))"
        ),
        _is_ip,
    ),
    "iban": (
        re.compile(
            r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"
        ),
        _is_iban,
    ),
    "national_id": (
        re.compile(
            r"(?<![\w.-])(?:\d{3}-\d{2}-\d{4}|\d{8}[A-Z]|\d{11}"
            r"|[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}"
            r"|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"
            r"|[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z])(?![\w-]|\.\d)"
        ),
        _is_national_id,
    ),
}
"""Kind -> what it looks like, and whether something of that look is one."""
