"""The parts of a training step: the losses' gradients, Adam, the clip of the norm, the moving average.

Adam is compared with Algorithm 1 of Kingma & Ba (2015), written here as published; a loss with its equation in plain
NumPy, and its gradient with the complex step through noising, net and square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special

from ddpm_np.autograd.op import kernels
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.check.comparison import Failed, nice
from ddpm_np.check.gradients import reference_nets as by_hand
from ddpm_np.check.gradients.derivatives import STEP, Findings
from ddpm_np.check.gradients.nets import ALL, Case, check_case, randomise
from ddpm_np.diffusion import PREDICTS, Schedule, hybrid_loss, simple_loss
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.nn import Linear
from ddpm_np.training.adam import Adam
from ddpm_np.training.clip import clip_grad_norm, global_norm
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat

UPDATE = 1e-12  # error of weights after some updates, in units of the largest
HELD = 1e-11  # error of the bound's term, a sum of logarithms of small numbers


# The losses


class Marginals:
    """The coefficients of a schedule that a loss needs, by their definitions; rows (N, 1)."""

    def __init__(self, betas: np.ndarray, t: np.ndarray):
        alpha_bar = np.concatenate(([1.0], np.cumprod(1 - betas)))
        self.beta, here, before = betas[t - 1][:, None], alpha_bar[t][:, None], alpha_bar[t - 1][:, None]
        self.signal, self.noise = np.sqrt(here), np.sqrt(1 - here)
        self.x0 = np.sqrt(before) * self.beta / (1 - here)
        self.xt = np.sqrt(1 - self.beta) * (1 - before) / (1 - here)
        after_first = betas[1] * (1 - alpha_bar[1]) / (1 - alpha_bar[2])  # β̃₂, used in place of β̃₁ = 0
        self.beta_tilde = np.where(t[:, None] == 1, after_first, self.beta * (1 - before) / (1 - here))

    def target(self, predicts: str, x_0: Any, x_t: Any, noise: Any) -> Any:
        """Return the target of a net's prediction."""
        return {"eps": noise, "x0": x_0, "mean": self.x0 * x_0 + self.xt * x_t,
                "v": self.signal * noise - self.noise * x_0}[predicts]


