"""What a run found: a table of scores, the survivors, and why those that are explained survive."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mutation.work import KINDS, Mutant, Outcome, Work

FIELDS = {"module", "function", "before", "after", "class", "why"}


@dataclass(frozen=True)
class Explanation:
    """Why some mutants of a line survive, and the class of such reasons."""

    module: str
    function: str
    before: str
    after: tuple[str, ...]
    kind: str
    why: str


def explanations(path: Path) -> list[Explanation]:
    """The entries of a file such as equivalent.toml."""
    found = []
    for entry in tomllib.loads(path.read_text("utf-8")).get("equivalent", []) if path.exists() else []:
        if set(entry) != FIELDS:
            raise ValueError(f"{path.name}: an entry has {', '.join(sorted(FIELDS))}, got {entry}")
        found.append(Explanation(entry["module"], entry["function"], _plain(entry["before"]),
                                 tuple(map(_plain, entry["after"])), entry["class"], entry["why"]))
    return found


def _plain(line: str) -> str:
    return " ".join(line.split())


def explained(mutant: Mutant, outcome: Outcome, entries: Iterable[Explanation]) -> Explanation | None:
    """The entry for a survivor."""
    for entry in entries:
        if (entry.module, entry.function, entry.before) == (mutant.module, mutant.function, outcome.before) and (
                outcome.after in entry.after):
            return entry
    return None


def score(killed: int, of: int) -> str:
    return f"{100 * killed / of:.1f} %" if of else "–"


def open_survivors(work: Work, entries: list[Explanation]) -> list[tuple[Mutant, Outcome]]:
    """The survivors that nothing explains."""
    return [(mutant, outcome) for mutant in work.mutants if (outcome := work.outcomes.get(mutant.id)) is not None
            and outcome.survived and explained(mutant, outcome, entries) is None]


def row(name: str, works: list[Work], entries: list[Explanation]) -> str:
    """A line of the table: what became of the mutants, and the share of those tried that the check and all killed."""
    found: Counter[str] = Counter()
    for work in works:
        outcomes = [outcome for mutant in work.mutants if (outcome := work.outcomes.get(mutant.id)) is not None]
        found.update("survived" if outcome.survived else outcome.by for outcome in outcomes)
        found["open"] += len(open_survivors(work, entries))
        found["left"] += len(work.mutants) - len(outcomes)
    killed = sum(found[kind] for kind in KINDS)
    tried, explained_ = killed + found["survived"], found["survived"] - found["open"]
    kinds = " | ".join(str(found[kind]) for kind in (*KINDS[:-2],))
    return (f"| {name} | {tried} | {kinds} | {found['timeout'] + found['crash']} | {explained_} | {found['open']} | "
            f"{score(found['check'], tried - explained_)} | {score(killed, tried - explained_)} | {found['left']} |")


def table(works: list[Work], entries: list[Explanation]) -> str:
    """The scores as Markdown. Explained survivors count for neither side."""
    head = ("| module | mutants | check | gradients | tests | import | timeout, crash | explained | open "
            "| check alone | all | not run |")
    rule = "|" + "---|" * 12
    rows = [row(f"`{work.source.module}`", [work], entries) for work in works]
    return "\n".join([head, rule, *rows, *([row("all", works, entries)] if len(works) > 1 else [])])


def survivors(works: list[Work], entries: list[Explanation]) -> str:
    """Each survivor's place and change: the open ones, then the explained ones by class."""
    unexplained, by_class = [], {}  # type: ignore[var-annotated]
    for work in works:
        for mutant in work.mutants:
            outcome = work.outcomes.get(mutant.id)
            if outcome is None or not outcome.survived:
                continue
            entry = explained(mutant, outcome, entries)
            no_test = "; nothing calls it" if outcome.by != "survived" else ""
            place = f"`{work.source.module.replace('.', '/')}.py:{mutant.line}` (`{mutant.function}`)"
            lines = [f"- {place} {mutant.operator}{no_test}",
                     f"  - before: `{outcome.before}`", f"  - after: `{outcome.after}`"]
            if entry is None:
                unexplained += lines
            else:
                by_class.setdefault(entry.kind, []).extend([*lines, f"  - {entry.why}"])
    parts = ["## Open survivors", "", *(unexplained or ["None."])]
    for kind, lines in sorted(by_class.items()):
        parts += ["", f"## Explained: {kind}", "", *lines]
    return "\n".join(parts)


def stale(works: list[Work], entries: list[Explanation]) -> list[Explanation]:
    """The entries that explain no survivor of modules that have been run to the end."""
    whole = {work.source.module: work for work in works if len(work.outcomes) == len(work.mutants)}
    return [entry for entry in entries if entry.module in whole and not any(
        explained(mutant, work.outcomes[mutant.id], [entry]) and work.outcomes[mutant.id].survived
        for work in [whole[entry.module]] for mutant in work.mutants)]
