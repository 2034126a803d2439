"""The workflows run what was looked at: actions by commit, without the repository's token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_keep_no_credentials(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)\n(.*)", text)
    assert used
    for action, comment, behind in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
        if action.startswith("actions/checkout@"):
            assert behind.strip() == "with: { persist-credentials: false }"
    assert re.search(r"^permissions: \{( contents: read )?\}$", text, re.MULTILINE)
    assert "pull_request_target" not in text


def test_what_is_marked_nightly_runs_each_night() -> None:
    (path,) = (path for path in WORKFLOWS if path.name == "nightly.yml")
    assert "- run: scripts/test --nightly\n" in path.read_text(encoding="utf-8")


def test_dependencies_and_workflows_are_audited() -> None:
    (audit,) = (path for path in WORKFLOWS if path.name == "audit.yml")
    assert "scripts/audit" in audit.read_text(encoding="utf-8")
