"""The exact arithmetic under the proofs: roots, logarithms, exponentials, derivatives, means."""

from __future__ import annotations

import pytest

from ddpm_np.check.derivations import Relation, prove

TRUE = [
    r"\sqrt{\be(1-\abp)} = \sqrt{\be}\sqrt{1-\abp}", r"\sqrt{\frac{\ab}{\abp}} = \sqrt{\al}", r"\sqrt{8} = 2\sqrt{2}",
    r"\frac{1}{\sqrt{2}} = \frac{\sqrt{2}}{2}", r"\ln\frac{\be^2}{1-\ab} = 2\ln\be-\ln(1-\ab)",
    r"\ln 12 = 2\ln 2+\ln 3",
    r"\ln\sqrt{1-\ab} = \frac{1}{2}\ln(1-\ab)", r"\ln e^{x} = x", r"e^{x+y} = e^{x}e^{y}", r"e^{-x} = \frac{1}{e^{x}}",
    r"e^{2\ln x} = x^2", r"e^{\frac{1}{2}\ln x} = \sqrt{x}", r"\sin^2x+\cos^2x = 1", r"\Phi(-x) = 1-\Phi(x)",
    r"\cos(x+y) = \cos x\cos y-\sin x\sin y", r"\pd{x}{\sqrt{1+x^2}} = \frac{x}{\sqrt{1+x^2}}",
    r"\pd{x}{\ln(x+e^{x})} = \frac{1+e^{x}}{x+e^{x}}", r"\pd{x}{\pd{x}{\sin x}} = -\sin x",
    r"\E_{\eps}[\eps^4] = 3", r"\E_{\eps,\z}[\eps^2\z] = 0", r"\Var_{\eps}[a+b\eps] = b^2",
    r"\E_{\xo}[\xo^2] = \dm^2+\ds^2",
    r"\Cov_{\eps}[a\eps,b\eps] = ab", r"\sum_{i=1}^{3} i = 6", r"\prod_{t=1}^{T} a_t = a_T\prod_{t=1}^{T-1} a_t",
    r"\sum_i\kron{i}{j}x_i = x_j",
]
FALSE = [
    r"\sqrt{x^2+y^2} = x+y", r"\ln(x+y) = \ln x+\ln y", r"e^{xy} = e^{x}e^{y}", r"\sqrt{\be} = \be",
    r"\sin(x+y) = \sin x+\sin y",
    r"\pd{x}{xy} = x", r"\E_{\eps}[\eps^2] = 0", r"\Var_{\eps}[\eps^2] = 1", r"\sum_{i=1}^{3} i = 5", r"\ln 2 = \ln 3",
    r"\pd{x}{\Phi(x)} = e^{-\frac{x^2}{2}}",
]
REFUSED = {
    r"\E_{\eps}[\frac{1}{1+\eps^2}] = 1": "not a polynomial", r"\E_{\xo}[\xo^3] = 0": "moment of x₀",
    r"\ln(-x) = y": "negative", r"\frac{x}{y-y} = x": "division by 0", r"\sqrt{-x} = x": "negative",
    r"x = x \geq 0": "positive at sight", r"x \geq y": "only ≥ 0", r"a_n = a_{n} \leq 1": "no proof",
}


@pytest.mark.parametrize("latex", TRUE)
def test_true(latex):
    assert prove(Relation("test.true", latex, "")).counterexample == ""


@pytest.mark.parametrize("latex", FALSE)
def test_false(latex):
    assert " = " in prove(Relation("test.false", latex, "")).counterexample


@pytest.mark.parametrize("latex", REFUSED)
def test_refused(latex):
    assert REFUSED[latex] in prove(Relation("test.refused", latex, "")).counterexample


def test_definitions_and_rates_of_a_line():
    given = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
    assert prove(Relation("test.given", r"\E_{\eps}[\xt] = \sqrt{\ab}\xo", "", given=given)).proved
    assert prove(Relation("test.rates", r"\pd{t}{y^2} = -2by^2", "", rates={"y": "-by"})).proved
    assert not prove(Relation("test.rates", r"\pd{t}{y^2} = -by^2", "", rates={"y": "-by"})).proved


def test_quadrature_has_thirty_digits():
    line = Relation("test.quadrature", r"\int_{0}^{1} x^2 \,d x = \frac{1}{3}", "", numeric=True)
    near = Relation("test.quadrature", r"\int_{0}^{1} x^2 \,d x = 0.3333333333333333333333333", "", numeric=True)
    assert prove(line).proved
    assert not prove(near).proved
