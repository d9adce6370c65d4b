"""`course`: the exercise on a page, gap by gap, with its equations, hints and solution; a live page checks it.

Without scripts the page has all of it to read. docs/_live/js/course.js puts an editor in the place of each gap.
"""

from __future__ import annotations

import json
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from book import exercise
from book.boxes import box, folded, line, words
from book.code import equation_link, label_link, listed
from book.equations import display, gathered
from book.exercise import Chapter, Gap
from book.verdicts import EQUATIONS, logger, report_of_exercise


class Course(SphinxDirective):
    """The chapters of the exercise, each as a section."""

    def run(self) -> list[nodes.Node]:
        wrong = [result.equation for result in report_of_exercise().results if result.verdict != "PASS"]
        if wrong:
            logger.warning("the exercise's solution does not verify %s", ", ".join(wrong))
        return [box("live-course", data()), *self.sections()]

    def sections(self) -> list[nodes.section]:
        """Return a section for each chapter."""
        number, found = 0, []
        for chapter in exercise.chapters():
            section = nodes.section("", nodes.title("", chapter.title), words_of(chapter),
                                    names=[chapter.title.lower()])
            self.state.document.note_implicit_target(section, section)
            seen: set[str] = set()
            for gap in chapter.gaps:
                number += 1
                section += shown(number, gap, seen)
            found.append(section)
        return found


def words_of(chapter: Chapter) -> nodes.paragraph:
    """Return a chapter's text."""
    return nodes.paragraph("", "", words(" ".join(chapter.text.split())))


def shown(number: int, gap: Gap, seen: set[str]) -> nodes.container:
    """Return a gap, with those of its equations' formulas that the chapter has not shown yet."""
    ids = exercise.serves(gap.method)
    own = [id for id in ids if any(prop.needs == (gap.method,) for prop in EQUATIONS[id].properties)] or ids
    head = line("course-head", nodes.inline("", f"{number}", classes=["course-number"]), " ",
                nodes.literal("", gap.method))
    served = line("course-served", "For ", *listed([served_link(id) for id in ids]), ".")
    formulas = [display(gathered(EQUATIONS[id].latex)) for id in own if id not in seen]
    seen.update(own)
    source = nodes.literal_block(gap.empty, gap.empty, language="python")
    hints = [folded(f"Hint {at} of {len(gap.hints)}", nodes.paragraph("", "", words(hint)), kind="course-hint")
             for at, hint in enumerate(gap.hints, 1)]
    solution = folded("A solution", nodes.literal_block(gap.solution, gap.solution, language="python"),
                      kind="course-solution")
    found = box("course-gap", head, served, *formulas, box("course-code", source), *hints, solution)
    found["ids"].append(f"gap-{gap.method.replace('_', '-')}")
    return found


def served_link(id: str) -> nodes.Node:
    """Return a link to an equation with its title; a name in words needs no second title."""
    title = EQUATIONS[id].title
    return nodes.inline("", "", equation_link(id), nodes.Text(" "), label_link(f"equation-{id}", words(title)))


def data() -> nodes.raw:
    """Return what the page's script needs: the exercise in one file, and each gap's source and equations, in order."""
    content = {
        "file": exercise.in_one_file(),
        "equations": {id: {"title": entry.title, "gaps": exercise.lacking(id)} for id, entry in EQUATIONS.items()},
        "gaps": [{"method": gap.method, "empty": gap.empty, "serves": exercise.serves(gap.method)}
                 for gap in exercise.gaps()]}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return nodes.raw("", f'<script type="application/json" class="course-data">{text}</script>', format="html")


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("course", Course)
