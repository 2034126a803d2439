"""The key file: what it may look like, and that it is read again."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from logwell_otel._config.secrets import ApiKey
from support.bench import Bench
from support.config import KEY, resolve
from support.records import messages, records
from support.server import UNAUTHORIZED

if TYPE_CHECKING:
    from pathlib import Path

NEW_KEY = "lw_" + "n" * 32


@pytest.mark.parametrize(
    "content",
    [
        KEY.encode(),
        f"{KEY}\n".encode(),
        f"\n  {KEY}\t\r\n\n".encode(),
        f"\ufeff{KEY}\r\n".encode(),  # as PowerShell writes it
    ],
)
def test_white_space_and_a_byte_order_mark_do_not_count(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert ApiKey.from_file(path).reveal() == KEY


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"),
        (f"LOGWELL_API_KEY={KEY}".encode(), "51 characters that do not begin with 'lw_'"),
        (f"{KEY}\n{NEW_KEY}\n".encode(), "71 characters"),
        (KEY.encode("utf-16"), "do not begin with 'lw_'"),
        (b"\xff\xfe\x00", "do not begin with 'lw_'"),
        (b"x" * 10_000_000, "4096 characters that do not begin with 'lw_'"),
    ],
)
def test_what_is_no_key_file(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{found}$"):
        ApiKey.from_file(path)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    from pathlib import Path

    with pytest.raises(ValueError, match="4096 characters"):
        ApiKey.from_file(Path("/dev/zero"))


def test_reload_sees_another_key_and_survives_the_middle_of_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    key = ApiKey.from_file(path)
    assert not key.reload()
    path.write_text("")
    assert not key.reload()
    path.unlink()
    assert not key.reload()
    assert key.reveal() == KEY
    path.write_text(f"{NEW_KEY}\n")
    assert key.reload()
    assert not key.reload()
    assert key.reveal() == NEW_KEY


def test_a_key_given_as_text_is_not_reloaded() -> None:
    assert not ApiKey(KEY).reload()


def test_a_refused_key_is_read_again_before_the_next_request(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    bench = Bench(api_key_file=path)
    bench.exporter.export(records(1))
    bench.server.replies = [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED]
    began = bench.clock()
    bench.run(1)  # the same key still: nothing is sent for 30 s
    assert len(bench.server.requests) == 1
    path.write_text(NEW_KEY)
    bench.run(40)  # refused once more, read again, refused again with the new one
    path.write_text(KEY)
    bench.run(40)
    assert bench.server.stored == messages(1)
    assert bench.clock() - began < 80
    assert len(bench.server.requests) == 4


def test_a_key_shows_itself_to_nobody_but_reveal(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    for key, shown in ((ApiKey(KEY), "<ApiKey>"), (ApiKey.from_file(path), "<ApiKey from file>")):
        assert repr(key) == str(key) == f"{key}" == shown
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(key)
        with pytest.raises(TypeError, match="not pickled"):
            copy.copy(key)
        with pytest.raises(TypeError):
            vars(key)
    assert KEY not in repr(vars(resolve()))
