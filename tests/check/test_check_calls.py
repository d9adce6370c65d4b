"""Calls of a target: what it must leave as it is, what it may do, and runs that verify nothing."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from test_check_runner import Right

from ddpm_np.check import FAIL, PASS, UNVERIFIED, run
from ddpm_np.check.calls import Calls, Wrong


def result_of(equation="4", **methods):
    """Return the result of `Right` with methods replaced."""
    return run(type("Mutant", (Right,), methods), [equation])[equation]


def spoiling(name):
    """Return a correct q_sample that writes into one of its arguments."""
    def q_sample(self, x_0, t, noise):
        result = Right.q_sample(self, x_0, t, noise)
        {"x_0": x_0, "t": t, "noise": noise, "betas": self.given}[name][...] += 1
        return result
    return q_sample


def keeping(self, betas):
    self.given = betas
    Right.__init__(self, betas)


@pytest.mark.parametrize(("name", "words"), [
    ("x_0", "q_sample changed its argument x_0 in place: work on a copy"),
    ("t", "q_sample changed its argument t in place"), ("noise", "q_sample changed its argument noise in place"),
    ("betas", "q_sample changed betas, the factory's argument, in place")])
def test_a_target_that_overwrites_an_argument_fails(name, words):
    result = result_of(__init__=keeping, q_sample=spoiling(name))
    assert result.verdict == FAIL
    assert words in result.counterexample


def test_arguments_after_the_model_are_named_too():
    def p_sample(self, model, x_t, t, noise):
        noise *= 2
        return x_t
    assert "p_sample changed its argument noise in place" in result_of("algorithm-2", p_sample=p_sample).counterexample


def test_a_factory_that_overwrites_betas_fails():
    def factory(betas):
        target = Right(betas)
        betas[0] = 0
        return target
    result = run(factory, ["4"])["4"]
    assert result.verdict == FAIL
    assert "the factory changed betas, the factory's argument, in place" in result.counterexample


def test_what_a_model_returned_may_be_overwritten():
    """It is the target's own, and so is a buffer that it passes to the model: the numbers are right."""
    def mean_variance(self, model, x_t, t):
        eps = model(x_t, t)
        x0 = Right.predict_x0(self, x_t, t, eps)
        eps *= np.nan
        return *Right.q_posterior(self, x0, x_t, t), x0
    assert result_of("15", p_mean_variance=mean_variance, predict_x0=None).verdict == PASS


def test_a_buffer_that_is_returned_again_and_again_fails():
    def q_sample(self, x_0, t, noise):
        buffers = self.__dict__.setdefault("buffers", {})
        buffer = buffers.setdefault(x_0.shape, np.empty_like(x_0))
        buffer[...] = Right.q_sample(self, x_0, t, noise)
        return buffer
    result = result_of(q_sample=q_sample)
    assert result.verdict == FAIL
    assert "q_sample changed an array that it had returned before: return a new array" in result.counterexample


def test_an_earlier_result_of_another_method_counts():
    calls, buffer = Calls(np.ones(2)), np.zeros(2)
    calls("alpha_bar", lambda: buffer, (), {}, ())
    with pytest.raises(Wrong, match="timesteps changed an array that alpha_bar had returned before"):
        calls("timesteps", lambda: buffer.fill(1), (), {}, ())


def test_a_result_that_depends_on_the_number_of_calls_fails():
    """The comparisons are over when it changes: only a repeated call shows it."""
    calls = []

    def q_sample(self, x_0, t, noise):
        calls.append(t)
        return Right.q_sample(self, x_0, t, noise) * (1 + 1e-3 * (len(calls) > n))
    n = np.inf
    assert result_of(q_sample=q_sample).verdict == PASS
    n = result_of(q_sample=q_sample).cases
    calls.clear()
    result = result_of(q_sample=q_sample)
    assert result.verdict == FAIL
    assert "q_sample returned other numbers when it was called again with the same arguments" in result.counterexample


def test_views_of_arguments_and_of_tables_are_no_fault():
    """An argument handed back unchanged, and the same table at every call."""
    result = run(type("Mutant", (Right,), {"q_step": lambda self, x, t, e: x}), ["alpha-bar", "2"])
    assert result["alpha-bar"].verdict == PASS  # `Right` returns its own table
    assert "expected" in result["2"].counterexample  # the numbers are wrong, nothing else


