"""The derivations' proofs as results of a check: a row for each derivation, a result for each line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ddpm_np.check.derivations.contents import book, relations
from ddpm_np.check.derivations.prover import prove
from ddpm_np.check.derivations.relation import METHODS, Relation
from ddpm_np.check.derivations.symbols import expand
from ddpm_np.check.result import FAIL, PASS, Result


def derivation_results(ids: Iterable[str] | None = None,
                       progress: Callable[[Result], None] | None = None) -> list[Result]:
    """Prove lines of the derivations.

    Parameters
    ----------
    ids : iterable of str or None
        Ids of lines or of whole derivations; None: all.
    progress : callable or None
        Called with a result for each derivation, for each line that was asked for by its own id, and for each line
        that is wrong.

    Returns
    -------
    list of Result
        A result for each line.

    Raises
    ------
    ValueError
        If an id is unknown.

    Examples
    --------
    >>> [result] = derivation_results(["posterior.variance"])
    >>> result.verdict, result.method
    ('PASS', 'an identity of rational functions and roots of the free symbols')
    """
    asked = None if ids is None else list(ids)
    lines, results = relations(asked), []
    for entry in book().values():
        own = [relation for relation in lines if relation in entry.relations]
        found = [_result(relation) for relation in own]
        whole = asked is None or entry.id in asked
        if progress is not None and whole:
            progress(_summary(entry.id, entry.title, found))
        for result in found:
            if progress is not None and (not whole or result.verdict == FAIL):
                progress(result)
        results += found
    return results


def _result(relation: Relation) -> Result:
    verdict = prove(relation)
    return Result(relation.id, relation.why, PASS if verdict.proved else FAIL, float("nan"), 0.0, 1,
                  "" if verdict.proved else f"{expand(relation.latex)}: {verdict.counterexample}", "",
                  METHODS[relation.method], verdict.seconds)


def _summary(id: str, title: str, found: list[Result]) -> Result:
    wrong = sum(result.verdict == FAIL for result in found)
    return Result(id, f"{title}: {len(found) - wrong} of {len(found)} lines proved", FAIL if wrong else PASS,
                  float("nan"), 0.0, len(found), "", "", "", sum(result.seconds for result in found))
