"""What a Logwell server stores of a request: CONTRACT.md's rules, written down again.

Shares no code with the package: its mistakes would be repeated here.
"""

from __future__ import annotations

import json
import re
from typing import Any

LEVELS = ["debug", "info", "warn", "error", "fatal"]
FIELDS = {"level", "message", "timestamp", "service", "metadata", "sourceFile", "lineNumber"}
# Tab to carriage return, space, and the spaces of Unicode, the byte order mark with them.
JS_TRIM = "".join(
    map(chr, [*range(9, 14), 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029])
) + "".join(map(chr, [0x202F, 0x205F, 0x3000, 0xFEFF]))
TIMESTAMP = re.compile(
    r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)


def problems(body: bytes, count: int) -> list[str]:
    """Why the server would not store all `count` entries of a request body as they are."""
    found: list[str] = []
    if len(body) > 500_000:
        found.append(f"{len(body)} bytes")
    document = json.loads(
        body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates
    )
    if not isinstance(document, list) or not 1 <= len(document) <= 100:
        return [*found, "no array of 1 to 100 entries"]
    if len(document) != count:
        found.append(f"{len(document)} entries, said to be {count}")
    for index, entry in enumerate(document):
        found += [f"entry {index}: {problem}" for problem in _entry(entry)]
    return found


def _entry(entry: Any) -> list[str]:
    metadata = entry.get("metadata", {})
    checks = {
        f"unknown fields {entry.keys() - FIELDS}": not entry.keys() - FIELDS,
        "level": entry.get("level") in LEVELS,
        "message is refused": _says_something(entry.get("message")),
        f"timestamp {entry.get('timestamp')!r}": TIMESTAMP.fullmatch(entry.get("timestamp", "")),
        "service is ignored": _says_something(entry.get("service", "none")),
        "service is too long": len(entry.get("service", "").encode("utf-8", "replace")) <= 1024,
        "sourceFile is ignored": isinstance(entry.get("sourceFile", "none"), str),
        f"lineNumber {entry.get('lineNumber')!r}": _is_line_number(entry.get("lineNumber", 1)),
        "metadata is ignored": isinstance(metadata, dict),
        # Within a hundredth: numbers can be written in more than one way.
        f"an entry of {len(_json(entry))} bytes": len(_json(entry)) <= 128 * 1024 * 1.01,
    }
    return [problem for problem, fine in checks.items() if not fine] + _value(entry, 0)


def _says_something(value: Any) -> bool:
    return isinstance(value, str) and value.strip(JS_TRIM) != ""


def _is_line_number(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 2_147_483_647


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _value(value: Any, depth: int) -> list[str]:
    if depth > 50:
        return ["nested too deep"]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return [f"{value} would be rounded"]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ["an infinity becomes null"]
    if isinstance(value, list):
        return [problem for item in value for problem in _value(item, depth + 1)]
    if isinstance(value, dict):
        return [
            problem
            for key, item in value.items()
            for problem in _text(key) + _value(item, depth + 1)
        ]
    return []


def _text(text: str) -> list[str]:
    found = ["U+0000"] if "\0" in text else []
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        found.append("a lone surrogate")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError(f"a name twice in {names}")
    return dict(pairs)
