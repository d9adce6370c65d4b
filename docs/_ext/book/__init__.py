"""The book's Sphinx extension: equations, derivations, code and verdicts on its pages, all computed when it is built.

docs/design/book.md describes the directives for those who write pages.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Register the extension's parts with Sphinx."""
    # here, since they need Sphinx
    from book import api, boxes, breakit, course, demos, derivations, equations, live, notation, sources

    for part in (boxes, sources, api, equations, derivations, breakit, demos, notation, live, course):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
