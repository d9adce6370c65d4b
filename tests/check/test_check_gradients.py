"""Gradients as equations: our own pass, planted mistakes fail where they are, what is only written otherwise passes."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from mistakes.gradients import MISTAKES, REWRITES, planted

from ddpm_np import nn
from ddpm_np.autograd.ops import REGISTRY
from ddpm_np.check import FAIL, PASS
from ddpm_np.check.comparison import Failed
from ddpm_np.check.gradients.derivatives import Findings, error, known_mistake, ratio
from ddpm_np.check.gradients.examples import cases, numbers
from ddpm_np.check.gradients.nets import LAYERS
from ddpm_np.check.gradients.reference_nets import unet_shapes
from ddpm_np.check.gradients.rules import kept
from ddpm_np.check.gradients.runner import gradient_results, parts
from ddpm_np.models import UNetConfig

# Our own


def test_all_gradient_checks_pass_within_the_time_limit():
    seen, started = [], time.process_time()
    results = gradient_results(progress=seen.append)
    assert time.process_time() - started <= 8  # 3 s of one core
    assert results == seen
    assert [r for r in results if r.verdict != PASS] == []
    assert [r.equation for r in results] == list(parts())
    for r in results:
        assert 0 <= r.error <= r.tolerance <= 1e-11
        assert r.cases >= 6
        assert r.title
        assert r.method
        assert r.counterexample == r.hint == ""


def test_every_op_and_layer_is_checked():
    names = set(parts())
    assert {f"grad-{name}" for name in REGISTRY} <= names
    layers = {name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    assert {name.replace("-", "") for name in (*LAYERS, "dropout")} >= {n.lower() for n in layers - {"Module"}}
    assert {"grad-tape", "grad-unet", "grad-mlp", "grad-classifier", "grad-loss", "grad-hybrid-loss", "adam",
            "norm-clip", "ema"} <= names


@pytest.mark.parametrize("seed", [1, 2])
def test_correct_code_passes_for_every_seed(seed):
    assert [r for r in gradient_results(seed) if r.verdict != PASS] == []


def test_the_same_seed_gives_the_same_results_whatever_else_is_checked():
    some = gradient_results(5, ["adam", "grad-matmul"])
    assert [r.equation for r in some] == ["grad-matmul", "adam"]
    again = {r.equation: r.error for r in gradient_results(5, ["grad-matmul", "grad-mlp", "adam"])}
    assert all(again[r.equation] == r.error for r in some)
    assert gradient_results(6, "grad-matmul")[0].error != some[0].error


@pytest.mark.parametrize(("name", "words"), [
    ("grad-conv", "no gradient is called 'grad-conv': did you mean 'grad-conv2d'"), ("7", "there are grad-add, "),
])
def test_unknown_gradient_names_are_refused(name, words):
    with pytest.raises(ValueError, match=words):
        gradient_results(names=[name])


# Mistakes


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_planted_mistake_fails_its_own_gradient_check(mistake):
    with planted(mistake):
        found = {r.equation: r for r in gradient_results(names=mistake.equations)}
    passed = [name for name, r in found.items() if r.verdict != FAIL]
    assert not passed, f"{mistake} is not seen by {', '.join(passed)}"
    for result in found.values():
        assert result.counterexample
        assert "\n" not in result.counterexample
        assert result.error > result.tolerance


@pytest.mark.parametrize("rewrite", REWRITES, ids=str)
def test_equivalent_rewrites_pass(rewrite):
    with planted(rewrite):
        failed = [r for r in gradient_results(names=rewrite.equations) if r.verdict != PASS]
    assert not failed


def test_every_gradient_check_has_a_catalogued_mistake():
    assert len({(m.place, m.name) for m in MISTAKES}) == len(MISTAKES)
    broken = {name for mistake in MISTAKES for name in mistake.equations}
    assert set(parts()) == broken


@pytest.mark.parametrize(("place", "name", "words", "hint"), [
    ("autograd.ops.elementwise.square", "a factor 2 missing", ["∂square/∂(operand 0) at x = ", "g = 1"],
     "half the expected"),
    ("autograd.ops.elementwise.cos", "the sign of the sine", ["∂cos/∂(operand 0)"], "the sign"),
    ("autograd.ops.elementwise.exp", "the cotangent is written to", ["exp of shapes", "read-only"],
     "a vjp writes to what"),
    ("autograd.ops.reduce.mean", "1/n dropped on the way back", ["∂mean/∂(operand 0)"],
     "a count n that a mean divides by"),
    ("kernels.numpy_conv.by_patches", "the kernel's gradient not flipped back", ["conv2d by"], "in reverse along axis"),
    ("training.adam.Adam.apply", "ε inside the root", ["Adam, η=0.1, β=(0.8, 0.99), ε=0.5, θ=1, g=2", "expected 23/25"],
     "these are the numbers of ε inside the root"),
    ("training.adam.Adam.update", "no bias correction", ["θ after one update"], "an update without bias correction"),
    ("training.ema.EMA.share", "the decay reversed", ["the moving average, d=0.9, after update 1"],
     "d and 1 − d exchanged"),
    ("training.clip.clip_flat", "by value", ["the clip to 1 of a gradient of norm"], "a clip by value"),
    ("autograd.ops.elementwise.silu", "no x·s·(1 − s)", ["∂silu/∂(operand 0) at x = "], "σ alone, without x·σ·(1 − σ)"),
    ("autograd.ops.attention.through_softmax", "no mean taken off", ["∂softmax"], "p·g, Σ g·p not taken off"),
    ("autograd.ops.attention.attention", "no scale", ["attention of shapes"], "scores without 1/√D"),
    ("autograd.ops.norm.group_norm", "ε outside the root", ["group_norm of shapes"], "ε outside the root"),
    ("autograd.ops.norm.group_norm", "variance by n − 1", ["group_norm of shapes"], "a variance by n − 1"),
    ("autograd.ops.conv.conv2d", "the kernel flipped: a convolution in the signals' sense", ["y["],
     "the kernel flipped"),
    ("autograd.ops.shape.upsample_nearest", "tiled, not repeated", ["upsample_nearest of shapes"],
     "tiles, not repeated"),
    ("diffusion.loss.hybrid_loss", "the variance is held too", ["∂ by v"], "nothing arrives"),
])
def test_counterexample_and_hint_name_the_mistake(place, name, words, hint):
    (mistake,) = [m for m in MISTAKES if (m.place, m.name) == (place, name)]
    with planted(mistake):
        (result,) = gradient_results(names=mistake.equations[:1])
    for word in words:
        assert word in result.counterexample
    assert hint in result.hint


# What it is made of


def test_known_mistakes_are_named():
    rng = np.random.default_rng(0)
    want, square = rng.standard_normal((3, 4)), rng.standard_normal((3, 3))
    for got, right, words in [
        (-want, want, "the sign"), (2 * want, want, "twice"), (want / 2, want, "half"), (0 * want, want, "nothing"),
        (12 * want, want, "12 times"), (want / 12, want, "1/12 of"), (want * math.sqrt(2), want, "1.41421 times"),
        (square.T, square, "transposed"), (want[::-1], want, "in reverse along axis 0"),
        (want[::-1, ::-1], want, "in reverse along axis 0, 1"), (np.roll(want, 1, 1), want, "by one along axis 1"),
        (want + 0.3, want, "the same number everywhere"), (want * np.nan, want, "no finite number"),
        (want * (1 + 1e-9), want, "seven digits"), (want**2, want, ""), (want[0], want, ""), (want, 0 * want, ""),
    ]:
        said = known_mistake(got, right)
        assert words in said
        assert bool(words) == bool(said)


def test_findings_are_relative_to_the_tolerance():
    found = Findings(1e-12)
    assert math.isnan(found.worst)
    assert found.note(2e-7, 1e-6)
    assert found.worst == pytest.approx(2e-13)
    assert not found.note(2e-6, 1e-6)
    assert found.worst == pytest.approx(2e-12)
    assert found.note(0.0, 0.0)
    assert not found.note(1e-30, 0.0)
    assert found.worst == math.inf
    assert found.cases == 4
    with pytest.raises(Failed, match=r"y\[1\] got 3, expected 2"):
        found.equal("y", np.array([1.0, 3.0]), np.array([1.0, 2.0]), 1e-9)
    with pytest.raises(Failed, match=r"y has shape \(2,\), expected \(3,\)"):
        found.equal("y", np.zeros(2), np.zeros(3), 1e-9)
    with pytest.raises(Failed, match="as it is"):
        found.true(False, "as it is")


def test_error_and_ratio_by_hand():
    assert error(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert error(np.array([0.1]), np.array([0.0]), floor=2.0) == pytest.approx(0.05)
    assert error(np.array([np.nan]), np.array([1.0])) == math.inf
    assert error(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0
    assert (ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(-1.0, 4.0)) == (0.0, math.inf, 0.25)
    with pytest.raises(Failed, match=r"shape \(2,\), expected \(2, 1\)"):
        error(np.zeros(2), np.zeros((2, 1)))


def test_examples_come_smallest_first_and_reach_every_chunk():
    for name in REGISTRY:
        tried = cases(name, np.random.default_rng(0))
        sizes = [numbers(e) for e in tried if not e.empty]
        assert sizes == sorted(sizes)
        assert [e.empty for e in tried] == sorted(e.empty for e in tried)


def test_reference_unet_shapes_are_the_papers():
    """35,746,307 numbers in 328 tensors; 113,673,219 at 256²."""
    wide = UNetConfig(256, 3, 128, (1, 1, 2, 2, 4, 4), 2, (16,))
    for config, count, tensors in [(UNetConfig.preset("cifar10"), 35_746_307, 328), (wide, 113_673_219, None)]:
        shapes = unet_shapes(config)
        assert sum(map(math.prod, shapes.values())) == count
        assert len(shapes) == (tensors or len(shapes))


def test_a_vjp_must_be_a_plain_function():
    with pytest.raises(Failed, match="a vjp is a plain function, not a int"):
        kept(3)
