r"""Derivations as data: each line of each derivation is written once, in LaTeX that is both shown and proved.

    derivation("posterior", "The posterior of a forward step", page="posterior")
    line("posterior.precision", r"\frac{\al}{\be}+\frac{1}{1-\abp} = \frac{1-\ab}{\be(1-\abp)} = \frac{1}{\bt}",
         "The precision is the coefficient of x_{t−1}²; a common denominator gives the inverse of β̃_t.",
         on="posterior.collect forward.step", code="1/k.beta_tilde", eq="7")

`symbols` has the macros, `latex` the language, `prover` the proofs.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module

from ddpm_np.check.derivations.latex import parse_relation
from ddpm_np.check.derivations.tree import Node
from ddpm_np.check.registry import EQUATIONS

_PACKAGES = {"d": "diffusion", "ops": "autograd.ops", "k": "diffusion.Schedule", "s": "diffusion.Schedule"}
_CALLED = {"adam_step": "training.adam.adam_step", "selected": "kernels.toom_cook.toom_cook"}
METHODS = {
    "algebra": "an identity of rational functions and roots of the free symbols",
    "moments": "exact moments of the noise and the data",
    "calculus": "exact derivatives",
    "logarithms": "an identity in which each logarithm is a symbol and ln(ab) = ln a + ln b",
    "finite sums": "sums written out, for every size and index shown in the docs, on free symbols",
    "sign": "an identity whose last side is positive at sight",
    "quadrature": "40 digits at random points, integrals by quadrature",
}


@dataclass(frozen=True)
class Relation:
    """A line of a derivation: two or more forms that are equal, or a last one that is visibly ≥ 0.

    Parameters
    ----------
    id : str
        Unique id, ``"posterior.mean"``: the derivation's id, a dot, a name. It serves as an anchor.
    latex : str
        The line in the language of `latex`.
    why : str
        The reason, for a reader who knows calculus.
    on : tuple of str
        Ids of the relations and equations that it rests on.
    code : str
        A Python expression of the package's that computes it, or empty; see `code_ties`.
    equation : str
        Id of the equation of the registry that it belongs to, or empty.
    given : dict
        Symbols that have a value in this line: LaTeX by macro. The page shows them as "where …".
    rates : dict
        Derivatives by t, for ``\\pd{t}{…}``: LaTeX by macro.
    sizes : dict
        Values of indices, if not 1..3 (and T = 1..5).
    numeric : bool
        Whether it is proved by quadrature, in 40 digits.
    """

    id: str
    latex: str
    why: str
    on: tuple[str, ...] = ()
    code: str = ""
    equation: str = ""
    given: dict[str, str] = field(default_factory=dict)
    rates: dict[str, str] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    numeric: bool = False

    @property
    def sides(self) -> tuple[Node, ...]:
        """The sides as expressions.

        Returns
        -------
        tuple of Node
            Two or more.
        """
        return parse_relation(self.latex)[0]

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs between the sides.

        Returns
        -------
        tuple of str
            ``=``, and perhaps a last ``\\geq``.
        """
        return parse_relation(self.latex)[1]

    @cached_property
    def method(self) -> str:
        """The method of its proof, a key of `METHODS`.

        Returns
        -------
        str
            The name.
        """
        used = {node.op if node.op != "fn" else node.args[0] for side in self.sides for node in side.walk()}
        if self.numeric:
            return "quadrature"
        if r"\geq" in self.signs:
            return "sign"
        if used & {"E", "Var", "Cov"}:
            return "moments"
        if "pd" in used:
            return "calculus"
        if used & {"sum", "prod"}:
            return "finite sums"
        return "logarithms" if used & {"ln", "exp"} else "algebra"

    @property
    def functions(self) -> tuple[str, ...]:
        """The package's functions that `code` calls, or else those of its equation, as names below ``ddpm_np``.

        Returns
        -------
        tuple of str
            Names, in the order of their calls.
        """
        found = []
        for node in ast.walk(ast.parse(self.code or "0", mode="eval")):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _PACKAGES:
                package = _PACKAGES[node.value.id]
                found.append(f"{package}.{node.attr}" if node.value.id in ("d", "ops") else package)
            elif isinstance(node, ast.Name) and node.id in _CALLED:
                found.append(_CALLED[node.id])
        if not found and self.equation:
            import_module("ddpm_np.check.equations")  # fills the registry
            return EQUATIONS[self.equation].functions
        return tuple(dict.fromkeys(found))


@dataclass
class Derivation:
    """A derivation: its lines in order.

    Parameters
    ----------
    id : str
        Id, such as ``"posterior"``.
    title : str
        Title.
    page : str
        The page of the book that shows it.
    relations : list of Relation
        The lines.
    """

    id: str
    title: str
    page: str
    relations: list[Relation] = field(default_factory=list)


DERIVATIONS: dict[str, Derivation] = {}


def derivation(id: str, title: str, page: str) -> None:
    """Begin a derivation; the lines that follow belong to it.

    Parameters
    ----------
    id : str
        Id, such as ``"posterior"``.
    title : str
        Title.
    page : str
        The page of the book that shows it.

    Raises
    ------
    ValueError
        If the id is taken.
    """
    if id in DERIVATIONS:
        raise ValueError(f"derivation {id!r} is already registered")
    DERIVATIONS[id] = Derivation(id, title, page)


def line(id: str, latex: str, why: str, *, on: str = "", code: str = "", eq: str = "",
         given: dict[str, str] | None = None, rates: dict[str, str] | None = None,
         sizes: Mapping[str, tuple[int, ...]] | None = None, numeric: bool = False) -> None:
    """Add a line to the derivation that its id begins with; see `Relation`.

    Parameters
    ----------
    id : str
        Id, ``"posterior.mean"``.
    latex : str
        The line.
    why : str
        The reason, in a sentence.
    on : str
        Ids of what it rests on, separated by spaces.
    code : str
        A Python expression of the package's that computes it.
    eq : str
        Id of its equation in the registry.
    given, rates, sizes : dict, optional
        Definitions, derivatives by t and sizes of indices.
    numeric : bool
        Whether it is proved by quadrature.

    Raises
    ------
    ValueError
        If the id is taken or belongs to no derivation.
    """
    owner = id.partition(".")[0]
    if owner not in DERIVATIONS:
        raise ValueError(f"relation {id!r} belongs to no derivation: there are {', '.join(DERIVATIONS)}")
    if any(relation.id == id for relation in DERIVATIONS[owner].relations):
        raise ValueError(f"relation {id!r} is already registered")
    DERIVATIONS[owner].relations.append(Relation(
        id, latex, why, tuple(on.split()), code, eq, given or {}, rates or {}, sizes or {}, numeric))
