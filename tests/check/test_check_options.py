"""A target that offers some options of a method: those are asked, the others are named, and no mistake is missed."""

from __future__ import annotations

import json
from itertools import chain, combinations, product

import numpy as np
import pytest
from reference_target import Reference

from ddpm_np.check import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, run
from ddpm_np.check.report import line
from ddpm_np.check.targets.functions import from_functions

VARIANCES, CLIPS = [{"variance": v} for v in ("small", "large")], [{"clip": c} for c in (False, True)]
BOTH = [{**v, **c} for v, c in product(VARIANCES, CLIPS)]
# (method, equation, combinations that the equation asks, the part of the result that it compares)
ASKED = [("p_mean_variance", "11", [o for o in BOTH if not o["clip"]], 0),
         ("p_mean_variance", "15", [o for o in BOTH if not o["clip"]], 2),
         ("p_mean_variance", "sigma", BOTH, 1),
         ("p_mean_variance", "clip", [o for o in BOTH if o["clip"]], 0),
         ("p_sample", "algorithm-2", BOTH, None), ("sample", "1", BOTH, None), ("vlb_term", "8", VARIANCES, None),
         ("vlb_term", "L_0", VARIANCES, None), ("vlb", "5", VARIANCES, None), ("eq12_weight", "12", VARIANCES, None)]


def subsets(asked):
    """Return all nonempty subsets of combinations of options."""
    return chain.from_iterable(combinations(asked, n) for n in range(1, len(asked) + 1))


def offering(method, offered, wrong=None, part=None):
    """Return a target with one method that has these combinations of options, one of which gives wrong numbers."""
    class Offers:
        def __init__(self, betas):
            self.right = Reference(betas)

    def ask(self, *args, **options):
        if options not in offered:
            raise NotImplementedError("not these options")
        found = getattr(self.right, method)(*args, **options)
        if options != wrong:
            return found
        return 1.01 * found if part is None else [1.01 * x if i == part else x for i, x in enumerate(found)]

    setattr(Offers, method, ask)
    return Offers


def verdict(factory, equation, **options):
    return run(factory, [equation], **options)[equation]


@pytest.mark.parametrize(("method", "equation", "asked", "part"), ASKED, ids=[f"{m}-{e}" for m, e, *_ in ASKED])
def test_what_is_offered_is_checked_and_the_rest_is_named(method, equation, asked, part):
    for offered in subsets(BOTH if len(asked[0]) == 2 else VARIANCES):
        result = verdict(offering(method, offered), equation, examples=0)
        here = [options for options in asked if options in offered]
        if not here:
            assert (result.verdict, result.note, result.cases) == (UNVERIFIED, "", 0)
            assert result.hint.startswith(f"the target lacks {method}(clip=")
            continue
        assert result.verdict == PASS, (offered, result)
        assert bool(result.note) == (len(here) < len(asked))
        for name, value in {(k, v) for options in asked for k, v in options.items()}:
            if all(options[name] != value for options in here):  # a value of an option that could not be asked
                assert f"{name}={value!r}" in result.note.partition(";")[2]
        for wrong in here:
            found = verdict(offering(method, offered, wrong, part), equation, examples=0)
            assert found.verdict == FAIL, f"{wrong} of {offered} is wrong"
            assert found.counterexample


def test_the_note_says_what_was_asked_and_what_is_not_offered():
    def note(*offered):
        return verdict(offering("p_sample", offered), "algorithm-2").note
    assert note(BOTH[0]) == "p_sample for variance='small', clip=False; variance='large', clip=True not offered"
    assert note(*BOTH[:3]) == ("p_sample for variance='small', 'large', clip=False, True; variance='large' with "
                               "clip=True not offered")
    assert note(*BOTH) == ""


def test_the_note_is_in_the_table_and_in_json():
    report = run(offering("eq12_weight", VARIANCES[1:]), ["12"])
    note = "eq12_weight for variance='large'; variance='small' not offered"
    assert line(report["12"]).splitlines()[1:] == [f"    {note}"]
    assert json.loads(json.dumps(report.as_dict()))["results"][0]["note"] == note
    assert report["12"].hint == ""


@pytest.mark.parametrize(("conventions", "expected"), [({"index_base": 0}, CONVENTION),
                                                       ({"precision": "float32"}, PRECISION)])
def test_other_verdicts_have_a_note_too(conventions, expected):
    class Declares(Reference):
        def eq12_weight(self, t, variance="small"):
            if variance == "large":
                raise NotImplementedError
            return super().eq12_weight(t + 1 - conventions.get("index_base", 1)).astype(
                conventions.get("precision", "float64"))

    Declares.conventions = conventions
    result = verdict(Declares, "12")
    assert (result.verdict, result.note) == (
        expected, "eq12_weight for variance='small'; variance='large' not offered")


def test_a_keyword_that_is_lacking_is_an_option_that_is_lacking():
    class Plain:
        def __init__(self, betas):
            self.right = Reference(betas)

        def p_sample(self, model, x_t, t, noise):
            return self.right.p_sample(model, x_t, t, noise)

    result = verdict(Plain, "algorithm-2")
    assert (result.verdict, result.note) == (
        PASS, "p_sample for variance='small', clip=False; variance='large', clip=True not offered")


