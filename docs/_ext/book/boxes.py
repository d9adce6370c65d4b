"""Folded text, boxes, the card at the top of a page, and "predict first" questions."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

CARD = {"proves": "Proved here", "needs": "Needed before", "minutes": "Minutes", "source": "Source", "tests": "Tests"}
INDEXED = re.compile(r"_\{([^{}]+)\}|(?<=\S)_([0-9A-Za-zθ])(?![A-Za-z0-9_])")


class fold(nodes.General, nodes.Element):
    """Text that is folded until its summary is clicked: HTML's details."""


class fold_summary(nodes.General, nodes.TextElement):
    """The line of a fold that is always shown."""


def folded(summary: str | list[nodes.Node], *content: nodes.Node, open: bool = False, kind: str = "") -> fold:
    """Return a fold with a summary and content."""
    line = fold_summary("", "", *([nodes.Text(summary)] if isinstance(summary, str) else summary))
    return fold("", line, *content, open=open, classes=[kind] if kind else [])


def box(kind: str, *content: nodes.Node) -> nodes.container:
    """Return a div of the given class."""
    return nodes.container("", *content, classes=[kind], is_div=True)


def line(kind: str, *content: nodes.Node | str) -> nodes.paragraph:
    """Return a paragraph of the given class."""
    parts = [words(part) if isinstance(part, str) else part for part in content]
    return nodes.paragraph("", "", *parts, classes=[kind])


def words(text: str) -> nodes.inline:
    """Return plain text whose indices, as in x_{t−1} and β_t, are set as indices."""
    found, at = nodes.inline(), 0
    for match in INDEXED.finditer(text):
        found += [nodes.Text(text[at:match.start()]), nodes.subscript("", match[1] or match[2])]
        at = match.end()
    found += nodes.Text(text[at:])
    return found


def table(head: list[str], rows: list[list[list[nodes.Node]]], kind: str) -> nodes.table:
    """Return a table that is a list of boxes on a phone; a cell is a list of nodes within a paragraph."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph("", name)) for name in head)))
    body = nodes.tbody()
    for row in rows:
        entries = []
        for name, cell in zip(head, row, strict=True):
            label = [nodes.inline("", f"{name}: ", classes=["label"])] if cell else []
            entries.append(nodes.entry("", nodes.paragraph("", "", *label, *cell)))
        body += nodes.row("", *entries)
    group += body
    return nodes.table("", group, classes=["stack", kind])


class Predict(SphinxDirective):
    """A question with a folded answer: the question is the argument, the answer the content."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        question, messages = self.parse_inline(self.arguments[0])
        label = nodes.strong("", "Predict first. ")
        return [folded([label, *question], *self.parse_content_to_nodes(), kind="predict"), *messages]


class AtAGlance(SphinxDirective):
    """The card at the top of a page; the values of its options are Markdown."""

    option_spec: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(CARD, directives.unchanged), "minutes": directives.positive_int}

    def run(self) -> list[nodes.Node]:
        items, messages = [], []
        for name, title in CARD.items():
            if name in self.options:
                value, problems = self.parse_inline(str(self.options[name]))
                messages += problems
                items.append(nodes.paragraph("", "", nodes.strong("", f"{title}: "), *value))
        return [box("at-a-glance", *items), *messages]


def _visit_fold(writer: Any, node: fold) -> None:
    writer.body.append(writer.starttag(node, "details", **({"open": "open"} if node["open"] else {})))


def _visit_summary(writer: Any, node: fold_summary) -> None:
    writer.body.append(writer.starttag(node, "summary", ""))


def _visit_text(writer: Any, node: nodes.Element) -> None:
    """Other writers show what is folded."""


def setup(app: Any) -> None:
    """Register the nodes and directives."""
    app.add_node(fold, html=(_visit_fold, lambda writer, _: writer.body.append("</details>\n")),
                 text=(_visit_text, _visit_text))
    app.add_node(fold_summary, html=(_visit_summary, lambda writer, _: writer.body.append("</summary>\n")),
                 text=(_visit_text, _visit_text))
    app.add_directive("predict", Predict)
    app.add_directive("at-a-glance", AtAGlance)
