"""`docs/recipes.md` and `examples/` say the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.process import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

PAGE = EXAMPLES.parent / "docs" / "recipes.md"
SECTIONS = dict(
    re.findall(r"^## (.+)\n((?:(?!^## ).*\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
)
FILES = {
    heading: [PAGE.parent / path for path in re.findall(r"\]\((\.\./examples/[^)]+)\)", text)]
    for heading, text in SECTIONS.items()
}
# Run by `scripts/demo`, which is no recipe.
DEMO = {"demo.py", "shop.py"}


@pytest.mark.parametrize("heading", [heading for heading, files in FILES.items() if files])
def test_every_line_on_the_page_is_one_of_the_file(heading: str) -> None:
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", SECTIONS[heading], re.DOTALL)
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for file in FILES[heading]
        for path in ([*file.parent.rglob("*.py")] if file.name == "manage.py" else [file])
    )
    lines = {line.strip() for line in text.splitlines()}
    shown = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert shown
    assert [line for line in shown if line not in lines] == []


def test_every_example_is_on_the_page() -> None:
    linked = {path.resolve() for files in FILES.values() for path in files}
    examples = {path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".yaml")}
    assert {path.name for path in examples - linked} == DEMO
    assert all(path.is_file() for path in linked)


@pytest.mark.parametrize(
    "path",
    sorted({*EXAMPLES.glob("*.py")} - {EXAMPLES / name for name in DEMO}),
    ids=lambda p: p.name,
)
def test_every_example_says_how_to_run_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    first, _, rest = source.split('"""')[1].partition("\n\n")
    assert first.endswith(".")
    install, *_ = rest.splitlines()
    assert "pip install" in install
    assert f"{path.stem}" in rest
    assert len(source.splitlines()) < 70
