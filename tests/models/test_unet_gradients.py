"""The whole U-Net's gradient: the tape in float64 against the complex step through its complex forward.

All weights are random here: in a new net the last layers are nearly zero and would hide mistakes in the others.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.ops import kernels
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.gradients.derivatives import inner, magnitude
from ddpm_np.check.gradients.nets import Case, randomise
from ddpm_np.models import UNet, UNetConfig

CONFIGS = {
    "asymmetric, attention at 4": UNetConfig(8, 2, 4, (1, 2), 1, (4,), groups=2),
    "symmetric, two heads, 8 by 4, attention at both levels": UNetConfig(
        (8, 4), 1, 4, (1, 2), 1, (8, 4), groups=1, heads=2, downsample_padding="symmetric"),
    "labels, diffusers' embedding, one level of two blocks": UNetConfig(
        4, 3, 6, (1,), 2, (4,), groups=3, out_channels=2, num_classes=3, flip_sin_to_cos=True, freq_shift=0,
        norm_eps=1e-5),
    "three levels, dropout": UNetConfig(8, 1, 4, (1, 1, 2), 1, (2,), groups=4, dropout=0.3),
}
ALL, EACH = 1e-14, 1e-12  # errors in units of the terms' magnitudes, along all parameters together and along one


class Batch:
    """A net with random weights, a batch, and a cotangent."""

    def __init__(self, name):
        self.config = CONFIGS[name]
        self.rng = rng = generator(name)
        self.net = randomise(UNet(self.config, dtype="float64"), rng).train()
        self.x = rng.standard_normal((2, *self.config.size, self.config.in_channels))
        self.t = np.array([1, 731])
        self.y = None if self.config.num_classes is None else np.array([2, 0])
        out = self.config.out_channels or self.config.in_channels
        self.g = rng.standard_normal((2, *self.config.size, out))
        self.case = Case(self.net, [self.x], self, expected=None)

    def __call__(self, net, x):
        context = randomness(seed=3, step=5, first=7) if self.config.dropout else contextlib.nullcontext()
        with context:  # the same draws each time
            return net(x, self.t, self.y)

    def push(self, directions, dx):
        """Return ⟨g, J v⟩ and its magnitude: one forward in complex128; `directions` in the order of the parameters."""
        return self.case.push([*directions, dx], self.g)

    def pull(self):
        """Return the gradients of all parameters and of x."""
        found = self.case.pull(self.g)
        return found[:-1], found[-1]


@pytest.fixture(params=CONFIGS, scope="module")
def case(request):
    return Batch(request.param)


def assert_paired(case, grads, gx, directions, dx, what, tolerance=ALL, floor=0.0):
    forward, scale = case.push(directions, dx)
    back = sum(inner(g, v) for g, v in zip(grads, directions, strict=True)) + inner(gx, dx)
    scale += sum(magnitude(g, v) for g, v in zip(grads, directions, strict=True)) + magnitude(gx, dx)
    assert abs(forward - back) <= tolerance * max(scale, floor), f"{what}: {abs(forward - back) / scale:.1e}"


@pytest.mark.parametrize("choice", ["reference", "fast"])
def test_directional_derivatives_against_the_complex_step(case, choice):
    with kernels(choice):
        grads, gx = case.pull()
    for p, g in zip(case.net.parameters(), grads, strict=True):
        assert g.dtype == np.float64
        assert g.shape == p.shape
    for i in range(3):
        directions = [case.rng.standard_normal(p.shape) for p in case.net.parameters()]
        assert_paired(case, grads, gx, directions, case.rng.standard_normal(case.x.shape), f"direction {i}")


def test_gradient_of_each_parameter_and_of_the_input(case):
    grads, gx = case.pull()
    shapes = [p.shape for p in case.net.parameters()]
    nothing = np.zeros_like(case.x)
    # a key's bias, and a bias that a normalisation takes out again, have gradients that are 0 but for rounding
    floor = 0.01 * np.mean([np.abs(g).sum() for g in grads])
    for i, (name, p) in enumerate(case.net.named_parameters()):
        v = case.rng.standard_normal(p.shape)
        alone = [v if j == i else np.zeros(shape) for j, shape in enumerate(shapes)]
        assert_paired(case, grads, gx, alone, nothing, name, EACH, floor)
    dx = case.rng.standard_normal(case.x.shape)
    assert_paired(case, grads, gx, [np.zeros(shape) for shape in shapes], dx, "x", EACH)


def test_real_forwards_agree_with_the_complex_one(case):
    clone = case.net.clone(lambda p: Tensor(p.data.astype(np.complex128)))
    z = case(clone, case.x).data
    for choice in ("reference", "fast"):
        with kernels(choice):
            y = case(case.net, case.x).data
        assert np.abs(z - y).max() <= 1e-13 * np.abs(y).max()


def test_float32_gradients_are_those_of_float64_rounded(case):
    single = UNet(case.config, dtype="float32").train()
    for p, q in zip(single.parameters(), case.net.parameters(), strict=True):
        p.data = q.data
    x = Tensor(case.x.astype(np.float32), requires_grad=True)
    found = gradients(case(single, x), [*single.parameters(), x], case.g.astype(np.float32))
    grads, gx = case.pull()
    scale = max(np.abs(g).max() for g in (*grads, gx))
    for a, b in zip(found, (*grads, gx), strict=True):
        assert a.dtype == np.float32
        assert np.abs(a - b).max() <= 1e-4 * max(np.abs(b).max(), 1e-2 * scale)


def test_dropout_draws_by_seed_step_and_image(case):
    if not case.config.dropout:
        assert case(case.net, case.x).data.tobytes() == case(case.net.clone(lambda p: p).eval(), case.x).data.tobytes()
        return
    outs = {}
    for key in [(3, 5, 7), (4, 5, 7), (3, 6, 7), (3, 5, 8)]:
        with randomness(*key):
            outs[key] = case.net(case.x, case.t).data
    assert len({out.tobytes() for out in outs.values()}) == 4
    with randomness(3, 5, 8):
        shard = case.net(case.x[1:], case.t[1:]).data
    assert shard.tobytes() == outs[3, 5, 7][1:].tobytes()  # the second image, taken as a shard of its own
    evaluation = case.net.clone(lambda p: p).eval()
    assert evaluation(case.x, case.t).data.tobytes() != outs[3, 5, 7].tobytes()
    with pytest.raises(RuntimeError, match=r"call the net inside randomness\(seed, step\)"):
        case.net(case.x, case.t)