def _drawn(rng: np.random.Generator, T: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw β (T,), x₀ (3, 2) on the grid of 256 levels, t at both ends and between, and ε (3, 2)."""
    x_0 = rng.integers(40, 216, (3, 2)) / 127.5 - 1
    return rng.uniform(0.1, 0.4, T), x_0, np.array([1, T, 2]), rng.standard_normal((3, 2))


def check_simple_loss(found: Findings, rng: np.random.Generator) -> None:
    """Check L_simple through q_sample and a net: one number per image, and ∂ by the weights and by x₀."""
    betas, x_0, t, noise = _drawn(rng, 5)
    schedule, m = Schedule.from_betas(betas), Marginals(betas, t)
    config = MLPConfig(dim=2, width=4, depth=2, time_dim=4)
    net = randomise(MLP(config, dtype="float64"), rng)
    for predicts in PREDICTS:
        def expected(w: dict[str, np.ndarray], x_0: np.ndarray, predicts: str = predicts) -> np.ndarray:
            x_t = m.signal * x_0 + m.noise * noise
            return np.mean((m.target(predicts, x_0, x_t, noise) - by_hand.mlp(config, w, x_t, t)) ** 2, axis=1)

        def call(net: Any, x_0: Tensor, predicts: str = predicts) -> Tensor:
            return simple_loss(schedule, net, x_0, t, noise, predicts=predicts)

        check_case(f"L_simple, predicting {predicts}", Case(net, [x_0], call, expected), found, rng)


def check_hybrid_loss(found: Findings, rng: np.random.Generator) -> None:
    """Check L_simple + λ·T·(the bound's term): the prediction's gradient comes from the first, v's from the second."""
    T, weight = 5, 0.25
    betas, x_0, t, noise = _drawn(rng, T)
    schedule, m = Schedule.from_betas(betas), Marginals(betas, t)
    x_t = m.signal * x_0 + m.noise * noise
    for predicts in PREDICTS:
        target = m.target(predicts, x_0, x_t, noise)
        output = np.concatenate((target + 0.3 * rng.standard_normal((3, 2)), rng.uniform(-1, 1, (3, 2))), axis=1)

        def loss(y: Any, predicts: str = predicts) -> Any:
            return hybrid_loss(schedule, lambda x, s: y, x_0, t, noise, predicts=predicts, weight=weight)

        leaf, alone = (Tensor(y, requires_grad=True) for y in (output, output[:, :2].copy()))
        g = rng.standard_normal(3)
        y = loss(leaf)
        simple = simple_loss(schedule, lambda x, s, alone=alone: alone, x_0, t, noise,  # type: ignore[misc]
                             predicts=predicts)
        term = _term(m, predicts, x_0, x_t, output[:, :2], output[:, 2:], t)
        found.equal(f"the hybrid loss, predicting {predicts}", y.data,
                    np.mean((target - output[:, :2]) ** 2, axis=1) + weight * T * term, HELD)
        got = gradients(y, [leaf], g)[0]
        found.equal(f"the hybrid loss: ∂ by the prediction of {predicts}, against that of L_simple alone,", got[:, :2],
                    gradients(simple, [alone], g)[0], 0.0)
        want = np.zeros((3, 2))
        for index in np.ndindex(3, 2):
            moved = output.astype(np.complex128)
            moved[index[0], 2 + index[1]] += 1j * STEP
            want[index] = np.sum(g * np.imag(loss(moved)) / STEP)
        found.equal(f"the hybrid loss, predicting {predicts}: ∂ by v", got[:, 2:], want, HELD)


def _term(m: Marginals, predicts: str, x_0: np.ndarray, x_t: np.ndarray, said: np.ndarray, v: np.ndarray,
          t: np.ndarray) -> np.ndarray:
    """Return the bound's term at t in bits per dimension: (13) at t = 1, else the KL divergence of two Gaussians."""
    x_0_hat = {"eps": (x_t - m.noise * said) / m.signal, "x0": said, "v": m.signal * x_t - m.noise * said,
               "mean": (said - m.xt * x_t) / m.x0}[predicts]
    mean, true = m.x0 * x_0_hat + m.xt * x_t, m.x0 * x_0 + m.xt * x_t
    log_variance = (v + 1) / 2 * np.log(m.beta) + (1 - v) / 2 * np.log(m.beta_tilde)
    share = m.beta_tilde / np.exp(log_variance)
    kl = (share - np.log(share) - 1 + (true - mean) ** 2 / np.exp(log_variance)) / 2
    spread = np.exp(log_variance / 2)
    ends = [(x_0 + side / 255 - mean) / spread for side in (-1, 1)]
    sign = np.where(ends[0] + ends[1] > 0, -1, 1)  # on the side where Φ is small
    probability = np.abs(scipy.special.ndtr(sign * ends[1]) - scipy.special.ndtr(sign * ends[0]))
    return np.mean(np.where(t[:, None] == 1, -np.log(probability), kl), axis=1) / math.log(2)


# The optimiser


def adam_by_hand(theta: Any, grads: list[Any], lr: float, betas: tuple[float, float], eps: float,
                 warmup: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Run Algorithm 1 of Kingma & Ba; yield θ, m and v after every update. A number of gradient nan is left alone."""
    m, v, count = np.zeros(len(theta)), np.zeros(len(theta)), np.zeros(len(theta))  # (P,)
    for k, g in enumerate(grads, 1):
        rate = lr if warmup == 0 else lr * min((k - 1) / warmup, 1.0)
        has = ~np.isnan(g)
        count = count + has
        m = np.where(has, betas[0] * m + (1 - betas[0]) * g, m)
        v = np.where(has, betas[1] * v + (1 - betas[1]) * g**2, v)
        own = np.maximum(count, 1)
        m_hat, v_hat = m / (1 - betas[0] ** own), v / (1 - betas[1] ** own)
        theta = np.where(has, theta - rate * m_hat / (np.sqrt(v_hat) + eps), theta)
        yield theta, m, v


SHAPES = [(3, 4), (5,), (), (2, 1, 3)]
SETTINGS = [  # η, (β₁, β₂), ε, updates of warm-up
    (1e-2, (0.9, 0.999), 1e-8, 0), (0.3, (0.5, 0.9), 1e-2, 0), (0.1, (0.8, 0.95), 1e-3, 4), (1e-2, (0.0, 0.99), 1.0, 1),
]


def check_adam(found: Findings, rng: np.random.Generator) -> None:
    """Check Adam's fused update and its definition, then passes over more numbers than one block."""
    check_updates(found, rng)
    with kernels("reference"):
        check_updates(found, rng)
    check_blocks(found, rng)
    check_shards(found, rng)


def check_updates(found: Findings, rng: np.random.Generator) -> None:
    """Check an update by hand, several by Algorithm 1, one without a gradient, warm-up, and none for inf and nan."""
    check_first_update(found)
    for lr, betas, eps, warmup in SETTINGS:
        leaves = [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in SHAPES]
        start = np.concatenate([p.data.ravel() for p in leaves])
        adam = Adam(leaves, lr, betas, eps, warmup)
        grads = [[rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 2) for shape in SHAPES] for _ in range(8)]
        grads[5][1] = np.full(5, np.nan)  # in this update, p.grad is None
        for row in grads:
            row[0][0, 0] = 0.0  # a weight whose gradient is always 0
        flat = [np.concatenate([g.ravel() for g in row]) for row in grads]
        expected = adam_by_hand(start, flat, lr, betas, eps, warmup)
        for k, (row, want) in enumerate(zip(grads, expected, strict=True), 1):
            for i, (p, g) in enumerate(zip(leaves, row, strict=True)):
                p.grad = None if (k, i) == (6, 1) else g.copy()
            at = f"Adam, η={lr}, β={betas}, ε={eps}, warm-up {warmup}, after update {k}"
            rate = lr if warmup == 0 else lr * min((k - 1) / warmup, 1.0)
            found.equal(f"{at.replace('after', 'before')}: the rate", adam.rate(), rate, 1e-15)
            adam.step()
            for name, got, array in zip(("m", "v", "θ"), (adam.m, adam.v, adam.flat.data), (*want[1:], want[0]),
                                        strict=True):
                found.equal(f"{at}: {name}", got, array, UPDATE)
            if k == 3:
                check_no_update(at, adam, leaves, found)


def check_first_update(found: Findings) -> None:
    """Check the first update from θ = 1: m̂ = g and v̂ = g² for any betas, so θ = 1 − η·g/(|g| + ε)."""
    lr, (b1, b2), eps = 0.1, (0.8, 0.99), 0.5
    for g in (2.0, -0.25):
        p = Tensor(np.array([1.0]), requires_grad=True)
        adam = Adam([p], lr, (b1, b2), eps)
        p.grad = np.array([g])
        adam.step()
        size, root = abs(g), math.sqrt(1 - b2)
        moved = {
            "an update without bias correction": (1 - b1) * g / (root * size + eps),
            "an update whose m alone is corrected": g / (root * size + eps),
            "an update whose v alone is corrected": (1 - b1) * g / (size + eps),
            "ε inside the root": g / math.sqrt(g * g + eps),
            "ε added before the correction of v (ε̂ of the second form)": g * root / (root * size + eps),
            "an update without the root": g / (g * g + eps),
            "a step uphill": -g / (size + eps),
        }
        want, got = 1 - lr * g / (size + eps), float(p.data[0])
        hint = [f"these are the numbers of {what}" for what, d in moved.items() if abs(1 - lr * d - got) < 1e-9]
        right = found.note(abs(got - want), UPDATE)
        found.true(right, f"Adam, η={lr}, β=({b1}, {b2}), ε={eps}, θ=1, g={nice(g)}: θ after one update got "
                          f"{nice(got)}, expected {nice(want)}", hint[0] if hint else "")


def check_no_update(at: str, adam: Adam, leaves: list[Tensor], found: Findings) -> None:
    """Check that a gradient that is not finite changes nothing, including the count of updates."""
    state = [a.copy() for a in (adam.flat.data, adam.m, adam.v, np.asarray(adam.updates))]
    for bad in (np.nan, np.inf, -np.inf):
        for p in leaves:
            p.grad = np.ones(p.shape)
        leaves[1].grad[3] = bad
        adam.step()
        for name, a, b in zip(("θ", "m", "v", "the count"), (adam.flat.data, adam.m, adam.v, adam.updates), state,
                              strict=True):
            found.true(np.array_equal(a, b), f"{at}: a gradient with {bad} in it changes {name}")


def check_blocks(found: Findings, rng: np.random.Generator) -> None:
    """Check an update of more numbers than one block holds."""
    p, g = Tensor(rng.standard_normal(70_001), requires_grad=True), rng.standard_normal(70_001)
    want = p.data - 0.1 * g / (np.abs(g) + 1e-3)
    adam = Adam([p], lr=0.1, eps=1e-3)
    p.grad = g
    adam.step()
    found.equal("Adam of 70,001 numbers, after update 1: θ", p.data, want, UPDATE)


def check_shards(found: Findings, rng: np.random.Generator) -> None:
    """Check that the gradients of a batch's shards add up, a missing gradient counting as 0."""
    flat = Flat([Tensor(np.zeros(shape), requires_grad=True) for shape in SHAPES])
    flat.grad[...] = 7.0  # left from the previous step
    shards = [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(3)]
    want = np.sum([np.concatenate([g.ravel() for g in row]) for row in shards], axis=0)
    want[12:17] -= shards[1][1]
    want[18:24] -= shards[0][3].ravel()
    for i, row in enumerate(shards):
        flat.add([None if (i, k) in ((1, 1), (0, 3)) else g for k, g in enumerate(row)], first=i == 0)
    found.equal("the sum of three parts' gradients", flat.grad, want, UPDATE)


def check_clip(found: Findings, rng: np.random.Generator) -> None:
    """Check that all gradients together are scaled down to the allowed norm, and unchanged if theirs is smaller."""
    for size in (1e-2, 0.3, 1.0, 1e4):
        leaves = [Tensor(np.zeros(shape), requires_grad=True) for shape in SHAPES]
        for p in leaves:
            p.grad = size * rng.standard_normal(p.shape)
        leaves[2].grad = None
        before = [None if p.grad is None else p.grad.copy() for p in leaves]
        norm = math.sqrt(math.fsum(float(x) ** 2 for g in before if g is not None for x in g.ravel()))
        flat = np.concatenate([g.ravel() for g in before if g is not None])
        found.equal(f"the norm of all gradients as one array, of size {size}", global_norm(flat), norm, 1e-14)
        found.equal(f"the norm of all gradients together, of size {size}", clip_grad_norm(leaves, 1.0), norm, 1e-14)
        for p, g in zip(leaves, before, strict=True):
            if g is None:
                found.true(p.grad is None, "a parameter without a gradient was given one by the clip")
                continue
            known = {"a clip by value": np.clip(g, -1, 1), "a clip of each gradient by its own norm":
                     g * min(1.0, 1.0 / np.linalg.norm(g)), "a scale to the norm allowed, where it is less": g / norm}
            want = g * min(1.0, 1.0 / (norm + 1e-6))
            _named(f"the clip to 1 of a gradient of norm {norm:.6g}", p.grad, want, known, found, 1e-13)
    p = Tensor(np.zeros(3), requires_grad=True)
    for bad in (np.nan, np.inf):
        p.grad = np.array([1.0, bad, 2.0])
        clip_grad_norm([p], 1.0)
        found.true(not p.grad.any(), f"a gradient with {bad} in it is clipped to {p.grad.tolist()}, expected zeros")


def check_ema(found: Findings, rng: np.random.Generator) -> None:
    """Check θ̄ ← d·θ̄ + (1 − d)·θ from θ̄ = θ, without bias correction, and no change for a skipped update."""
    for decay in (0.9, 0.999, 0.0, 1.0):
        net = randomise(Linear(3, 2).initialise(dtype="float64"), rng)
        ema = EMA(net, decay)
        average = ema.source.data.copy()
        found.equal("the moving average as it begins", ema.data, average, 0.0)
        for k in range(1, 7):
            randomise(net, rng)
            theta, old = ema.source.data.copy(), average
            average = decay * old + (1 - decay) * theta
            known = {"d and 1 − d exchanged": (1 - decay) * old + decay * theta}
            ema.update(ok=np.asarray(True) if k % 2 else True)
            _named(f"the moving average, d={decay}, after update {k}", ema.data, average, known, found, UPDATE)
            found.equal("the weights after the average was moved", ema.source.data, theta, 0.0)
            ema.update(ok=np.asarray(False))
            ema.update(ok=False)
            _named(f"the moving average, d={decay}, after an update that did not count", ema.data, average, {}, found,
                   UPDATE)
        own = np.concatenate([p.data.ravel() for p in ema.model.parameters()])
        found.equal("the weights of the averaged net", own, ema.data, 0.0)


def _named(what: str, got: np.ndarray, want: np.ndarray, known: dict[str, Any], found: Findings,
           tolerance: float) -> None:
    """Compare arrays; name the mistake if the wrong array is a known one."""
    if np.max(np.abs(got - want)) > tolerance * np.max(np.abs(want)):
        for name, array in known.items():
            if np.allclose(got, array, rtol=1e-7, atol=1e-12):
                index = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.abs(got - want))), want.shape))
                found.note(float(np.max(np.abs(got - want))), tolerance)
                raise Failed(f"{what}, element {list(index)}: got {nice(got[index])}, expected {nice(want[index])}",
                             f"these are the numbers of {name}")
    found.equal(what, got, want, tolerance)


METHOD = "plain NumPy, complex step"
TRAINING: dict[str, tuple[str, float, str, Callable[[Findings, np.random.Generator], None]]] = {
    "grad-loss": ("∂ of L_simple", ALL, METHOD, check_simple_loss),
    "grad-hybrid-loss": ("∂ of the hybrid loss", HELD, METHOD, check_hybrid_loss),
    "adam": ("Adam, with warm-up", UPDATE, "Algorithm 1 in plain NumPy", check_adam),
    "norm-clip": ("clip of the gradients' norm", 1e-13, "plain NumPy", check_clip),
    "ema": ("moving average of the weights", UPDATE, "plain NumPy", check_ema),
}
