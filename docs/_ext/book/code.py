"""The package's functions by name: their source on a page, and links to them and to what is shown elsewhere."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

from book.live import marked
from book.places import ROOT
from ddpm_np.check.code import named

found = cache(named)


def full_name(name: str) -> str:
    """Return the full name of a function, in the module that defines it."""
    thing = found(name)
    return f"{thing.__module__}.{thing.__qualname__}"


def place(name: str) -> tuple[str, int]:
    """Return the file of a function, below the project's root, and its first line."""
    thing = found(name)
    return str(Path(inspect.getsourcefile(thing)).relative_to(ROOT)), inspect.getsourcelines(thing)[1]


def source(name: str) -> str:
    """Return a function's source without its docstring, which its page in the reference shows."""
    text = textwrap.dedent(inspect.getsource(found(name)))
    lines, tree = text.splitlines(keepends=True), ast.parse(text).body[0]
    if ast.get_docstring(tree) is not None:
        del lines[tree.body[0].lineno - 1 : tree.body[0].end_lineno]
    return "".join(lines).replace("\n\n\n", "\n\n")


def code_block(name: str) -> list[nodes.Node]:
    """Return a function's source under a line that names it, linked to its page and its file."""
    file, at = place(name)
    block = nodes.literal_block(source(name), source(name), language="python")
    head = nodes.paragraph("", "", function_link(name), nodes.Text(" in "), source_link(file, file, at),
                           classes=["code-head"])
    return [marked(name, head, block)]


def function_link(name: str) -> nodes.Node:
    """Return a link to a function's page in the reference, shown by its last name."""
    target, text = full_name(name), found(name).__qualname__
    if text.rpartition(".")[2].startswith("_"):  # a special method has no entry: its class has
        target = target.rpartition(".")[0]
    return addnodes.pending_xref("", nodes.literal("", text), refdomain="py", reftype="obj", reftarget=target,
                                 refexplicit=True, refwarn=True)


def source_link(path: str, text: str, at: int = 0) -> nodes.Node:
    """Return a link to a line of a file of the project."""
    return addnodes.pending_xref("", nodes.literal("", text), refdomain="", reftype="book-source", reftarget=path,
                                 refexplicit=True, refwarn=True, at=at)


def label_link(label: str, *text: nodes.Node) -> nodes.Node:
    """Return a link to a label of any page."""
    return addnodes.pending_xref("", nodes.inline("", "", *text), refdomain="std", reftype="ref",
                                 reftarget=label.lower(), refexplicit=True, refwarn=True)


def equation_link(id: str) -> nodes.Node:
    """Return a link to an equation."""
    return label_link(f"equation-{id}", nodes.Text(f"({id})"))


def relation_link(id: str) -> nodes.Node:
    """Return a link to a relation."""
    return label_link(f"relation-{id}", nodes.Text(id))


def listed(links: list[nodes.Node], between: str = ", ") -> list[nodes.Node]:
    """Return links with a comma between them."""
    parted: list[nodes.Node] = []
    for link in links:
        parted += [nodes.Text(between), link] if parted else [link]
    return parted
