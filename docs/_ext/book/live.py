"""The live pages' side of the build: functions marked by name, and a script with all equations, lines and mistakes.

The pack and the page's own script are made by scripts/docs.py; without them nothing here adds a word to a page.
"""

from __future__ import annotations

import inspect
import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes

from book.boxes import folded
from book.verdicts import catalogue, relations
from ddpm_np.check.code import named
from ddpm_np.check.registry import chosen

FOLDER = "live"  # of the static files


class live_code(nodes.General, nodes.Element):
    """A function's source that a live page makes editable."""


def marked(name: str, *content: nodes.Node) -> live_code:
    """Return a function's block, marked by its full name below ddpm_np, with its docstring folded."""
    doc = inspect.getdoc(named(name))
    parts = [folded("Docstring", nodes.literal_block(doc, doc, language="none"), kind="docstring")] if doc else []
    return live_code("", *content, *parts, function=short_name(name))


def short_name(name: str) -> str:
    """Return the full name of a function in the module that defines it, without the package's."""
    thing = named(name)
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("ddpm_np.")


def is_packed(app: Any) -> bool:
    """Whether this build has the live part."""
    return any((Path(app.confdir) / folder / FOLDER / "entry.js").exists() for folder in app.config.html_static_path)


def content(env: Any) -> dict[str, Any]:
    """Return what a live page knows of the book."""
    places = env.get_domain("std").anonlabels

    def place(label: str) -> dict[str, str]:
        page, anchor = places[label.lower()]
        return {"page": page, "anchor": anchor}

    equations = [{"id": entry.id, "title": entry.title, **place(f"equation-{entry.id}")} for entry in chosen(None)]
    lines = {id: place(f"relation-{id}") for id, relation in relations().items() if relation.code}
    mistakes = [{"place": short_name(change.place), "name": change.name, "old": change.old, "new": change.new,
                 "count": change.count} for change in catalogue().MISTAKES]
    return {"equations": equations, "lines": lines, "mistakes": mistakes}


def prepare(app: Any) -> None:
    """Put the button's script on every page, if there is a pack."""
    if is_packed(app):
        app.add_js_file(f"{FOLDER}/entry.js", loading_method="defer")
        app.add_css_file(f"{FOLDER}/live.css")


def name_page(_app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Tell a page its own name, which links from other pages have."""
    context["metatags"] = context.get("metatags", "") + f'<meta name="book-page" content="{escape(page)}">\n'


def write(app: Any, error: Exception | None) -> None:
    """Write the script with the book's equations, lines and mistakes."""
    if error is None and is_packed(app):
        text = json.dumps(content(app.env), ensure_ascii=False, separators=(",", ":"))
        (Path(app.outdir) / "_static" / FOLDER / "book.js").write_text(f"DDPM_LIVE.book = {text};\n", "utf-8")


def _visit(writer: Any, node: live_code) -> None:
    writer.body.append(f'<div class="live-code" data-function="{escape(node["function"])}">\n')


def _visit_text(writer: Any, node: nodes.Element) -> None:
    """Other writers show what is in it."""


def setup(app: Any) -> None:
    """Register the node and what is added to pages."""
    app.add_node(live_code, html=(_visit, lambda writer, _: writer.body.append("</div>\n")),
                 text=(_visit_text, _visit_text))
    app.connect("builder-inited", prepare)
    app.connect("html-page-context", name_page)
    app.connect("build-finished", write)
