"""No key, header value or proxy password in anything that can be seen, whatever goes wrong."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel import LogwellError, LogwellErrorCode, LogwellLogExporter
from logwell_otel._config.options import Config
from logwell_otel._delivery.response import outcome_of
from logwell_otel._diagnostics import Notices, Secrets, hide_keys
from logwell_otel._http import NoAnswer
from support.bench import Bench
from support.config import KEY
from support.records import record
from support.server import answer

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

KEYS = st.from_regex(r"lw_[A-Za-z0-9_-]{32}", fullmatch=True)
HEADER_VALUES = st.from_regex(r"S3cr3t[!-+.-~]{6,20}", fullmatch=True)
PASSWORDS = st.from_regex(r"P4ss[A-Za-z0-9!$^*/:%~]{6,20}", fullmatch=True)


def everything_seen(error: BaseException) -> Iterator[str]:
    """What logging, a traceback, a debugger or an error tracker shows of `error`."""
    seen: BaseException | None = error
    while seen is not None:
        yield f"{seen!r} {seen} {seen.args!r} {vars(seen)!r}"
        seen = seen.__cause__ or seen.__context__
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")


def everything_of(exporter: LogwellLogExporter) -> Iterator[str]:
    config = exporter._config  # noqa: SLF001 - the point of this test
    yield f"{exporter!r} {exporter} {vars(exporter)!r} {config!r} {config} {vars(config)!r}"
    yield f"{exporter.health()!r} {config.secrets!r} {[*config.origins.items()]!r}"
    for value in (exporter, config, config.api_key, config.headers, config.secrets, config.proxy):
        if value is None:
            continue
        with pytest.raises(TypeError):
            pickle.dumps(value)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


class Secret(NamedTuple):
    key: str
    key_in_file: str
    header: str
    password: str


SECRETS = st.builds(Secret, KEYS, KEYS, HEADER_VALUES, PASSWORDS)


def construct(arguments: dict[str, Any]) -> LogwellLogExporter | LogwellError:
    try:
        return LogwellLogExporter(**arguments)
    except LogwellError as error:
        return error


@given(st.data(), SECRETS, st.randoms(use_true_random=False))
def test_values_in_each_others_places(
    files: Path, data: st.DataObject, secret: Secret, order: random.Random
) -> None:
    key_file, pem = files / "key", files / "cert.pem"
    key_file.write_text(secret.key_in_file)
    pem.write_text(f"-----BEGIN CERTIFICATE-----\n{secret.key}\n-----END CERTIFICATE-----\n")
    values = {
        "endpoint": "https://logs.example.com",
        "api_key": secret.key,
        "api_key_file": str(key_file),
        "service": "shop",
        "headers": f"X-Tenant=1,X-Token={secret.header}",
        "timeout": "5",
        "certificate_file": str(pem),
        "level": "info",
        "source_location": "true",
        "max_queue_bytes": "1048576",
        "requests_per_hour": "60",
        "proxy": f"http://pr0xyuser:{secret.password}@127.0.0.1:9",
    }
    given_names = sorted(data.draw(st.sets(st.sampled_from([*values]), min_size=2)))
    places = [*given_names]
    order.shuffle(places)
    given_as = {place: values[name] for name, place in zip(given_names, places, strict=True)}
    environ = {"HTTPS_PROXY": given_as.pop("proxy", "")}
    as_arguments = data.draw(st.sets(st.sampled_from(places)))
    arguments = {name: value for name, value in given_as.items() if name in as_arguments}
    environ |= {
        f"LOGWELL_{name.upper()}": value
        for name, value in given_as.items()
        if name not in as_arguments
    }
    with mock.patch.dict(os.environ, environ):
        made = construct(arguments)
        seen = [*(everything_seen(made) if isinstance(made, LogwellError) else everything_of(made))]
    for text in (*secret, unquote(secret.header), "pr0xyuser"):
        assert not any(text in shown for shown in seen), seen


@given(KEYS, st.text(max_size=20), st.text(max_size=20))
def test_whatever_looks_like_a_key_is_hidden(key: str, before: str, after: str) -> None:
    for hide in (hide_keys, Secrets().mask):
        assert key not in hide(f"{before}{key}{after}")
    assert hide_keys("lw_short and slow_motion") == "lw_short and slow_motion"


@given(st.lists(st.text(min_size=4, max_size=12), max_size=4), st.text(max_size=30), st.data())
def test_mask_leaves_no_secret(secrets: list[str], text: str, data: st.DataObject) -> None:
    for secret in secrets:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + secret + text[at:]
    masked = Secrets(secrets).mask(text)
    # What remains of a secret can only be what the mask itself makes together with it.
    assert not any(secret in masked for secret in secrets if "*" not in secret)


def test_the_forms_in_which_others_quote_a_secret() -> None:
    secret = 'it\'s \\ "odd" / value'
    mask = Secrets([secret]).mask
    for form in (
        secret,
        repr(secret),
        f"{secret.encode()!r}",
        "it%27s%20%5C%20%22odd%22%20%2F%20value",
    ):
        assert "odd" not in mask(f"got {form}!")


def test_a_secret_that_is_part_of_another_leaves_no_rest() -> None:
    assert Secrets(["abcd", "abcdefgh"]).mask("x abcdefgh x abcd x") == "x *** x *** x"


def test_texts_too_short_to_be_secret_are_left_alone() -> None:
    assert Secrets(["1", "abc", ""]).mask("1 abc d") == "1 abc d"


HEADER = "S3cr3tHeaderValue"


def test_an_answer_that_quotes_a_secret_is_quoted_without() -> None:
    """Also where the quotation is cut: no half of a secret is left."""
    mask = Config.resolve(
        {}, endpoint="https://logs.example.com", api_key=KEY, headers={"X": f"Bearer {HEADER}"}
    ).secrets.mask
    for padding in range(150, 210):
        text = "x" * padding + KEY + " " + HEADER
        for reply in (
            answer(401, {"error": "unauthorized", "message": text}),
            answer(400, {"error": "validation_error", "message": text}),
            answer(302, None, location=text),
            answer(502, "<html>", **{"content-type": text}),
            NoAnswer(mask(text)),
        ):
            error = outcome_of(reply, mask=mask).error
            assert error is not None
            assert "kkkkk" not in error.message
            assert "S3cr3t" not in error.message


def test_entries_are_named_without_a_secret() -> None:
    for padding in range(90, 125):
        bench = Bench()
        bench.exporter.export([record(f"{'x' * padding} {KEY}")])
        bench.server.replies = [
            answer(200, {"accepted": 0, "rejected": 1, "errors": [f"Entry at index 0: {KEY}"]})
        ]
        bench.run()
        assert "refused 1 of 1" in bench.errors[0].message
        assert "kkkkk" not in "".join([str(error) for error in bench.errors] + bench.said)


@pytest.mark.parametrize("proxy", ["", "http://pr0xyuser:pr0xyp4ss@127.0.0.1:9"])
def test_everything_of_an_exporter_that_works(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    path = tmp_path / "key"
    path.write_text(KEY)
    for key in ({"api_key": KEY}, {"api_key_file": path}):
        exporter = LogwellLogExporter(
            "https://logs.example.com", **key, headers={"X-Token": HEADER}
        )
        seen = "".join(everything_of(exporter))
        assert "logs.example.com" in seen
        assert not any(secret in seen for secret in (KEY, HEADER, "pr0xyuser", "pr0xyp4ss"))


def test_a_callback_whose_exception_quotes_the_key(caplog: pytest.LogCaptureFixture) -> None:
    def report(_: LogwellError) -> None:
        raise ValueError(KEY)

    notices = Notices(on_error=report)
    notices.error(LogwellError("x", LogwellErrorCode.NETWORK_ERROR))
    with caplog.at_level(logging.WARNING):
        notices.dispatch()
    assert "raised ValueError: ***" in caplog.text
    assert KEY not in caplog.text
