"""Payment card numbers: known prefix, known length, right check digit.

Prefixes and lengths: ISO/IEC 7812 and the issuers' published ranges. Thirteen-digit Visa
numbers are left out: none has been issued for decades, and one EAN-13 bar code in ten
that starts with 4 would pass for one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from logwell_otel.redaction.names import marker, split_words, word_set

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN_DIGITS = 14

MIN_CARD = 10 ** (_MIN_DIGITS - 1)
"""The least integer that can be a card number."""

MAX_CARD = 10**19 - 1
"""The greatest integer that can be a card number."""

_SEPARATORS = b" -"
_RUN_OF_ZEROS = b"0" * _MIN_DIGITS


def _candidate(digit: str, one: str, three: str) -> str:
    # The groups a card is written in: 4-4-4-4(-3), 4-6-5 and 4-6-4, 4-5-6, or no groups at all.
    # A number that continues a word, a decimal or an id with dashes is no card.
    return (
        r"(?<![\w.+#])(?<!\w-)"
        rf"(?:{digit}{{4}}(?P<sep>[ -]){digit}{{4}}(?P=sep){digit}{{4}}(?P=sep){digit}{{4}}"
        rf"(?:(?P=sep){digit}{{3}})?"
        rf"|{three}{digit}{{3}}(?P<sep3>[ -]){digit}{{6}}(?P=sep3){digit}{{4,5}}"
        rf"|{one}{digit}{{3}}(?P<sep1>[ -]){digit}{{5}}(?P=sep1){digit}{{6}}"
        rf"|(?P<solid>{digit}{{14,19}}))"
        rf"(?!\w|\.{digit}|-[0-9A-Fa-f]{{4}})"
    )


_CANDIDATE = re.compile(_candidate(r"\d", "1", "[38]"), re.ASCII)
_CANDIDATE_IN_SHAPE = re.compile(_candidate("0", "0", "0").encode("ascii"))

_CONTEXT = 40
"""How many characters before a number may say what the number is."""

_CARD_WORDS = word_set("card cards pan cc credit debit visa mastercard amex payment")
_ID_WORDS = word_set(
    "id ids uid no nr order orders invoice invoices tracking shipment shipments parcel ref "
    "reference serial sku ean gtin upc isbn imei iccid ts timestamp time epoch nonce seq sequence "
    "offset hash trace span"
)

# (first, last, digits of the prefix, lengths)
_RANGES: tuple[tuple[int, int, int, tuple[int, ...]], ...] = (
    (4, 4, 1, (16, 19)),  # Visa
    (51, 55, 2, (16,)),  # Mastercard
    (2221, 2720, 4, (16,)),  # Mastercard
    (34, 34, 2, (15,)),  # American Express
    (37, 37, 2, (15,)),  # American Express
    (6011, 6011, 4, (16, 19)),  # Discover
    (644, 649, 3, (16, 19)),  # Discover
    (65, 65, 2, (16, 19)),  # Discover, RuPay
    (300, 305, 3, (14,)),  # Diners Club
    (3095, 3095, 4, (14,)),  # Diners Club
    (36, 36, 2, (14,)),  # Diners Club
    (38, 39, 2, (14,)),  # Diners Club
    (3528, 3589, 4, (16,)),  # JCB
    (62, 62, 2, (16, 17, 18, 19)),  # UnionPay
    (5018, 5018, 4, (16, 18, 19)),  # Maestro
    (5019, 5019, 4, (16,)),  # Maestro, Dankort
    (5020, 5020, 4, (16, 18, 19)),  # Maestro
    (5038, 5038, 4, (16, 18, 19)),  # Maestro
    (5893, 5893, 4, (16, 18, 19)),  # Maestro
    (6304, 6304, 4, (16, 18, 19)),  # Maestro
    (6759, 6763, 4, (16, 18, 19)),  # Maestro
    (6765, 6766, 4, (16, 18, 19)),  # Maestro
    (8699, 8699, 4, (15,)),  # Voyager
    (1, 1, 1, (15,)),  # UATP
    (2200, 2204, 4, (16,)),  # Mir
)


def is_card_number(digits: str) -> bool:
    """Tell whether these digits are a card number: prefix, length and check digit."""
    length = len(digits)
    for first, last, size, lengths in _RANGES:
        if length in lengths and first <= int(digits[:size]) <= last:
            return _luhn(digits)
    return False


def names_an_id(name: str) -> bool:
    """Tell whether a name (or the text before a number) says that the number is an id."""
    last = split_words(name)[-2:]
    return not _CARD_WORDS.intersection(last) and bool(_ID_WORDS.intersection(last))


def may_hold_digits(shape: bytes) -> bool:
    """Tell whether a text of this shape has as many digits in a row as a card number has."""
    return _RUN_OF_ZEROS in shape.translate(None, _SEPARATORS)


def may_hold_cards(shape: bytes) -> bool:
    """Tell whether there may be a card number in a text of this shape: each digit a zero."""
    # Most texts do not even have the digits. Ids often have, but not in such groups.
    return may_hold_digits(shape) and _CANDIDATE_IN_SHAPE.search(shape) is not None


def redact_cards(text: str, allowed: Callable[[str], bool]) -> str:
    """Replace card numbers in a text, unless `allowed` says that one may stay."""

    def replace(match: re.Match[str]) -> str:
        found = match.group()
        digits = found.replace(" ", "").replace("-", "")
        if not is_card_number(digits) or allowed(found):
            return found
        before = text[max(0, match.start() - _CONTEXT) : match.start()]
        if match["solid"] and names_an_id(_last_clause(before)):
            return found
        return marker("card")

    return _CANDIDATE.sub(replace, text)


def _last_clause(text: str) -> str:
    # "order 17 was paid, 4111…": a word says what a number is only when it stands next to it.
    clause = re.split(r"[,;)\]}\n]|\d\s", text)[-1]
    return clause if re.search(r"[A-Za-z][^A-Za-z]{0,6}\Z", clause) else ""


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
