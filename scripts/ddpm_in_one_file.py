"""The whole of DDPM (Ho et al. 2020) on points in the plane, in one page of NumPy: python scripts/ddpm_in_one_file.py

tests/scripts/test_ddpm_in_one_file.py holds each function equal to the package's.
"""

from __future__ import annotations

import numpy as np


def schedule(T: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """β_t in equal steps, α_t = 1 − β_t, ᾱ_t = α_1⋯α_t and β̃_t of (7); index t, with ᾱ₀ = 1."""
    beta = np.append(0, np.linspace(1e-4, 0.02, T) * 1000 / T)
    alpha = 1 - beta
    alpha_bar = np.cumprod(alpha)
    beta_tilde = np.append(0, (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]) * beta[1:])
    return beta, alpha, alpha_bar, beta_tilde


def noised(x_0: np.ndarray, t: np.ndarray, noise: np.ndarray, alpha_bar: np.ndarray) -> np.ndarray:
    """(4): x_t = √ᾱ_t·x₀ + √(1 − ᾱ_t)·ε."""
    kept = alpha_bar[t][:, None]
    return np.sqrt(kept) * x_0 + np.sqrt(1 - kept) * noise


def embedding(t: np.ndarray, dim: int = 32) -> np.ndarray:
    """Sines and cosines of t − 1 at dim/2 frequencies from 1 to 10⁻⁴."""
    angle = (t - 1)[:, None] * np.exp(-np.log(1e4) * np.arange(dim // 2) / (dim // 2 - 1))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def first_weights(rng: np.random.Generator, width: int = 64, depth: int = 4) -> list[np.ndarray]:
    """Three arrays a layer, W, V and b of h ← SiLU(h W + e V + b), and the last layer's W and b, almost 0."""
    def uniform(d_in: int, d_out: int, scale: float = 1.0) -> np.ndarray:
        return rng.uniform(-1, 1, (d_in, d_out)) * np.sqrt(6 * scale / (d_in + d_out))
    weights = []
    for i in range(depth):
        weights += [uniform(2 if i == 0 else width, width, 100 if i == 0 else 1), uniform(32, width), np.zeros(width)]
    return [*weights, uniform(width, 2, 1e-10), np.zeros(2)]


def forward(weights: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, list]:
    """ε_θ(x_t, t), and for each layer what its gradient needs: (input, a, σ(a)), a being SiLU's input."""
    h, e, kept = x, embedding(t), []
    for W, V, b in zip(*[iter(weights[:-2])] * 3, strict=True):
        a = h @ W + e @ V + b
        s = 1 / (1 + np.exp(-a))
        kept.append((h, a, s))
        h = a * s
    return h @ weights[-2] + weights[-1], [e, h, kept]


def gradients(weights: list[np.ndarray], g: np.ndarray, saved: list) -> list[np.ndarray]:
    """The gradients of the weights from that of the output, g: the chain rule from the last layer to the first."""
    e, last, kept = saved
    found = [last.T @ g, g.sum(0)]
    g = g @ weights[-2].T
    for i, (h, a, s) in reversed(list(enumerate(kept))):
        g = g * (s + a * s * (1 - s))  # SiLU's derivative
        found = [h.T @ g, e.T @ g, g.sum(0), *found]
        g = g @ weights[3 * i].T
    return found


def loss_and_gradients(weights: list[np.ndarray], x_0: np.ndarray, t: np.ndarray, noise: np.ndarray,
                       alpha_bar: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """(14): the mean of (ε_θ(x_t, t) − ε)² over points and coordinates."""
    prediction, saved = forward(weights, noised(x_0, t, noise, alpha_bar), t)
    error = prediction - noise
    return float(np.mean(error**2)), gradients(weights, 2 * error / error.size, saved)


def adam(weights: list, grads: list, m: list, v: list, k: int, lr: float) -> None:
    """Adam's update number k, in place (Kingma & Ba 2015)."""
    for i, g in enumerate(grads):
        m[i] += 0.1 * (g - m[i])
        v[i] += 0.001 * (g**2 - v[i])
        weights[i] -= lr * (m[i] / (1 - 0.9**k)) / (np.sqrt(v[i] / (1 - 0.999**k)) + 1e-8)


def train(points: np.ndarray, steps: int, T: int = 100, batch: int = 256, lr: float = 2e-3,
          seed: int = 0) -> list[np.ndarray]:
    """Algorithm 1."""
    rng, alpha_bar = np.random.default_rng(seed), schedule(T)[2]
    weights = first_weights(rng)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for k in range(1, steps + 1):
        x_0 = points[rng.integers(len(points), size=batch)]
        t, noise = rng.integers(1, T + 1, batch), rng.standard_normal((batch, 2))
        loss, grads = loss_and_gradients(weights, x_0, t, noise, alpha_bar)
        adam(weights, grads, m, v, k, lr * min(1, 2 * (1 - k / steps)))
        if k % 1000 == 0:
            print(f"step {k}: loss {loss:.3f}", flush=True)
    return weights


def reverse_step(weights: list[np.ndarray], x_t: np.ndarray, t: int, z: np.ndarray, T: int) -> np.ndarray:
    """Line 4 of Algorithm 2, which is (11) plus σ_t·z, with σ_t² = β̃_t."""
    beta, alpha, alpha_bar, beta_tilde = schedule(T)
    eps, _ = forward(weights, x_t, np.full(len(x_t), t))
    return (x_t - beta[t] / np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha[t]) + np.sqrt(beta_tilde[t]) * z


def sample(weights: list[np.ndarray], n: int, T: int = 100, seed: int = 1) -> np.ndarray:
    """Algorithm 2."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    for t in range(T, 0, -1):
        x = reverse_step(weights, x, t, rng.standard_normal((n, 2)), T)
    return x


def swiss_roll(n: int, seed: int = 2) -> np.ndarray:
    """Points of variance about 1 along a spiral."""
    rng = np.random.default_rng(seed)
    u = 1.5 * np.pi * (1 + 2 * rng.random(n))
    return np.stack([u * np.cos(u), u * np.sin(u)], axis=1) / 7 + 0.05 * rng.standard_normal((n, 2))


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    data = swiss_roll(4000)
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
    for axis, points, title in zip(axes, (data, sample(train(data, 8000), 4000)), ("data", "samples"), strict=True):
        axis.scatter(*points.T, s=2)
        axis.set(title=title, aspect="equal")
    figure.savefig("ddpm_in_one_file.png")
    print("ddpm_in_one_file.png")
