"""The documentation's site; `scripts/docs` builds it.

Sphinx with MyST, which reads the pages as GitHub does: MkDocs' dialect of Markdown renders
lists without an empty line above them as running text.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SOURCE = "https://github.com/logwell-otel/logwell-otel/blob/main"

project = "logwell-otel"
author = "The logwell-otel authors"
version = release = version_of("logwell-otel")
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# The index takes it in: a folder's page on GitHub, and the site's first, are one text.
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = f"logwell-otel {release}"
html_theme_options = {"source_repository": SOURCE.removesuffix("/blob/main")}
html_show_copyright = False

# Anchors as GitHub makes them, which the pages' links to headings use.
myst_heading_anchors = 4

# Docstrings quote code with single backticks, as Markdown does.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True


def _links_out_of_the_docs(_: Sphinx, __: str, text: list[str]) -> None:
    """What lies beside this folder has no page on the site: the repository shows it."""
    text[0] = re.sub(r"\]\(\.\./([^)]*)\)", rf"]({SOURCE}/\1)", text[0])


def setup(app: Sphinx) -> None:
    """Add what the pages need."""
    app.connect("source-read", _links_out_of_the_docs)
    app.connect(
        "include-read",
        lambda app, _, docname, content: _links_out_of_the_docs(app, docname, content),
    )
