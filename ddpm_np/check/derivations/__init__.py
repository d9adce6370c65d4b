"""The derivations of the book: every line written once, as data, and proved.

    >>> from ddpm_np.check.derivations import book, prove, relations
    >>> [line] = relations(["posterior.variance"])
    >>> prove(line).proved, line.functions
    (True, ('diffusion.q_posterior',))

`book` returns all derivations; `macros` are the LaTeX macros that their lines are written in; `mutants` are slips of a
line, each of which `prove` must find.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddpm_np.check.derivations.contents import book, relations
from ddpm_np.check.derivations.relation import METHODS, Derivation, Relation
from ddpm_np.check.derivations.symbols import SYMBOLS, Symbol, expand, macros

if TYPE_CHECKING:
    from ddpm_np.check.derivations.mutate import Mutant, mutants
    from ddpm_np.check.derivations.prover import Verdict, prove

__all__ = [
    "METHODS", "SYMBOLS", "Derivation", "Mutant", "Relation", "Symbol", "Verdict", "book", "expand", "macros",
    "mutants", "prove", "relations",
]

_PROVERS = {"Mutant": "mutate", "mutants": "mutate", "Verdict": "prover", "prove": "prover"}


def __getattr__(name: str) -> Any:
    """Import the provers when they are asked for: SymPy takes half a second, and lines can be read without it."""
    if name not in _PROVERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PROVERS[name]}"), name)
