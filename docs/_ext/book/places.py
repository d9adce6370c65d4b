"""Which page shows which equation and derivation, read from the pages' own text, so that every page can link to all.

Standard library only: the tests read it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BOOK = ROOT / "docs"
DIRECTIVE = re.compile(r"^[`:]{3,}\{(equation|derivation)\}[ \t]+(\S+)[ \t]*\n(?::lines:([^\n]*)\n)?", re.MULTILINE)
FENCED = re.compile(r"^(`{4,})[^\n]*\n.*?^\1\n", re.MULTILINE | re.DOTALL)  # text about directives, not directives


def pages() -> list[str]:
    """Return the names of the book's pages that people write."""
    names = (path.relative_to(BOOK).with_suffix("").as_posix() for path in sorted(BOOK.rglob("*.md")))
    return [name for name in names if not name.startswith(("reference/api/", "_"))]


def text_of(page: str) -> str:
    """Return a page's Markdown."""
    return (BOOK / f"{page}.md").read_text("utf-8")


@cache
def shown() -> dict[tuple[str, str], list[str]]:
    """Return {("equation" or "derivation", id): the pages that show it, or a part of it}."""
    found: dict[tuple[str, str], list[str]] = {}
    for page in pages():
        for kind, id, _ in DIRECTIVE.findall(FENCED.sub("", text_of(page))):
            found.setdefault((kind, id), []).append(page)
    return found


@cache
def named_lines() -> dict[str, list[str]]:
    """Return {derivation: the names of the lines that directives show by name}."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for kind, id, lines in DIRECTIVE.findall(FENCED.sub("", text_of(page))):
            if kind == "derivation":
                found.setdefault(id, []).extend(name for name in lines.split() if name != "rest")
    return found


def without_page(kind: str, ids: Iterable[str]) -> list[str]:
    """Return the ids that no page shows by name: the catalogue pages show them."""
    return [id for id in ids if (kind, id) not in shown()]
