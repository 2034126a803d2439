"""One class name, one meaning: a reader who looks a name up finds one class.

The middleware is one thing for two interfaces, and has one name in both.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import logwell_otel

PACKAGE = Path(logwell_otel.__file__).parent


@pytest.mark.slow
def test_no_class_name_stands_for_two_things() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(str(file.relative_to(PACKAGE)))
    assert len(places) > 100
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert twice == {"RequestLogMiddleware": ["integrations/asgi.py", "integrations/wsgi.py"]}
