"""What a policy may say, and what is refused as a whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.errors import LogwellError, LogwellErrorCode
from logwell_otel.sampling import (
    DEFAULT_RATES,
    Policy,
    Sampler,
    client_signature,
    server_signature,
    signature,
)
from support.policy import POLICY

MESSAGE = "User 17 logged in"


def _parse(**fields: Any) -> Policy:
    return Policy.parse(json.dumps(fields).encode())


def _rate(policy: Policy, level: str, message: str = MESSAGE) -> float:
    return policy.rules().rate(level, message, signature(message))


def test_a_policy_as_the_server_has_it() -> None:
    assert Policy.parse(json.dumps(POLICY).encode()) == Policy(
        rates={"DEBUG": 0.1, "INFO": 0.3, "WARNING": 0.7},
        pattern_rates={},
        fallback_rate=1.0,
        anomaly_boost=2.0,
        version=0,
    )


def test_the_order_of_decision() -> None:
    """Errors, then the pattern's rate, then the severity's, then the global one."""
    policy = _parse(
        global_rate=0.5,
        severity_rates={"INFO": 0.3},
        pattern_rates={signature(MESSAGE): 0.01},
    )
    assert _rate(policy, "fatal") == _rate(policy, "error") == 1.0
    assert _rate(policy, "info") == _rate(policy, "debug") == 0.01
    assert _rate(policy, "info", "Another") == 0.3
    assert _rate(policy, "debug", "Another") == 0.5
    assert _rate(policy, "error", "Another") == 1.0


@pytest.mark.parametrize("sign", [signature, client_signature, server_signature])
def test_a_pattern_is_found_by_any_of_the_three_signatures(sign: Any) -> None:
    policy = _parse(global_rate=1.0, pattern_rates={sign("User 99 logged in").upper(): 0.25})
    assert _rate(policy, "info") == 0.25
    assert _rate(policy, "info", "Another") == 1.0


def test_a_servers_rate_for_errors_lowers_nothing_and_spoils_nothing() -> None:
    policy = _parse(severity_rates={"ERROR": 0.5, "Critical": 0.1, "fatal": 0, "INFO": 0.3})
    assert [_rate(policy, level) for level in DEFAULT_RATES] == [1.0, 0.3, 1.0, 1.0, 1.0]


def test_a_file_names_levels_and_messages() -> None:
    policy = _parse(
        rates={"info": 0.3},
        patterns={"GET /health <n>": 0.01, MESSAGE: 0.02, "0123456789abcdef": 0.03},
        comment="ours",
    )
    assert policy.rates == DEFAULT_RATES | {"info": 0.3}
    assert _rate(policy, "info", "GET /health 200") == 0.01
    assert _rate(policy, "info", "User 4 logged in") == 0.02
    assert policy.pattern_rates["0123456789abcdef"] == 0.03
    assert _rate(policy, "debug", "Another") == 0.05
    assert policy.anomaly_boost == 1.0


def test_a_file_of_patterns_only_leaves_the_levels_at_their_defaults() -> None:
    policy = _parse(patterns={MESSAGE: 1})
    assert (_rate(policy, "debug"), _rate(policy, "debug", "Another")) == (1.0, 0.05)


def test_a_byte_order_mark_and_nulls_do_not_matter() -> None:
    text = b'\xef\xbb\xbf{"rates": null, "severity_rates": {"INFO": 0.5}, "pattern_rates": null}'
    assert _rate(Policy.parse(text), "info") == 0.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "must be JSON"),
        (b"<html>", "must be JSON"),
        (b'{"global_rate": NaN}', "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[1]", "object, not list"),
        (b"null", "object, not null"),
        (b"{}", "one of the fields"),
        (b'{"detail": "Not Found"}', "one of the fields"),
        (b'{"global_rate": 2}', "fallback_rate"),
        (b'{"global_rate": "1"}', "fallback_rate"),
        (b'{"global_rate": true}', "fallback_rate"),
        (b'{"severity_rates": [1]}', "object of rates, not list"),
        (b'{"severity_rates": {"INFO": -0.1}}', "rates['info']"),
        (b'{"severity_rates": {"INFO": null}}', "rates['info']"),
        (b'{"severity_rates": {"LOUD": 0.1}}', "no level of that name"),
        (b'{"global_rate": 1, "pattern_rates": {"x": 1.1}}', "pattern_rates['x']"),
        (b'{"global_rate": 1, "anomaly_boost": 0.5}', "anomaly_boost"),
        (b'{"global_rate": 1, "anomaly_boost": 1e999}', ""),
        (b'{"global_rate": 1, "anomaly_boost": true}', "anomaly_boost"),
        (b'{"global_rate": 1, "anomaly_boost": "2"}', "anomaly_boost"),
        (b'{"global_rate": 1, "version": "1"}', "version"),
        (b'{"global_rate": 1, "version": true}', "version"),
        (b'{"rates": {"error": 0.5}}', "sample_errors"),
        (b'{"patterns": {"x": "often"}}', "pattern_rates"),
    ],
)
def test_nonsense_is_refused_as_a_whole(text: bytes, problem: str) -> None:
    with pytest.raises(LogwellError) as caught:
        Policy.parse(text)
    assert caught.value.code is LogwellErrorCode.INVALID_CONFIG
    assert problem in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*POLICY, "rates", "patterns"])


@given(st.binary() | st.dictionaries(NAMES, JSON).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_policy_or_refused(text: bytes) -> None:
    try:
        policy = Policy.parse(text)
    except LogwellError:
        return
    for level in DEFAULT_RATES:
        assert 0 <= _rate(policy, level) <= 1
    Sampler().use(policy.rules())


def test_the_policies_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    file, server, _ = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    policy = Policy.parse(file.encode())
    assert _rate(policy, "info", "GET /health 200 3ms") == 0.001
    assert _rate(policy, "info", "cache hit 5") == 0.05
    assert _rate(policy, "debug", "Another") == 0.01
    policy = Policy.parse(server.encode())
    assert _rate(policy, "debug", "User 5 logged in") == 0.01
    assert policy.version == 3
