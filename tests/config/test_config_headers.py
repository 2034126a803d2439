"""Further headers: both notations, what is refused, and that no value is shown."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.config import refused, resolve

SECRET = "s3cretvalue"


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("X-A=1", {"X-A": "1"}),
        ("X-A=1,X-B=2", {"X-A": "1", "X-B": "2"}),
        (" X-A = 1 , X-B = 2 , ", {"X-A": "1", "X-B": "2"}),
        ("X-A=a=b", {"X-A": "a=b"}),
        ("X-A=", {"X-A": ""}),
        ("X-A=a%20b%2Cc%3D", {"X-A": "a b,c="}),
        ("X-A=%20padded%20", {"X-A": "padded"}),
        ("Cookie=a; CF-Access-Client-Id=x", {"Cookie": "a; CF-Access-Client-Id=x"}),
    ],
)
def test_a_text_is_names_and_values(text: str, headers: dict[str, str]) -> None:
    assert dict(resolve(headers=text).headers) == headers
    assert dict(resolve({"LOGWELL_HEADERS": text}).headers) == headers


def test_a_mapping_is_taken_as_it_is() -> None:
    headers = resolve(headers={"X-A": "a%20b", "X-B": " padded "}).headers
    assert dict(headers) == {"X-A": "a%20b", "X-B": "padded"}
    assert len(headers) == 2
    assert "X-A" in headers


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (SECRET, "expected name=value,name=value, got no '=' in part 1"),
        (f"X-A=1,{SECRET}", "expected name=value,name=value, got no '=' in part 2"),
        # The colon notation, and a value in base64.
        (f"X-A: {SECRET}==", "got another character in the name (header 1)"),
        (f"X A={SECRET}", "got another character in the name (header 1)"),
        (f"={SECRET}", "got another character in the name (header 1)"),
        (f"X-A=1,X-B={SECRET}%0A", None),
        (f"X-A=1,X-B={SECRET}%0Ax", "got another character in the value (header 2)"),
        (f"X-A={SECRET}é", "got another character in the value (header 1)"),
        (f"X-A={SECRET}%00x", "got another character in the value (header 1)"),
        (f"X-A=1,x-a={SECRET}", "expected each header once, got x-a again (header 2)"),
        (f"Authorization={SECRET}", "expected no header that the exporter itself sets, got Aut"),
        (f"content-type={SECRET}", "expected no header that the exporter itself sets, got con"),
        ("Accept-Encoding=gzip", "expected no header that the exporter itself sets"),
        ("User-Agent=x", "expected no header that the exporter itself sets"),
        ("Host=other", "expected no header that the exporter itself sets"),
        ({"X-A": None}, "expected texts as names and values, got str and NoneType (header 1)"),
        ({"X-A": True}, "expected texts as names and values, got str and bool (header 1)"),
        ({"X-A": [SECRET]}, "expected texts as names and values, got str and list (header 1)"),
        ({None: SECRET}, "expected texts as names and values, got NoneType and str (header 1)"),
        ({"X-A": f"{SECRET}\r\nX-B: 1"}, "got another character in the value (header 1)"),
        ({f"X-A: {SECRET}": "1"}, "got another character in the name (header 1)"),
        ([("X-A", SECRET)], "expected a mapping or name=value,name=value, got list"),
        (7, "expected a mapping or name=value,name=value, got int"),
    ],
)
def test_what_is_refused(value: Any, found: str | None) -> None:
    if found is None:
        assert dict(resolve(headers=value).headers) == {"X-A": "1", "X-B": SECRET}
        return
    messages = [refused(headers=value)]
    if isinstance(value, str):
        messages.append(refused({"LOGWELL_HEADERS": value}))
    for message in messages:
        assert message.startswith("headers (LOGWELL_HEADERS): expected ")
        assert found in message
        assert SECRET not in message


def test_values_are_shown_nowhere() -> None:
    headers = resolve(headers={"X-Token": SECRET}).headers
    assert repr(headers) == "<Headers X-Token>"
    assert repr(resolve().headers) == "<Headers>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(headers)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(headers)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_what_is_taken_can_be_sent(headers: dict[str, str]) -> None:
    """httpx and h11, which would fail for every request, take what we take."""
    import h11

    from logwell_otel import LogwellError

    try:
        taken = resolve(headers=headers).headers
    except LogwellError:
        return
    h11.Request(method="GET", target="/", headers=[("Host", "x"), *taken.items()])
