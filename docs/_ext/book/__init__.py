"""The book's Sphinx extension: equations, derivations, code and verdicts on its pages, all computed when it is built.

docs/design/book.md describes the directives for those who write pages.
"""

from __future__ import annotations

import hashlib
from typing import Any

from book.places import ROOT


def setup(app: Any) -> dict[str, Any]:
    """Register the extension's parts with Sphinx."""
    # here, since they need Sphinx
    from book import api, boxes, breakit, course, demos, derivations, equations, live, notation, sources

    for part in (boxes, sources, api, equations, derivations, breakit, demos, notation, live, course):
        part.setup(app)
    return {"version": "1", "env_version": state(), "parallel_read_safe": False, "parallel_write_safe": True}


def state() -> int:
    """Return a number for what pages are made of beside their own text: with another one, all pages are read again."""
    digest = hashlib.sha256()
    for folder, kind in (("docs/_ext", "*.py"), ("docs/_live/python", "*.py"), ("docs/exercise", "*.*"),
                         ("ddpm_np", "*.py"), ("tests/support/mistakes", "*.py")):
        for path in sorted((ROOT / folder).rglob(kind)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")
