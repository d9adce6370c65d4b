"""Derivations on pages, line by line, each with its reason, what it rests on, its code and its proof."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective, SphinxRole

from book.boxes import box, folded, line
from book.code import code_block, equation_link, found, full_name, function_link, listed, relation_link
from book.equations import anchored, display
from book.places import named_lines, without_page
from book.verdicts import DERIVATIONS, EQUATIONS, proof, relations
from ddpm_np.check.derivations import Relation
from ddpm_np.check.derivations.text import text

WIDE, SHORT = 40, 12  # characters: of two sides in one line on a phone; of a side that never has its own line
MOST_GIVEN = 9  # definitions that stand under a line; more are folded away


def aligned(relation: Relation) -> str:
    r"""Return a chain of equalities with each form in a line of its own, the first two together if they are short."""
    sides, signs = sides_of(relation.latex)
    if len(sides) < 2:
        return relation.latex
    first, second = (len(text(side)) for side in relation.sides[:2])
    long = first + second > WIDE and first > SHORT
    rows = [rf"&{sides[0]} \\[6pt] &\qquad {signs[0]} {sides[1]}" if long else f"{sides[0]} &{signs[0]} {sides[1]}"]
    lead = r"&\qquad " if long else "&"
    for sign, side in zip(signs[1:], sides[2:], strict=True):
        if sign == "=":
            rows.append(f"{lead}= {side}")
        else:  # "≥ 0" ends the line before it
            rows[-1] += rf" {sign} {side}"
    return r"\begin{aligned}" + r" \\[6pt] ".join(rows) + r"\end{aligned}"


def sides_of(latex: str) -> tuple[list[str], list[str]]:
    r"""Return the sides of a chain and the signs between them: ``=`` and ``\ge`` outside of braces and brackets."""
    sides, signs, depth, start, at = [], [], 0, 0, 0
    while at < len(latex):
        if latex[at] in "{[(":
            depth += 1
        elif latex[at] in "}])":
            depth -= 1
        sign = "=" if latex[at] == "=" else r"\ge" if latex.startswith(r"\ge ", at) else ""
        if sign and depth == 0:
            sides.append(latex[start:at].strip())
            signs.append(sign)
            at += len(sign)
            start = at
        else:
            at += 1
    return [*sides, latex[start:].strip()], signs


def symbol(name: str) -> str:
    r"""Return a symbol as LaTeX: ``\qf_1`` is a macro with its argument, ``v_1_3`` a letter with two indices."""
    letter, *indices = name.split("_")
    if not indices:
        return name
    return f"{letter}{'' if letter.startswith(chr(92)) else '_'}{{{','.join(indices)}}}"


def where(given: dict[str, str]) -> list[nodes.Node]:
    """Return the definitions that hold in a line."""
    formulas = [f"{symbol(name)} = {value}" for name, value in given.items()]
    return [nodes.Text("Where "), *listed([nodes.math(latex, latex) for latex in formulas]), nodes.Text(". ")]


def shown_relation(directive: SphinxDirective, relation: Relation, seen: set[str]) -> nodes.Element:
    """Return a relation's box; `seen` has the functions whose code the page has shown."""
    found_proof = proof(relation.id)
    rests = [equation_link(id) if id in EQUATIONS else relation_link(id) for id in relation.on]
    given = where(relation.given) if relation.given else []
    long = len(relation.given) > MOST_GIVEN
    reason = line("relation-why", relation.why, " ", *([] if long else given))
    foot = [nodes.inline("", "proved" if found_proof.proved else "not proved", classes=["verdict"]),
            nodes.Text(f" by {found_proof.method}")]
    if rests:
        foot += [nodes.Text(" · from "), *listed(rests)]
    if relation.equation:
        foot += [nodes.Text(" · belongs to "), equation_link(relation.equation)]
    id = f"relation-{relation.id}"
    link = nodes.reference("", "¶", refid=nodes.make_id(id), classes=["anchor"], internal=True)
    definitions = [folded("The numbers in it", line("relation-why", *given))] if long else []
    content = [display(aligned(relation)), reason, *definitions, line("relation-foot", *foot, nodes.Text(" "), link)]
    parts = [box("relation-text", *content)]
    if relation.code:
        names = [name for name in relation.functions if not isinstance(found(name), type)]
        head = line("code-head", "In code, compared at random points: ", nodes.literal("", relation.code))
        new = [name for name in names if full_name(name) not in seen]
        seen.update(map(full_name, new))
        blocks = [node for name in new for node in code_block(name)]
        if blocks:
            shown = [folded("The function" if len(new) == 1 else "The functions", *blocks, kind="code", open=True)]
        else:
            shown = [line("code-head", "Its function: ", *listed([function_link(name) for name in relation.functions]))]
        parts.append(box("relation-code", head, *shown))
    return anchored(directive, id, box("relation" if len(parts) == 1 else "relation with-code", *parts))


def chosen_lines(id: str, lines: str) -> list[Relation]:
    """Return the lines of a derivation with the given names, or the ``rest``; all if there are no names."""
    if id not in DERIVATIONS:
        raise ValueError(f"there is no derivation {id!r}: there are {', '.join(DERIVATIONS)}")
    known = {relation.id.partition(".")[2]: relation for relation in DERIVATIONS[id].relations}
    named = named_lines().get(id, [])
    names = [name for name in known if name not in named] if lines == "rest" else lines.split() or list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"derivation {id!r} has no line {name!r}: it has {', '.join(known)}")
    return [known[name] for name in names]


def shown_derivation(directive: SphinxDirective, id: str, lines: str = "") -> list[nodes.Node]:
    """Return the boxes of a derivation's lines."""
    env = directive.env
    seen = env.temp_data.setdefault("book_functions", set())
    try:
        boxes = [shown_relation(directive, relation, seen) for relation in chosen_lines(id, lines)]
    except ValueError as error:
        raise directive.error(str(error)) from None
    whole, label = box("derivation", *boxes), f"derivation-{id}"
    if env.get_domain("std").anonlabels.get(label, (env.docname,))[0] == env.docname and label not in env.temp_data:
        env.temp_data[label] = True
        anchored(directive, label, whole)
    return [whole]


class ShowDerivation(SphinxDirective):
    """A derivation, by its id; ``:lines:`` has the names of some of its lines, or ``rest``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"lines": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        return shown_derivation(self, self.arguments[0], self.options.get("lines", ""))


class ShowRelations(SphinxDirective):
    """The derivations that no page shows by name, each under its title."""

    def run(self) -> list[nodes.Node]:
        found = []
        for id in without_page("derivation", DERIVATIONS):
            section = nodes.section("", nodes.title("", DERIVATIONS[id].title), ids=[nodes.make_id(f"rest-{id}")])
            section += shown_derivation(self, id)
            found.append(section)
        return found or [nodes.paragraph("", "At present each has one.")]


class RelationRole(SphinxRole):
    """A link to a line of a derivation: {relation}`posterior.mean`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if self.text not in relations():
            message = self.inliner.reporter.error(f"there is no relation {self.text!r}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [relation_link(self.text)], []


def setup(app: Any) -> None:
    """Register the directives and the role."""
    app.add_directive("derivation", ShowDerivation)
    app.add_directive("rest-of-derivations", ShowRelations)
    app.add_role("relation", RelationRole())
