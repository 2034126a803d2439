"""What is stored stays within its size: the oldest entries go, with all that hangs on them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import Entry, lexemes
from logwell_otel.devserver.store import Store

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
TIME = "2026-11-26T10:00:00.000Z"


def batch(first: int, level: str = "info") -> list[Entry]:
    return [
        Entry(level, f"message {number} {'x' * 900}", TIME, "shop", {"number": number})
        for number in range(first, first + 100)
    ]


def numbers(store: Store) -> list[int]:
    return [entry.metadata["number"] for entry in store.entries()]


@pytest.mark.slow
@pytest.mark.parametrize("in_file", [True, False])
def test_the_newest_stay(tmp_path: Path, in_file: bool) -> None:
    path = tmp_path / "logs.db" if in_file else None
    with closing(Store(path, max_bytes=2 * MIB)) as store:
        for first in range(0, 6_000, 100):
            store.add(batch(first))
            kept = numbers(store)
            assert kept == list(range(kept[0], first + 100))
        assert 1_200 < len(kept) < 2_000
        ((pages,),) = store.query("PRAGMA page_count")
        ((size,),) = store.query("PRAGMA page_size")
        assert pages * size < 2 * MIB + 200_000  # one batch more, before the oldest go
    if path is not None:
        assert path.stat().st_size < 2 * MIB + 200_000


@pytest.mark.slow
def test_search_and_incidents_forget_them_too(tmp_path: Path) -> None:
    def found(store: Store, word: str) -> int:
        store.index(lexemes.of_document)
        statement = "SELECT count(*) FROM lexeme WHERE lexeme MATCH ?"
        ((count,),) = store.query(statement, [lexemes.query(word)])
        return int(count)

    with closing(Store(tmp_path / "logs.db", max_bytes=2 * MIB)) as store:
        old = Entry("error", "message of a walrus", TIME, "shop", {"number": -1})
        store.add([old])
        assert (found(store, "walrus"), len(store.query("SELECT * FROM incident"))) == (1, 1)
        for first in range(0, 4_000, 100):
            store.add(batch(first))
            assert found(store, "message") == store.count()
        assert (found(store, "walrus"), store.query("SELECT * FROM incident")) == (0, [])
        store.add([Entry("error", "message of a walrus", TIME, "shop", {"number": 4_000})])
        assert (found(store, "walrus"), len(store.query("SELECT * FROM incident"))) == (1, 1)


def test_a_file_that_was_larger_is_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    with closing(Store(path)) as store:
        for first in range(0, 5_000, 100):
            store.add(batch(first))
    assert path.stat().st_size > 4 * MIB
    with closing(Store(path, max_bytes=MIB)) as store:
        assert numbers(store)[-1] == 4_999
        assert store.count() < 1_000
    assert path.stat().st_size <= MIB


def test_one_entry_stays_however_large(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    with closing(Store(path, max_bytes=MIB)) as store:
        for number in range(5):
            store.add([Entry("info", "x" * 3 * MIB, TIME, None, {"number": number})])
        assert numbers(store) == [4]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
