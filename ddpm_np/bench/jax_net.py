"""JAX's side of the benchmark: the same net in jax.numpy and lax, its step and forward pass each compiled as a whole.

JAX is only compared with, never used to compute: it is imported here alone, on demand. Images and weights have our
layouts, which are XLA's own on a CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ddpm_np.bench import plain_unet
from ddpm_np.bench.nets import Net
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import host_state

WHAT = ("step", "forward")


def _jax() -> Any:
    """Import JAX; it takes the CPU even where there is a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jax
    return jax


def why_absent() -> str | None:
    """Return None if JAX can be imported, else the reason in one line."""
    try:
        _jax()
    except ImportError as error:
        return f"JAX is not installed: pip install 'ddpm_np[bench]' ({error})"
    return None


class _Operations:
    """`plain_unet.Operations` in JAX; dropout needs a key, and None means evaluation."""

    def __init__(self, dropout: float = 0.0, key: Any = None):
        self.jax, self.dropout, self.key = _jax(), dropout, key

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: plain_unet.Padding) -> Any:
        return b + self.jax.lax.conv_general_dilated(x, w, (stride, stride), padding,
                                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return x @ w + b

    def norm(self, x: Any, scale: Any, bias: Any, groups: int, eps: float) -> Any:
        n, height, width, c = x.shape
        h = x.reshape(n, height * width, groups, c // groups)
        mean, var = h.mean((1, 3), keepdims=True), h.var((1, 3), keepdims=True)
        return ((h - mean) * self.jax.lax.rsqrt(var + eps)).reshape(x.shape) * scale + bias

    def silu(self, x: Any) -> Any:
        return self.jax.nn.silu(x)

    def shifted(self, x: Any, row: Any) -> Any:
        return x + row[:, None, None, :]

    def rows(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1, x.shape[3])

    def images(self, rows: Any, like: Any) -> Any:
        return rows.reshape(like.shape)

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        return self.jax.nn.softmax(q @ k.swapaxes(1, 2) * q.shape[2] ** -0.5, axis=-1) @ v

    def doubled(self, x: Any) -> Any:
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def joined(self, x: Any, y: Any) -> Any:
        return self.jax.numpy.concatenate((x, y), axis=3)

    def dropped(self, x: Any) -> Any:
        if self.key is None or self.dropout == 0:
            return x
        self.key, own = self.jax.random.split(self.key)
        keep = 1 - self.dropout
        return self.jax.numpy.where(self.jax.random.bernoulli(own, keep, x.shape), x / keep, 0)

    def waves(self, t: Any, omega: np.ndarray) -> Any:
        angle = t[:, None] * omega.astype(np.float32)
        return self.jax.numpy.concatenate((self.jax.numpy.sin(angle), self.jax.numpy.cos(angle)), axis=1)


def weights_of(model: UNet) -> dict[str, Any]:
    """Return our net's weights as JAX's arrays on the CPU, by name."""
    jax = _jax()
    cpu = jax.devices("cpu")[0]
    return {name: jax.device_put(np.ascontiguousarray(array), cpu) for name, array in host_state(model).items()}


def forward(config: UNetConfig, weights: Mapping[str, Any], x: np.ndarray, t: np.ndarray) -> Callable[[], Any]:
    """Return the net's forward pass as a function: compiled, evaluation mode."""
    jax = _jax()
    cpu = jax.devices("cpu")[0]
    run = jax.jit(lambda p, x, t: plain_unet.forward(_Operations(), config, p, x, t))
    inputs = jax.device_put((x, t.astype(np.float32)), cpu)
    return lambda: run(weights, *inputs).block_until_ready()


def training(config: UNetConfig, weights: Mapping[str, Any], x: np.ndarray) -> Callable[[], float]:
    """Return a whole training step as a compiled function: draws, forward, backward, clip, Adam, EMA."""
    jax = _jax()
    jnp, cpu, tree = jax.numpy, jax.devices("cpu")[0], jax.tree.map
    alpha_bar = linear_schedule(1000).alpha_bar.astype(np.float32)

    def loss_of(p: Any, key: Any, x_0: Any) -> Any:
        of_t, of_noise, of_dropout = jax.random.split(key, 3)
        t = jax.random.randint(of_t, (len(x_0),), 1, 1001)
        noise = jax.random.normal(of_noise, x_0.shape)
        a = jnp.asarray(alpha_bar)[t][:, None, None, None]
        x_t = jnp.sqrt(a) * x_0 + jnp.sqrt(1 - a) * noise
        eps = plain_unet.forward(_Operations(config.dropout, of_dropout), config, p, x_t, t.astype(jnp.float32))
        return ((eps - noise) ** 2).mean()

    def step(state: Any, x_0: Any) -> tuple[Any, Any]:
        p, m, v, average, k, key = state
        key, own = jax.random.split(key)
        loss, g = jax.value_and_grad(loss_of)(p, own, x_0)
        norm = jnp.sqrt(sum((each**2).sum() for each in jax.tree.leaves(g)))
        g = tree(lambda g: g * jnp.minimum(1.0, 1.0 / (norm + 1e-6)), g)
        k = k + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        p = tree(lambda p, m, v: p - 2e-4 * (m / (1 - 0.9**k)) / (jnp.sqrt(v / (1 - 0.999**k)) + 1e-8), p, m, v)
        average = tree(lambda a, p: a + 1e-4 * (p - a), average, p)
        return (p, m, v, average, k, key), loss

    compiled = jax.jit(step, donate_argnums=0)
    x_0 = jax.device_put(x, cpu)
    p, average = (tree(lambda w: jax.device_put(np.array(w), cpu), dict(weights)) for _ in range(2))  # own: donated
    m, v = (tree(jnp.zeros_like, p) for _ in range(2))
    state: Any = (p, m, v, average, *jax.device_put((np.float32(0), jax.random.key(0)), cpu))

    def run() -> float:
        nonlocal state
        state, loss = compiled(state, x_0)
        return float(loss)

    return run


def side(what: str, net: Net, workers: int) -> Callable[[], Any]:
    """Return the net's training step or forward pass; XLA takes as many threads as there are CPUs."""
    plain_unet.check(net.config)
    weights = weights_of(UNet(net.config))
    return training(net.config, weights, net.images()) if what == "step" else forward(
        net.config, weights, net.images(), net.times())
