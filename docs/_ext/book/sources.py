"""Pages of the project's own files, and links to them: a link to a file outside docs becomes one to its page.

A file has a page if a page of the book links to it. A folder's page lists its files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from book.code import ROOT, source_link

BOOK = ROOT / "docs"
LINK = re.compile(r"\[([^\[\]]+)\]\(([^()\s:#]+)(?:#[^()\s]*)?\)")
SHOWN = {".py", ".toml", ".json", ".txt", ".cfg", ".yml", ".yaml", ".md", ".cff", ".v", ""}
logger = logging.getLogger(__name__)


def page_of(path: str) -> str:
    """Return the name of the page of a file."""
    return f"_source/{path}"


def linked(text: str, page: Path) -> str:
    """Return a page's Markdown in which links to files of the project that are no pages are `source` roles."""

    def replaced(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / match[2]))
        if not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        if target.is_relative_to(BOOK) and target.is_file() and target.suffix not in (".py", ".json", ".v"):
            return match[0]  # a page or a picture
        return f"{{source}}`{match[1].strip('`')} <{target.relative_to(ROOT)}>`"

    parts = re.split(r"(^(`{3,})[^\n]*\n.*?^\2\n)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(LINK.sub(replaced, part) if at % 3 == 0 else part for at, part in enumerate(parts) if at % 3 != 2)


def link_files(app: Any, docname: str, content: list[str]) -> None:
    """Rewrite the links of a page that is about to be parsed."""
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        content[0] = linked(content[0], page)


class Source(SphinxRole):
    """A link to a file of the project, by its path from the root: {source}`text <path>` or {source}`path`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        match = re.fullmatch(r"(.+?)\s*<(.+)>", self.text, re.DOTALL)
        text, path = (match[1], match[2]) if match else (self.text, self.text)
        return [source_link(path, text)], []


def resolve(app: Any, env: Any, node: addnodes.pending_xref, content: nodes.Element) -> nodes.Node | None:
    """Resolve a link to a file, and note that the file needs a page."""
    if node.get("reftype") != "book-source":
        return None
    path = node["reftarget"]
    if not (ROOT / path).exists():
        logger.warning("there is no file %r in the project", path, location=node)
        return content
    app.book_files.add(path)
    uri = app.builder.get_relative_uri(node["refdoc"], page_of(path))
    anchor = f"#L-{node['at']}" if node.get("at") else ""
    return nodes.reference("", "", content, internal=True, refuri=uri + anchor)


def pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each file that is linked to."""
    waiting, done = sorted(app.book_files), set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        if (ROOT / path).is_dir():
            names = sorted(str(file.relative_to(ROOT)) for file in (ROOT / path).iterdir()
                           if file.is_file() and file.suffix in SHOWN and not file.name.startswith("."))
            waiting += names
            body = "<ul>" + "".join(
                f'<li><a href="{app.builder.get_relative_uri(page_of(path), page_of(name))}">{escape(name)}</a></li>'
                for name in names) + "</ul>"
        else:
            body = _highlighted(ROOT / path)
        yield page_of(path), {"title": path, "body": f"<h1>{escape(path)}</h1>\n{body}"}, "page.html"


def _highlighted(file: Path) -> str:
    try:
        lexer = get_lexer_by_name("coq") if file.suffix == ".v" else get_lexer_for_filename(file.name)
    except ClassNotFound:
        lexer = TextLexer()
    formatter = HtmlFormatter(cssclass="highlight", lineanchors="L", linenos=False, anchorlinenos=False)
    return highlight(file.read_text("utf-8"), lexer, formatter)


def setup(app: Any) -> None:
    """Register the role and the events."""
    app.book_files = set()
    app.add_role("source", Source())
    app.connect("source-read", link_files)
    app.connect("missing-reference", resolve)
    app.connect("html-collect-pages", pages)
