"""This machine's clock against the server's Date header."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.check import only, results

if TYPE_CHECKING:
    from support.check import Stub

NOON = 1_795_003_200.0
DATE = "Wed, 18 Nov 2026 12:00:00 GMT"
ADVICE = (
    " -> Synchronise this machine's clock (NTP), or the server's: entries are shown in the order "
    "of the clocks of the machines that logged them."
)


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        (0.0, "pass Clock: within 5 s of the server's"),
        (5.5, "pass Clock: within 5 s of the server's"),
        (-4.5, "pass Clock: within 5 s of the server's"),
        (63.5, f"warning Clock: 63 s ahead of the server's{ADVICE}"),
        (-3599.5, f"warning Clock: 3600 s behind the server's{ADVICE}"),
    ],
)
def test_the_difference(stub: Stub, ahead: float, line: str) -> None:
    assert time.gmtime(NOON)[:6] == (2026, 11, 18, 12, 0, 0)
    stub.date = DATE
    assert only(results(stub.url, dependencies={"wall": lambda: NOON + ahead}), "Clock") == line


def test_a_server_that_does_not_tell_the_time(stub: Stub) -> None:
    stub.date = ""
    assert only(results(stub.url), "Clock") == (
        "skipped Clock: the server's answer has no Date header to compare with"
    )


def test_a_date_that_is_none(stub: Stub) -> None:
    stub.date = "soon"
    assert only(results(stub.url), "Clock") == (
        "skipped Clock: the server's Date header is no date: soon"
    )
