"""Cases that run each night only: more of what a usual case shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def nightly(*cases: Any) -> Iterator[Any]:
    """`cases` of a parametrised test, for `scripts/test --nightly`; a tuple has several values."""
    for case in cases:
        values = case if type(case) is tuple else (case,)
        yield pytest.param(*values, marks=pytest.mark.nightly)
