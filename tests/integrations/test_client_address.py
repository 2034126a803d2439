from __future__ import annotations

import pytest

from logwell_otel.integrations.request_log import client_address


@pytest.mark.parametrize(
    ("forwarded_for", "trusted", "expected"),
    [
        (None, 1, "192.0.2.1"),
        ("", 1, "192.0.2.1"),
        ("203.0.113.9", 0, "192.0.2.1"),
        ("203.0.113.9", -1, "192.0.2.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        # What the client wrote itself stands on the left and is never reached.
        ("6.6.6.6, 203.0.113.9", 1, "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        ("203.0.113.9", 2, "192.0.2.1"),
        ("203.0.113.9:4711", 1, "203.0.113.9"),
        ("2001:db8::1", 1, "2001:db8::1"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("unknown", 1, "192.0.2.1"),
        ("<script>", 1, "192.0.2.1"),
        (",", 1, "192.0.2.1"),
    ],
)
def test_who_is_believed(forwarded_for: str | None, trusted: int, expected: str) -> None:
    assert client_address("192.0.2.1", forwarded_for, trusted) == expected


def test_no_peer_is_known_on_a_unix_socket() -> None:
    assert client_address(None, None, 0) is None
    assert client_address(None, "203.0.113.9", 1) == "203.0.113.9"