def noisy(self, x_0, t, noise):
    """A correct q_sample with side effects."""
    print("sampling")
    warnings.warn("slow", stacklevel=1)
    np.random.seed(0)  # noqa: NPY002 - the global state is what is tested
    np.seterr(all="raise")
    return Right.q_sample(self, x_0, t, noise)


def test_side_effects_that_change_no_number_pass():
    errors = np.geterr()
    assert result_of(q_sample=noisy).verdict == PASS
    assert np.geterr() == errors


@pytest.mark.parametrize(("error", "words"), [
    (SystemExit(3), "q_sample raised SystemExit: 3"), (GeneratorExit(), "q_sample raised GeneratorExit"),
    (BaseException("bare"), "q_sample raised BaseException: bare")])
def test_any_exception_but_ctrl_c_is_a_verdict(error, words):
    def q_sample(self, *args):
        raise error
    assert words in result_of(q_sample=q_sample).counterexample


def test_ctrl_c_ends_the_run():
    def q_sample(self, *args):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        result_of(q_sample=q_sample)


def test_a_tensor_that_requires_a_gradient_is_named():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    result = result_of(q_sample=lambda self, *args: torch.from_numpy(Right.q_sample(self, *args)).requires_grad_())
    assert result.verdict == FAIL
    assert "q_sample returned a Tensor, not an array" in result.counterexample


# Runs that verify nothing, and names that are nearly right


class Misspelled(Right):
    """A method's name with two letters exchanged, and a table where a method is expected."""

    q_smaple = Right.q_sample
    q_sample = predict_x0 = q_posterior = alpha_bar = None

    def __init__(self, betas):
        super().__init__(betas)
        self.alpha_bar = self.a

    @property
    def q_step(self):
        raise ValueError("no device")


@pytest.mark.parametrize(("factory", "words"), [
    (lambda betas: None, ["the factory returned None, expected an object with methods such as alpha_bar, q_step"]),
    (lambda betas: Right, ["the factory returned the class Right", "q_posterior: return Right(betas)"]),
    (lambda betas: {"q_sample": print}, ["the factory returned an object of class dict"]),
    (Misspelled, ["its alpha_bar is of type ndarray, not a method", "q_smaple: did you mean 'q_sample'?",
                  "its q_step is a property that raised ValueError: no device, not a method"])])
def test_a_run_that_verifies_nothing_says_why(factory, words):
    report = run(factory)
    assert {result.verdict for result in report.results} == {UNVERIFIED}
    assert not report.verified
    assert report.advice.startswith("no equation could be verified: ")
    assert all(word in report.advice for word in words)
    assert "\n" not in report.advice
    assert report.as_dict()["advice"] == report.advice


def test_methods_that_are_not_implemented_are_named():
    def later(self, *args):
        raise NotImplementedError
    report = run(type("Mutant", (Right,), {"q_sample": later}), ["4"])
    assert report.advice == ("no equation could be verified: q_sample is not implemented, or not with the options that "
                             "were asked for")

    def factory(betas):
        raise NotImplementedError("no schedule")
    assert "lacks a schedule of 2 steps" in run(factory, ["4"]).advice


def test_names_that_are_nearly_right_are_shown_beside_verdicts():
    report = run(type("Mutant", (Right,), {"q_stepp": Right.q_sample}), ["4", "2"])
    assert report.verified
    assert report.advice == "q_stepp: did you mean 'q_step'?"
    assert run(Right, ["4"]).advice == ""


def test_methods_of_a_class_without_an_instance_count_if_they_need_none():
    def factory(betas):
        return type("Static", (), {"q_sample": staticmethod(Right(betas).q_sample)})
    assert run(factory, ["4"])["4"].verdict == PASS


@pytest.mark.parametrize(("factory", "words"), [
    (lambda betas, T: None, "must take betas and nothing else: missing a required argument: 'T'"),
    (lambda: None, "must take betas and nothing else: too many positional arguments")])
def test_a_factory_of_other_arguments_is_refused(factory, words):
    with pytest.raises(TypeError, match=words):
        run(factory)


def test_a_factory_that_returns_no_object_at_once_is_refused():
    async def factory(betas):
        return SimpleNamespace()
    with pytest.raises(TypeError, match="the factory factory is a coroutine or a generator: return the object"):
        run(factory)
