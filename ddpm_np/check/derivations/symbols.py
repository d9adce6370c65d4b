r"""The table of symbols: each is a macro that is written one way only, with its LaTeX, its text and its value.

A relation is written in these macros, so the page and the proof read the same line. The two free symbols of a schedule
are √α_t and √ᾱ_{t−1}; α_t, β_t, ᾱ_t, β̃_t follow from them, and so an identity holds for every schedule. A symbol
without a value is free. Single letters such as ``w`` or ``x_{i}`` are free symbols that need no entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Symbol:
    r"""A symbol of the book.

    Parameters
    ----------
    macro : str
        The macro, such as ``\ab``.
    latex : str
        Its LaTeX; ``#1`` is its index, if it has one.
    text : str
        Its plain text; ``#1`` is its index.
    value : str or None
        Its value in other symbols; None: a free symbol.
    name : str
        Its name in `Relation.code`.
    slips : tuple of str
        The macros that are likely to be written in its place by mistake.
    """

    macro: str
    latex: str
    text: str
    value: str | None = None
    name: str = ""
    slips: tuple[str, ...] = ()

    @property
    def arguments(self) -> int:
        """The number of indices that the macro takes.

        Returns
        -------
        int
            0, 1 or 2.
        """
        return 2 if "#2" in self.latex else int("#1" in self.latex)


def _symbol(macro: str, latex: str, text: str, value: str | None = None, name: str = "", slips: str = "") -> Symbol:
    return Symbol(macro, latex, text, value, name, tuple(slips.split()))


SYMBOLS = {symbol.macro: symbol for symbol in (
    # a step of the schedule; √α_t and √ᾱ_{t−1} are free
    _symbol(r"\ral", r"\sqrt{\alpha_t}", "√α_t", name="sqrt_alpha"),
    _symbol(r"\rabp", r"\sqrt{\bar\alpha_{t-1}}", "√ᾱ_{t−1}", name="sqrt_alpha_bar_prev"),
    _symbol(r"\al", r"\alpha_t", "α_t", r"\ral^2", "alpha", r"\ab \be"),
    _symbol(r"\be", r"\beta_t", "β_t", r"1-\al", "beta", r"\bt \al"),
    _symbol(r"\abp", r"\bar\alpha_{t-1}", "ᾱ_{t−1}", r"\rabp^2", "alpha_bar_prev", r"\ab"),
    _symbol(r"\ab", r"\bar\alpha_t", "ᾱ_t", r"\al\abp", "alpha_bar", r"\abp \al"),
    _symbol(r"\bt", r"\tilde\beta_t", "β̃_t", r"\frac{1-\abp}{1-\ab}\be", "beta_tilde", r"\be"),
    _symbol(r"\abs", r"\bar\alpha_s", "ᾱ_s", r"\rabp^2", "alpha_bar_s", r"\ab"),
    _symbol(r"\snr", r"\mathrm{SNR}(t)", "SNR(t)", r"\frac{\ab}{1-\ab}", "snr", r"\snrp"),
    _symbol(r"\snrp", r"\mathrm{SNR}(t-1)", "SNR(t−1)", r"\frac{\abp}{1-\abp}", "snr_prev", r"\snr"),
    _symbol(r"\cz", r"c_0", "c₀", r"\frac{\sqrt{\abp}\be}{1-\ab}", "posterior_x0", r"\ct"),
    _symbol(r"\ct", r"c_t", "c_t", r"\frac{\sqrt{\al}(1-\abp)}{1-\ab}", "posterior_xt", r"\cz"),
    # images and noise
    _symbol(r"\xo", "x_0", "x₀", name="x_0", slips=r"\xt \xh"),
    _symbol(r"\xt", "x_t", "x_t", name="x_t", slips=r"\xo \xp"),
    _symbol(r"\xp", "x_{t-1}", "x_{t−1}", name="x_prev", slips=r"\xt \xo"),
    _symbol(r"\xh", r"\hat x_0", "x̂₀", name="x_0_hat", slips=r"\xo"),
    _symbol(r"\eps", r"\epsilon", "ε", name="eps", slips=r"\epsh"),
    _symbol(r"\epsh", r"\epsilon_\theta", "ε_θ", name="eps_theta", slips=r"\eps"),
    _symbol(r"\epsp", r"\epsilon_{t-1}", "ε_{t−1}", name="eps_prev", slips=r"\z"),
    _symbol(r"\z", "z", "z", name="z", slips=r"\eps"),
    _symbol(r"\v", "v", "v", name="v", slips=r"\vh"),
    _symbol(r"\vh", r"v_\theta", "v_θ", name="v_theta", slips=r"\v"),
    _symbol(r"\score", r"s(x_t)", "s(x_t)", name="score"),
    _symbol(r"\mut", r"\tilde\mu_t", "μ̃_t", r"\cz\xo+\ct\xt", "posterior_mean", r"\muth"),
    _symbol(r"\muth", r"\mu_\theta", "μ_θ", name="mu_theta", slips=r"\mut"),
    _symbol(r"\sig", r"\sigma_t", "σ_t", name="sigma"),
    _symbol(r"\dm", "m", "m", name="m"),  # mean and variance of the data
    _symbol(r"\ds", "s", "s", name="s_data"),
    _symbol(r"\vt", r"v_t", "v_t", r"\ab\ds^2+1-\ab", "marginal_variance", r"\vp"),
    _symbol(r"\vp", r"v_{t-1}", "v_{t−1}", r"\abp\ds^2+1-\abp", "marginal_variance_prev", r"\vt"),
    # two Gaussians
    _symbol(r"\ma", r"\mu_1", "μ₁", name="mean1", slips=r"\mb"),
    _symbol(r"\mb", r"\mu_2", "μ₂", name="mean2", slips=r"\ma"),
    _symbol(r"\sa", r"\sigma_1", "σ₁", name="sigma1", slips=r"\sb"),
    _symbol(r"\sb", r"\sigma_2", "σ₂", name="sigma2", slips=r"\sa"),
    # densities on a trajectory, at step t = #1; Bayes' rule is the value of the posteriors
    _symbol(r"\pT", r"p(x_T)", "p(x_T)"),
    _symbol(r"\pr", r"p_\theta(x_{#1-1}\mid x_{#1})", "p_θ(x_{#1−1}|x_#1)"),
    _symbol(r"\pone", r"p_\theta(x_0\mid x_1)", "p_θ(x₀|x₁)", r"\pr{1}"),
    _symbol(r"\qf", r"q(x_{#1}\mid x_{#1-1})", "q(x_#1|x_{#1−1})", slips=r"\pr"),
    _symbol(r"\qmi", r"q(x_{#1}\mid x_0)", "q(x_#1|x₀)", slips=r"\qx"),
    _symbol(r"\qx", r"q(x_{#1})", "q(x_#1)", slips=r"\qmi"),
    _symbol(r"\qone", r"q(x_1\mid x_0)", "q(x₁|x₀)", r"\qmi{1}"),
    _symbol(r"\qpost", r"q(x_{#1-1}\mid x_{#1},x_0)", "q(x_{#1−1}|x_#1,x₀)", r"\frac{\qf{#1}\qmi{#1-1}}{\qmi{#1}}",
            slips=r"\qrev \qf"),
    _symbol(r"\qrev", r"q(x_{#1-1}\mid x_{#1})", "q(x_{#1−1}|x_#1)", r"\frac{\qf{#1}\qx{#1-1}}{\qx{#1}}",
            slips=r"\qpost \qf"),
    _symbol(r"\kron", r"\delta_{#1#2}", "δ_{#1#2}"),
)}

OPERATORS = {  # macros of operators, for the pages: their LaTeX with arguments
    r"\E": r"\mathbb{E}", r"\Var": r"\mathrm{Var}", r"\Cov": r"\mathrm{Cov}", r"\pd": r"\frac{\partial}{\partial #1}"
    r"\left[#2\right]", r"\nsq": r"\left\Vert #1\right\Vert^2",
}

POSITIVE = (r"1-\al", r"1-\abp", r"1-\ab")  # products of these have the roots and logarithms of their factors


def macros() -> dict[str, str]:
    r"""Return all macros as KaTeX's and MathJax's ``macros`` option takes them.

    Returns
    -------
    dict
        LaTeX by macro.

    Examples
    --------
    >>> macros()[r"\ab"]
    '\\bar\\alpha_t'
    """
    return {**{symbol.macro: symbol.latex for symbol in SYMBOLS.values()}, **OPERATORS}


def expand(latex: str) -> str:
    r"""Return the LaTeX with the macros replaced, for a renderer without macros.

    Parameters
    ----------
    latex : str
        LaTeX in the macros of `symbols`.

    Returns
    -------
    str
        LaTeX without them.

    Examples
    --------
    >>> expand(r"\sqrt{\ab}\xo")
    '\\sqrt{\\bar\\alpha_t}x_0'
    """
    table = macros()
    while True:
        match = next((m for m in re.finditer(r"\\[A-Za-z]+", latex) if m.group() in table), None)
        if match is None:
            return latex
        text, end = table[match.group()], match.end()
        for place in ("#1", "#2"):
            if place in text:
                argument, end = _argument(latex, end)
                text = text.replace(place, argument)
        before, after = latex[: match.start()], latex[end:].lstrip()
        if re.search(r"\\[A-Za-z]+$", before) and text[:1].isalpha():
            text = " " + text
        if re.search(r"\\[A-Za-z]+$", text) and after[:1].isalpha():
            text += " "
        latex = before + text + after


def _argument(latex: str, start: int) -> tuple[str, int]:
    """Return the text within the braces at a place, and the place after them."""
    while latex[start] == " ":
        start += 1
    depth = 0
    for at in range(start, len(latex)):
        depth += {"{": 1, "}": -1}.get(latex[at], 0)
        if depth == 0:
            return latex[start + 1 : at], at + 1
    raise ValueError(f"{latex}: a brace is not closed")
