"""The derivations of the book: every line written once, as data, and proved.

    >>> from ddpm_np.check.derivations import book, prove, relations
    >>> [line] = relations(["posterior.variance"])
    >>> prove(line).proved, line.functions
    (True, ('diffusion.q_posterior',))

`book` returns all derivations; `macros` are the LaTeX macros that their lines are written in; `mutants` are slips of a
line, each of which `prove` must find.
"""

from ddpm_np.check.derivations.contents import book, relations
from ddpm_np.check.derivations.mutate import Mutant, mutants
from ddpm_np.check.derivations.prover import Verdict, prove
from ddpm_np.check.derivations.relation import METHODS, Derivation, Relation
from ddpm_np.check.derivations.symbols import SYMBOLS, Symbol, expand, macros

__all__ = [
    "METHODS", "SYMBOLS", "Derivation", "Mutant", "Relation", "Symbol", "Verdict", "book", "expand", "macros",
    "mutants", "prove", "relations",
]