def test_functions_with_one_variance_are_checked_for_it():
    def weight(alpha_bar_t, alpha_t, beta_t, wrong=1.0):
        return (wrong * beta_t / (2 * alpha_t * (1 - alpha_bar_t))).reshape(-1)

    result = verdict(from_functions(eq12_weight=weight, variance="large"), "12")
    assert (result.verdict, result.note) == (
        PASS, "eq12_weight for variance='large'; variance='small' not offered")
    result = verdict(from_functions(eq12_weight=lambda **k: weight(**k, wrong=2.0)), "12")
    assert result.verdict == FAIL


def limited(method, allowed):
    """Return the reference with a method that raises NotImplementedError unless `allowed(args)`."""
    def ask(self, *args, **options):
        if not allowed(*args):
            raise NotImplementedError
        return getattr(Reference, method)(self, *args, **options)
    return type("Limited", (Reference,), {method: ask})


def test_one_eta():
    def eta_0(scale=1.0):
        target = limited("ddim_step", lambda model, x, t, s, eta, z: eta == 0)
        right = target.ddim_step
        target.ddim_step = lambda self, *args: scale * right(self, *args)
        return target

    for equation in ("ddim-12", "ddim-16"):
        result = verdict(eta_0(), equation)
        assert (result.verdict, result.note) == (PASS, "ddim_step for eta=0; eta=0.5, 1 not offered")
    assert verdict(eta_0(1.01), "ddim-12").verdict == FAIL


def test_one_of_two_schedules():
    target = limited("schedule", lambda name, T: name == "linear")
    assert (verdict(target, "linear-schedule").verdict, verdict(target, "linear-schedule").note) == (PASS, "")
    result = verdict(target, "cosine-schedule")
    assert (result.verdict, result.hint) == (UNVERIFIED, "the target lacks schedule(name='cosine')")


def test_some_lengths_of_a_schedule_and_some_widths_of_an_embedding():
    assert verdict(limited("schedule", lambda name, T: T == 1000), "linear-schedule").note == (
        "schedule for T=1000; T=2, 10 not offered")
    assert verdict(limited("time_embedding", lambda t, dim: dim > 4), "time-embedding").note == (
        "time_embedding for dim=8, 128; dim=4 not offered")


def test_some_numbers_of_timesteps():
    right = limited("timesteps", lambda n: n % 2 == 0)
    result = verdict(right, "timesteps")
    assert result.verdict == PASS
    assert result.note == "timesteps for n=2, 4, 6, 8, 10, …, 1000; n=1, 3, 5, 7, 9, …, 999 not offered"
    wrong = type("Wrong", (right,), {"timesteps": lambda self, n: right.timesteps(self, n)[::-1]})
    assert verdict(wrong, "timesteps").verdict == FAIL


def test_images_of_one_rank():
    for rank in (2, 4):
        result = verdict(limited("q_sample", lambda x, t, z, rank=rank: x.ndim == rank), "4")
        assert result.verdict == PASS
        assert result.note.startswith(f"q_sample for rank={rank}; rank=")
        wrong = limited("q_sample", lambda x, t, z, rank=rank: x.ndim == rank)
        right = wrong.q_sample
        wrong.q_sample = lambda self, *args, right=right: 1.01 * right(self, *args)
        assert verdict(wrong, "4").verdict == FAIL


@pytest.mark.parametrize("allowed", [lambda x, t, z: (t > 1).all(), lambda x, t, z: (t != 3).all(),
                                     lambda x, t, z: (z != 0).all()])
def test_a_refusal_by_something_that_is_no_option_narrows_nothing(allowed):
    result = verdict(limited("q_sample", allowed), "4")
    assert result.verdict == UNVERIFIED
    assert result.hint.startswith("the target lacks q_sample")
    assert result.note == ""


def test_a_method_that_only_raises_is_missing():
    for method, equation in (("p_sample", "algorithm-2"), ("eq12_weight", "12"), ("q_sample", "9"),
                             ("predict_x0", "9")):
        result = verdict(limited(method, lambda *args: False), equation)
        assert (result.verdict, result.hint, result.note) == (UNVERIFIED, f"the target lacks {method}", "")


def test_a_property_that_needs_two_methods_needs_both():
    """The first comparison of a property is not enough if it could not ask its other method."""
    class Half(Reference):
        def affine_vlb(self, *args):
            raise NotImplementedError

        def affine_bound_16(self, m, s2, a, b, sigma2):
            raise NotImplementedError

        def affine_nll(self, m, s2, a, b, sigma2):
            from ddpm_np import diffusion
            return np.asarray(diffusion.affine_nll(diffusion.Schedule.from_betas(self.beta[1:]), m, s2, a, b, sigma2))

    result = verdict(Half, "16")
    assert result.verdict == UNVERIFIED
    assert "affine_vlb" in result.hint


def test_predictions_of_one_kind():
    class Noise(Reference):
        def target(self, x_0, x_t, t, noise, predicts):
            if predicts != "eps":
                raise NotImplementedError(predicts)
            return noise

        def predict(self, model, x_t, t, predicts="eps", clip=False):
            self.target(0, 0, 0, 0, predicts)
            x0 = self.predict_x0(x_t, t, model(x_t, t))
            x0 = np.clip(x0, -1, 1) if clip else x0
            return x0, self.predict_eps(x_t, t, x0), None

    result = verdict(Noise, "prediction")
    assert result.verdict == PASS
    assert "predict for predicts='eps'; predicts='x0', 'mean', 'v' not offered" in result.note
    assert "simple_loss for predicts='eps'; predicts='x0', 'mean', 'v' not offered" in result.note
