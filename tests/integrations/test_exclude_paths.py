from __future__ import annotations

import re
from typing import Any

import pytest

from logwell_otel.integrations.request_log import RequestLogger


@pytest.mark.parametrize(
    ("exclude", "path", "expected"),
    [
        (("/health",), "/health", True),
        (("/health",), "/health/", True),
        (("/health",), "/health/live", True),
        (("/health",), "/healthy", False),
        (("/health",), "/api/health", False),
        (("/health/",), "/health", True),
        (("health",), "/health", True),
        ("/health", "/health", True),
        ("/health", "/h", False),
        (("/",), "/", True),
        (("/",), "/orders", True),
        ((), "/health", False),
        ((re.compile(r"\.(css|js)$"),), "/static/site.css", True),
        ((re.compile(r"\.(css|js)$"),), "/static/site.css/x", False),
        ((re.compile(r"^/internal/"), "/health"), "/internal/x", True),
        ((re.compile(r"^/internal/"), "/health"), "/health", True),
    ],
)
def test_which_paths_are_left_out(exclude: Any, path: str, expected: bool) -> None:
    assert RequestLogger(exclude_paths=exclude).excludes(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/health", True),
        ("/healthz", True),
        ("/livez", True),
        ("/readyz", True),
        ("/metrics", True),
        ("/", False),
        ("/metrics-of-success", False),
    ],
)
def test_by_default(path: str, expected: bool) -> None:
    assert RequestLogger().excludes(path) is expected


@pytest.mark.parametrize("wrong", [("",), (None,), (5,), (b"/health",)])
def test_what_is_neither_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="exclude_paths takes paths and compiled patterns"):
        RequestLogger(exclude_paths=wrong)
