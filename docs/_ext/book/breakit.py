"""`breakit`: the planted mistakes that break an equation, and the checks that turn red, computed in the build."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from book.boxes import folded, line, table, words
from book.code import equation_link, found, label_link, listed, relation_link
from book.verdicts import DERIVATIONS, catalogue, entry_of, with_mistake
from ddpm_np.check import FAIL
from ddpm_np.check.derivations import mutants
from ddpm_np.check.derivations.text import text

SLIPS = 300  # at most as many are tried for a page


def change_shown(change: Any) -> list[nodes.Node]:
    """Return what a mistake does to the source: the old text struck out, and the new one."""
    old = nodes.literal("", one_line(change.old), classes=["removed"])
    new = nodes.literal("", one_line(change.new), classes=["added"])
    return [nodes.Text(f"{change.name}: "), old, nodes.Text(" → "), new]


def one_line(text: str) -> str:
    """Return source in one line."""
    return " ".join(text.split())


class BreakIt(SphinxDirective):
    """A table of planted mistakes in the functions of an equation, with the checks that go red."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            entry = entry_of(self.arguments[0])
        except ValueError as error:
            raise self.error(str(error)) from None
        rows = []
        for at, change in enumerate(catalogue().MISTAKES):
            if entry.id not in change.equations:
                continue
            results = with_mistake(at).results
            red = [result for result in results if result.verdict == FAIL]
            if not any(result.equation == entry.id for result in red):
                raise self.error(f"the mistake {change} leaves ({entry.id}) green")
            shown = next(result for result in red if result.equation == entry.id)
            rows.append([
                [nodes.literal("", found(change.place).__qualname__)],
                change_shown(change),
                listed([equation_link(result.equation) for result in red]),
                [nodes.Text(shown.counterexample.split("\n")[0])]])
        title = label_link(f"equation-{entry.id}", nodes.Text(f"({entry.id})"))
        summary = line("breakit-summary", f"{len(rows)} mistakes were planted in the code of ", title,
                       " while this page was built. The checks found each of them.")
        shown_rows = table(["Function", "Mistake", "Red", "First wrong number"], rows, "breakit")
        return [summary, folded(f"The {len(rows)} mistakes", shown_rows, kind="breakit", open=len(rows) <= 12)]


class Slips(SphinxDirective):
    """A table of slips in the lines of a derivation, one of each kind, with the numbers that give them away."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        id = self.arguments[0]
        if id not in DERIVATIONS:
            raise self.error(f"there is no derivation {id!r}")
        known = [slip for relation in DERIVATIONS[id].relations for slip in mutants(relation)]
        slips = known[:: -(-len(known) // SLIPS)]
        found, rows, kinds = 0, [], set()
        for slip in slips:
            refuted = slip.refutation()
            found += bool(refuted)
            if refuted and slip.kind not in kinds and not refuted.startswith("no proof"):
                kinds.add(slip.kind)
                rows.append([[relation_link(slip.relation.id)], [nodes.Text(slip.kind)],
                             [words(text(slip.sides[slip.side]))], [words(refuted)]])
        summary = line("breakit-summary", f"Of the {len(known)} slips of the pen that these lines invite – a sign, a "
                       f"root, an index, another symbol – {len(slips)} were tried while this page was built. {found} "
                       "of them turn their line red. One of each kind:")
        shown = table(["Line", "Kind", "With the slip", "Where it shows"], rows, "breakit")
        return [summary, folded("The slips", shown, kind="breakit", open=True)]


def setup(app: Any) -> None:
    """Register the directives."""
    app.add_directive("breakit", BreakIt)
    app.add_directive("slips", Slips)
