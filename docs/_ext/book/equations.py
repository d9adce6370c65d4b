"""Equations on pages: `equation`, `rest-of-equations`, the map from the paper to tests, and the role `equation`."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

from book.boxes import box, folded, line, table, words
from book.code import (
    code_block,
    equation_link,
    found,
    function_link,
    label_link,
    listed,
    place,
    relation_link,
    source_link,
)
from book.places import without_page
from book.verdicts import EQUATIONS, entry_of, proofs_of, verdict
from ddpm_np.check.registry import Equation, Property, chosen


def display(latex: str) -> nodes.math_block:
    """Return mathematics in a line of its own."""
    return nodes.math_block(latex, latex, nowrap=True, number=None, label=None, xml_space="preserve")


def gathered(latex: str) -> str:
    r"""Return LaTeX with its parts, which ``,\quad`` separates, one below the other."""
    parts = latex.split(r",\quad ") if r",\quad " in latex else latex.split(r",\quad")
    return latex if len(parts) == 1 else r"\begin{aligned}&" + r",\\[4pt] &".join(parts) + r"\end{aligned}"


def anchored(directive: SphinxDirective, label: str, node: nodes.Element) -> nodes.Element:
    """Give a node an anchor under a label that every page can link to."""
    label = label.lower()
    anchor = nodes.make_id(label)
    node["ids"].append(anchor)
    node["names"].append(label)
    directive.env.get_domain("std").anonlabels[label] = directive.env.docname, anchor
    return node


def property_link(prop: Property) -> nodes.Node:
    """Return a link to the source of a property."""
    path, at = place(f"{prop.test.__module__.removeprefix('ddpm_np.')}.{prop.name}")
    return source_link(path, prop.name, at)


def shown_equation(directive: SphinxDirective, entry: Equation) -> nodes.Element:
    """Return an equation's box: LaTeX, source, code, properties, proof and verdict."""
    result = verdict(entry.id)
    title = line("equation-title", nodes.strong("", f"({entry.id})"), f" {entry.title} ",
                 nodes.inline("", result.verdict, classes=["verdict"]))
    proofs = [relation_link(proof.id) for proof in proofs_of(entry.id)]
    checked = (f" compared {result.cases} times with {result.method}; the largest error is {result.error:.0e}, "
               f"{result.tolerance:.0e} is allowed.")
    rows = [line("equation-source", f"{entry.source}."),
            line("equation-code", "In code: ", *listed([function_link(name) for name in entry.functions]), "."),
            line("equation-checks", "Checked by ", *listed([property_link(prop) for prop in entry.properties]), ":",
                 checked)]
    if proofs:
        lines = f"Proved in {len(proofs)} line{'s' * (len(proofs) > 1)}"
        rows.append(folded(lines, line("equation-proof", *listed(proofs), "."), kind="proofs"))
    codes = [node for name in entry.functions if not isinstance(found(name), type) for node in code_block(name)]
    content = [title, display(gathered(entry.latex)), *rows]
    if codes:
        content.append(folded("The code", *codes, kind="code"))
    return anchored(directive, f"equation-{entry.id}", box("equation", *content))


class ShowEquation(SphinxDirective):
    """An equation of the registry, by its id."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            return [shown_equation(self, entry_of(self.arguments[0]))]
        except ValueError as error:
            raise self.error(str(error)) from None


class RestOfEquations(SphinxDirective):
    """The equations that no page shows by name: ``paper`` those that it numbers, ``beyond`` all others."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        numbered = {"paper": True, "beyond": False}[self.arguments[0]]
        rest = without_page("equation", (entry.id for entry in chosen(None) if entry.id.isdigit() == numbered))
        return [shown_equation(self, EQUATIONS[id]) for id in rest]


def proof_links(id: str) -> list[nodes.Node]:
    """Return a link for each derivation that has lines of an equation: to the first of them, with their number."""
    lines: dict[str, list[str]] = {}
    for proof in proofs_of(id):
        lines.setdefault(proof.id.partition(".")[0], []).append(proof.id)
    return [label_link(f"relation-{ids[0]}", nodes.Text(f"{owner}, {len(ids)} line{'s' * (len(ids) > 1)}"))
            for owner, ids in lines.items()]


class EquationMap(SphinxDirective):
    """Every equation with its place in the paper, in the book and in the code, its checks, proofs and verdict."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for entry in chosen(None):
            result = verdict(entry.id)
            rows.append([
                [label_link(f"equation-{entry.id}", words(f"({entry.id}) {entry.title}"))],
                [nodes.Text(entry.source)],
                listed([function_link(name) for name in entry.functions]),
                listed([property_link(prop) for prop in entry.properties]),
                listed(proof_links(entry.id)) or [nodes.Text("–")],
                [nodes.inline("", result.verdict, classes=["verdict"]), nodes.Text(f" {result.error:.0e}")]])
        return [table(["Equation", "Paper", "Code", "Checks", "Proof", "Verdict"], rows, "map")]


class EquationRole(SphinxRole):
    """A link to an equation: {equation}`7`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [equation_link(entry_of(self.text).id)], []


class FunctionRole(SphinxRole):
    """A link to a function: {function}`diffusion.posterior.posterior_mean`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            return [function_link(self.text)], []
        except AttributeError as error:
            message = self.inliner.reporter.error(f"there is no such function: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class ShowFunction(SphinxDirective):
    """The source of functions, without docstrings, by their names below ddpm_np."""

    required_arguments = 1
    optional_arguments = 20

    def run(self) -> list[nodes.Node]:
        try:
            return [box("code-box", *code_block(name)) for name in self.arguments]
        except AttributeError as error:
            raise self.error(f"there is no such function below ddpm_np: {error}") from None


def setup(app: Any) -> None:
    """Register the directives and roles."""
    app.add_directive("equation", ShowEquation)
    app.add_directive("rest-of-equations", RestOfEquations)
    app.add_directive("equation-map", EquationMap)
    app.add_directive("code-of", ShowFunction)
    app.add_role("equation", EquationRole())
    app.add_role("function", FunctionRole())
