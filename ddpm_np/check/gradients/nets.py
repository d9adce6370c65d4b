"""Layers and whole nets: values by `reference_nets`, gradients of all weights and inputs by the complex step.

All weights are drawn at random: the last layers of a newly initialised net are nearly zero and would hide mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from ddpm_np.autograd.ops import kernels
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.comparison import Failed
from ddpm_np.check.gradients import reference_nets as by_hand
from ddpm_np.check.gradients.derivatives import STEP, Findings, error, inner, located, magnitude, ratio, trying
from ddpm_np.models import MLP, Classifier, ClassifierConfig, MLPConfig, UNet, UNetConfig
from ddpm_np.models.classifier import cross_entropy
from ddpm_np.models.unet import Downsample, ResidualBlock, TimeEmbedding, Upsample
from ddpm_np.nn import Attention, Conv2d, Dropout, GroupNorm, Linear, Module

ALL, EACH = 1e-14, 1e-12  # errors in units of the terms' magnitudes, along all parameters together and along one
DEEP = 1e-13  # the same for a whole net: normalisation magnifies rounding if the numbers of a group are nearly equal
VALUE = 1e-12  # error of an output, in units of its largest number
NAMED = 60  # parameters with at most this many elements are differentiated one by one to name a wrong one


@dataclass
class Case:
    """A net with random weights, its inputs, and a reference for its output.

    Parameters
    ----------
    net : Module
        The net, in float64.
    inputs : list of array
        The inputs that have a gradient.
    call : callable
        ``call(net, *inputs as Tensors) -> Tensor``.
    expected : callable
        ``expected(weights by name, *inputs) -> array``.
    """

    net: Module
    inputs: list[np.ndarray]
    call: Callable[..., Tensor]
    expected: Callable[..., np.ndarray]

    def push(self, directions: list[np.ndarray], g: np.ndarray) -> tuple[float, float]:
        """Return ⟨g, J v⟩ and its magnitude by one forward in complex128; v covers the parameters, then the inputs."""
        order = iter(directions)
        moved = self.net.clone(lambda p: Tensor(p.data + 1j * STEP * next(order)))
        inputs = [Tensor(x + 1j * STEP * next(order)) for x in self.inputs]
        y = self.call(moved, *inputs).data
        if y.dtype != np.complex128:
            raise Failed(f"the forward of complex numbers is {y.dtype}")
        return inner(g, y.imag / STEP), magnitude(g, y.imag / STEP)

    def pull(self, g: np.ndarray) -> list[np.ndarray]:
        """Return the gradients of ⟨g, output⟩ by the tape, of all parameters, then of the inputs."""
        inputs = [Tensor(x, requires_grad=True) for x in self.inputs]
        return gradients(self.call(self.net, *inputs), [*self.net.parameters(), *inputs], g)

    def leaves(self) -> list[tuple[str, np.ndarray]]:
        """Return (name, array) of all parameters and inputs with a gradient."""
        return [*((name, p.data) for name, p in self.net.named_parameters()),
                *((f"input {i}", x) for i, x in enumerate(self.inputs))]


def randomise(net: Module, rng: np.random.Generator) -> Module:
    """Draw every parameter at random: biases near 0, norms near 1, weights scaled to preserve the activations' size."""
    for name, p in net.named_parameters():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        fan_in = max(1, p.size // p.shape[-1])
        p.data = centre + rng.standard_normal(p.shape) * (0.3 if p.ndim == 1 else fan_in**-0.5)
    return net


def check_case(what: str, case: Case, found: Findings, rng: np.random.Generator) -> None:
    """Check values, then gradients, each by the definitions and by the kernels."""
    with trying(what):
        want = check_output(what, case, found)
        check_leaves(what, case, rng.standard_normal(want.shape), found, rng)


def check_output(what: str, case: Case, found: Findings) -> np.ndarray:
    """Check the output; return the expected one."""
    weights = {name: p.data for name, p in case.net.named_parameters()}
    want = case.expected(weights, *case.inputs)
    for choice in ("reference", "fast"):
        with kernels(choice):
            y = case.call(case.net, *map(Tensor, case.inputs)).data
        found.equal(f"{what}: the output", y, want, VALUE)
    return want


def check_leaves(what: str, case: Case, g: np.ndarray, found: Findings, rng: np.random.Generator) -> None:
    """Check the gradients of ⟨g, output⟩ by all parameters and inputs, along random directions."""
    directions = [[rng.standard_normal(a.shape) for _, a in case.leaves()] for _ in range(2)]
    pushed = [case.push(v, g) for v in directions]
    for choice in ("reference", "fast"):
        with kernels(choice):
            grads = case.pull(g)
        for (name, a), grad in zip(case.leaves(), grads, strict=True):
            if grad is None or grad.shape != a.shape:
                raise Failed(f"{what}: {name} has {'no gradient' if grad is None else f'one of shape {grad.shape}'}")
        for v, (forward, scale) in zip(directions, pushed, strict=True):
            difference, size = forward - sum(map(inner, grads, v)), scale + sum(map(magnitude, grads, v))
            if not found.note(ratio(difference, size), found.tolerance):
                raise wrong_leaf(what, case, grads, g)


def wrong_leaf(what: str, case: Case, grads: list[np.ndarray], g: np.ndarray) -> Failed:
    """Find the last parameter in forward order whose gradient is wrong, which is the nearest to the mistake."""
    leaves = case.leaves()
    floor = 1e-3 * max(float(np.max(np.abs(grad))) for grad in grads)

    def along(i: int, v: np.ndarray) -> float:
        return case.push([v if j == i else np.zeros(a.shape) for j, (_, a) in enumerate(leaves)], g)[0]

    for i, (name, a) in reversed(list(enumerate(leaves))):
        v = np.cos(np.arange(a.size)).reshape(a.shape)  # any direction without zeros
        forward, back = along(i, v), inner(grads[i], v)
        if ratio(forward - back, max(magnitude(grads[i], v), floor)) <= EACH:
            continue
        if a.size > NAMED:
            return Failed(f"{what}: ⟨gradient of {name}, v⟩ got {back:.10g}, expected {forward:.10g}")
        want = np.zeros(a.shape)
        for index in np.ndindex(a.shape):
            unit = np.zeros(a.shape)
            unit[index] = 1.0
            want[index] = along(i, unit)
        allowed = 1e-9 * max(floor, float(np.max(np.abs(want))))
        return located(f"{what}: the gradient of {name}", grads[i], want, error(grads[i], want, floor), allowed)
    return Failed(f"{what}: ⟨g, J v⟩ and ⟨vjp(g), v⟩ differ along all parameters together")


def layer(make: Callable[[], Module], shapes: list[tuple[int, ...]], call: Callable[..., Tensor],
          expected: Callable[..., np.ndarray]) -> Callable[[np.random.Generator], Case]:
    """Return a function that makes a case of a new layer."""
    return lambda rng: Case(randomise(make().initialise(dtype="float64"), rng),
                            [rng.standard_normal(shape) for shape in shapes], call, expected)


def _plain(net: Module, *inputs: Any) -> Tensor:
    return net(*inputs)


BLOCK = UNetConfig(8, 1, 4, (1, 2), 1, (), groups=2, norm_eps=1e-3)
X = (2, 3, 4, 4)  # (N, H, W, C)

LAYERS: dict[str, tuple[str, dict[str, Callable[[np.random.Generator], Case]]]] = {
    "linear": ("a dense layer", {
        "(2, 5, 3) → 4": layer(lambda: Linear(3, 4), [(2, 5, 3)], _plain, lambda w, x: by_hand.dense(x, *w.values()))}),
    "conv2d": ("a convolution layer", {
        "3×3": layer(lambda: Conv2d(2, 3), [(2, 4, 5, 2)], _plain,
                     lambda w, x: by_hand.convolution(x, *w.values(), padding=by_hand.ONE)),
        "5×5": layer(lambda: Conv2d(2, 1, 5), [(1, 4, 3, 2)], _plain,
                     lambda w, x: by_hand.convolution(x, *w.values(), padding=((2, 2), (2, 2)))),
        "1×1": layer(lambda: Conv2d(3, 2, 1), [(2, 2, 3, 3)], _plain,
                     lambda w, x: by_hand.convolution(x, *w.values())),
        "stride 2, padding on the left": layer(
            lambda: Conv2d(2, 3, stride=2, padding=((1, 0), (2, 0))), [(2, 5, 6, 2)], _plain,
            lambda w, x: by_hand.convolution(x, *w.values(), stride=2, padding=((1, 0), (2, 0))))}),
    "group-norm": ("a normalisation layer", {
        "plain": layer(lambda: GroupNorm(6, 3, 1e-2), [(2, 3, 2, 6)], _plain,
                       lambda w, x: by_hand.normalisation(x, *w.values(), groups=3, eps=1e-2)),
        "with SiLU": layer(lambda: GroupNorm(4, 2, 1e-2, silu=True), [(2, 2, 3, 4)], _plain,
                           lambda w, x: by_hand.silu(by_hand.normalisation(x, *w.values(), groups=2, eps=1e-2)))}),
    "attention": ("an attention layer", {
        f"{heads} heads": layer(lambda h=heads: Attention(4, 2, 1e-3, h), [(2, 3, 2, 4)], _plain,  # type: ignore[misc]
                                lambda w, x, h=heads: by_hand.attention(w, "", x, 2, 1e-3, h))  # type: ignore[misc]
        for heads in (1, 2)}),
    "time-embedding": ("the dense layers on t's embedding", {
        "4 → 6": layer(lambda: TimeEmbedding(4, 6), [(3, 4)], _plain, lambda w, x: by_hand.time_mlp(w, "", x))}),
    "residual-block": ("a residual block", {
        f"4 → {c} channels": layer(
            lambda c=c: ResidualBlock(4, c, 5, BLOCK), [X, (2, 5)], _plain,  # type: ignore[misc]
            lambda w, x, activated: by_hand.residual(w, "", x, activated, 2, 1e-3)) for c in (4, 6)}),
    "downsample": ("a downsampling layer", {
        padding: layer(lambda p=padding: Downsample(2, p), [(2, 4, 6, 2)], _plain,  # type: ignore[misc]
                       lambda w, x, p=padding: by_hand.downsample(w, "", x, p))  # type: ignore[misc]
        for padding in ("asymmetric", "symmetric")}),
    "upsample": ("an upsampling layer", {
        "2×": layer(lambda: Upsample(2), [(2, 2, 3, 2)], _plain, lambda w, x: by_hand.upsample(w, "", x))}),
}


def check_dropout(found: Findings, rng: np.random.Generator) -> None:
    """Check that elements are kept with probability 1 − p and scaled by 1/(1 − p), and gradients with them."""
    p, n = 0.3, 4000
    x, seed = Tensor(rng.uniform(1, 2, (4, n // 4)), requires_grad=True), int(rng.integers(1 << 31))
    with randomness(seed, 2):
        y, again = Dropout(p)(x), Dropout(p)(x)
    with randomness(seed, 2):
        found.equal("dropout of the same seed and step", Dropout(p)(x).data, y.data, 0.0)
    kept = y.data != 0
    found.equal("dropout: what is kept", y.data[kept], x.data[kept] / (1 - p), 1e-15)
    share, spread = float(kept.mean()), math.sqrt(p * (1 - p) / n)
    found.true(abs(share - (1 - p)) <= 6.2 * spread,  # correct code fails for one seed in 1e9
               f"dropout of p = {p} keeps {share:.3f} of {n} elements, expected {1 - p:.3f} ± {6.2 * spread:.3f}")
    found.true((again.data != y.data).any(), "a second dropout drops the same elements")
    g = rng.standard_normal(y.shape)
    found.equal("dropout: the gradient", gradients(y, [x], g)[0], np.where(kept, g / (1 - p), 0.0), 1e-15)
    found.true(Dropout(p).eval()(x) is x, "dropout in evaluation changes its input")
    block = randomise(ResidualBlock(4, 4, 5, UNetConfig(8, 1, 4, (1,), 1, (), groups=2, norm_eps=1e-3, dropout=p))
                      .initialise(dtype="float64"), rng)
    with randomness(seed, 2):
        mask = Dropout(p)(np.ones(X))

    def call(net: Module, *inputs: Tensor) -> Tensor:
        with randomness(seed, 2):
            return net(*inputs)

    inputs = [rng.standard_normal(X), rng.standard_normal((2, 5))]
    check_case("a residual block with dropout before its second convolution", Case(
        block, inputs, call, lambda w, x, activated: by_hand.residual(w, "", x, activated, 2, 1e-3, mask)), found, rng)


UNETS = {
    "U-Net, asymmetric, attention at 4": UNetConfig(8, 2, 4, (1, 2), 1, (4,), groups=2),
    "U-Net, symmetric, two heads, 8 by 4, attention at both levels": UNetConfig(
        (8, 4), 1, 4, (1, 2), 1, (8, 4), groups=1, heads=2, downsample_padding="symmetric"),
    "U-Net, labels, flipped embedding, one level of two blocks": UNetConfig(
        4, 3, 6, (1,), 2, (4,), groups=3, out_channels=2, num_classes=3, flip_sin_to_cos=True, freq_shift=0,
        norm_eps=1e-5),
    "U-Net, three levels": UNetConfig(8, 1, 4, (1, 1, 2), 1, (2,), groups=4),
}


def check_unet(found: Findings, rng: np.random.Generator) -> None:
    """Check small U-Nets: values by plain NumPy, gradients of all weights and of x."""
    for name, config in UNETS.items():
        t = np.array([1, int(rng.integers(2, 1000))])
        y = None if config.num_classes is None else np.array([2, 0])
        net = randomise(UNet(config, dtype="float64"), rng)
        check_shapes(name, net, by_hand.unet_shapes(config), found)
        case = Case(net, [rng.standard_normal((2, *config.size, config.in_channels))],
                    lambda net, x, t=t, y=y: net(x, t, y),  # type: ignore[misc]
                    lambda w, x, c=config, t=t, y=y: by_hand.unet(c, w, x, t, y))  # type: ignore[misc]
        check_case(name, case, found, rng)


def check_shapes(what: str, net: Module, want: dict[str, tuple[int, ...]], found: Findings) -> None:
    """Check that the net has exactly the expected weights in the expected shapes."""
    got = {name: tuple(p.shape) for name, p in net.named_parameters()}
    odd = sorted(name for name in got.keys() | want.keys() if got.get(name) != want.get(name))
    found.true(not odd, f"{what}: the shape of {odd[0]} is {got.get(odd[0], 'no shape: there is none')}, expected "
                        f"{want.get(odd[0], 'no such weight')}" if odd else "")


def check_mlp(found: Findings, rng: np.random.Generator) -> None:
    """Check the dense net of points."""
    config, t = MLPConfig(dim=2, width=6, depth=2, outputs=3, time_dim=6), np.array([1, 2, 700])
    check_case("MLP", Case(randomise(MLP(config, dtype="float64"), rng), [rng.standard_normal((3, 2))],
                           lambda net, x: net(x, t), lambda w, x: by_hand.mlp(config, w, x, t)), found, rng)


def check_classifier(found: Findings, rng: np.random.Generator) -> None:
    """Check the classifier and its loss, −ln softmax of the label's logit."""
    config, labels = ClassifierConfig(9, 1, 3, channels=2, features=4, groups=2), np.array([2, 0])
    net, x = randomise(Classifier(config, dtype="float64"), rng), rng.standard_normal((2, 9, 9, 1))

    def loss(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        logits = by_hand.classifier(config, w, x)
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(2), labels]

    check_case("classifier", Case(net, [x], _plain, lambda w, x: by_hand.classifier(config, w, x)), found, rng)
    far = 1000 + 300 * rng.standard_normal((2, 3))  # e^x would be inf
    want = scipy.special.logsumexp(far, axis=1) - far[np.arange(2), labels]
    found.equal("the cross-entropy of logits about 1000", cross_entropy(far, labels), want, VALUE, 1000)
    check_case("cross-entropy", Case(net, [x], lambda net, x: cross_entropy(net(x), labels), loss), found, rng)


def _layer_check(cases: dict[str, Callable[[np.random.Generator], Case]]) -> Callable:
    def check(found: Findings, rng: np.random.Generator) -> None:
        for name, make in cases.items():
            check_case(name, make(rng), found, rng)

    return check


METHOD = "plain NumPy, complex step"
NETS: dict[str, tuple[str, float, str, Callable[[Findings, np.random.Generator], None]]] = {
    **{f"grad-layer-{name}": (f"∂ of {title}", ALL, METHOD, _layer_check(cases))
       for name, (title, cases) in LAYERS.items()},
    "grad-layer-dropout": ("∂ of dropout", ALL, METHOD, check_dropout),
    "grad-unet": ("∂ of the U-Net", DEEP, METHOD, check_unet),
    "grad-mlp": ("∂ of the dense net", DEEP, METHOD, check_mlp),
    "grad-classifier": ("∂ of the classifier's loss", DEEP, METHOD, check_classifier),
}
