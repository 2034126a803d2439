from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwell_otel.devserver import DevServer
from logwell_otel.devserver.ingest import RateLimit
from support.clock import Clock

GOOD = b'{"level":"info","message":"good"}'


def test_a_burst_of_600_then_one_each_tenth_of_a_second() -> None:
    clock = Clock()
    bucket = RateLimit(600, clock)
    assert [bucket.take() for _ in range(601)] == [True] * 600 + [False]
    for _ in range(50):
        clock.now += 0.05
        assert not bucket.take()
        clock.now += 0.05
        assert bucket.take()
    clock.now += 3_600
    assert sum(bucket.take() for _ in range(1_000)) == 600


@given(
    limit=st.integers(1, 1_000),
    steps=st.lists(st.floats(0, 30), max_size=60),
)
def test_never_more_than_the_bucket_and_what_flowed_in(limit: int, steps: list[float]) -> None:
    clock = Clock()
    bucket = RateLimit(limit, clock)
    taken = 0
    for step in steps:
        clock.now += step
        taken += bucket.take()
        assert taken <= limit + (clock.now - 1_000) * limit / 60 + 1e-6


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_lets_nothing_through_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimit(limit)


@pytest.mark.socket
def test_what_costs_a_token_and_what_does_not() -> None:
    clock = Clock()
    with DevServer(requests_per_minute=3, clock=clock) as receiver:
        good = {"Authorization": f"Bearer {receiver.key}", "Content-Type": "application/json"}

        def post(body: bytes = GOOD, **headers: str) -> httpx.Response:
            one = good | {name.replace("_", "-"): value for name, value in headers.items()}
            return httpx.post(
                f"{receiver.url}/v1/ingest",
                content=body,
                headers=one,
                trust_env=False,
                verify=False,
            )

        for _ in range(4):
            assert post(Authorization="").status_code == 401
            assert post(Content_Type="x/y").status_code == 415
            assert post(Content_Type="text/plain").status_code == 403
        assert post(b"broken").status_code == 400
        assert post(b'{"level":"info","message":"\\u0000"}').status_code == 500
        assert post().status_code == 200
        limited = post()
        assert limited.status_code == 429
        assert limited.headers["retry-after"] == "60"
        assert limited.json() == {
            "error": "rate_limited",
            "message": "Rate limit exceeded. Retry in 60 seconds.",
        }
        # Checked before the body is: neither of these is looked at.
        assert post(b"broken").status_code == 429
        clock.now += 20
        assert [post().status_code, post().status_code] == [200, 429]
        assert receiver.count() == 2
