"""All derivations, and their lines by id."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import ddpm_np.check.derivations.pages  # noqa: F401 - fills the table
from ddpm_np.check.derivations.relation import DERIVATIONS, Derivation, Relation


def book() -> dict[str, Derivation]:
    """Return all derivations by id, in the book's order.

    Returns
    -------
    dict
        The derivations.
    """
    return DERIVATIONS


def relations(ids: Iterable[str] | None = None) -> list[Relation]:
    """Return the relations with the given ids, or those of derivations; None: all.

    Parameters
    ----------
    ids : iterable of str or None
        Ids of relations or derivations.

    Returns
    -------
    list of Relation
        In the book's order.

    Raises
    ------
    ValueError
        If an id is unknown.
    """
    everything = [relation for entry in book().values() for relation in entry.relations]
    if ids is None:
        return everything
    wanted, known = set(ids), {relation.id for relation in everything} | set(DERIVATIONS)
    for name in wanted - known:
        close = get_close_matches(name, known, 1)
        raise ValueError(f"no relation is called {name!r}" + (f": did you mean {close[0]!r}?" if close else ""))
    return [relation for relation in everything if relation.id in wanted or relation.id.partition(".")[0] in wanted]
