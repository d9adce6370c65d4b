"""tinygrad's side of the benchmark: the same net's forward pass, recorded and replayed by its JIT on the CPU.

It is only compared with, never used to compute: it is imported here alone, on demand. Images are (N, C, H, W), as its
convolutions want them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ddpm_np.bench import plain_unet
from ddpm_np.bench.nets import Net
from ddpm_np.check.targets.peers import imported
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import host_state

WHAT = ("forward",)


def why_absent() -> str | None:
    """Return None if tinygrad can be imported and finds its compiler, else the reason in one line."""
    try:
        tinygrad = imported("tinygrad", "tinygrad")
    except ImportError as error:
        return f"tinygrad is not installed: pip install 'ddpm_np[bench]' ({error.__cause__})"
    try:
        (tinygrad.Tensor([1.0], device="CPU") + 1).numpy()
    except (OSError, RuntimeError) as error:
        return f"tinygrad needs clang on the PATH, or its path in CC ({error})"
    return None


class _Operations:
    """`plain_unet.Operations` in tinygrad, on images (N, C, H, W)."""

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: plain_unet.Padding) -> Any:
        (top, bottom), (left, right) = padding
        return x.conv2d(w.permute(3, 2, 0, 1), b, stride=stride, padding=(left, right, top, bottom))

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        return x.linear(w, b)

    def norm(self, x: Any, scale: Any, bias: Any, groups: int, eps: float) -> Any:
        n, c = x.shape[:2]
        h = x.reshape(n, groups, -1).layernorm(eps=eps).reshape(x.shape)
        return h * scale.reshape(1, c, 1, 1) + bias.reshape(1, c, 1, 1)

    def silu(self, x: Any) -> Any:
        return x.silu()

    def shifted(self, x: Any, row: Any) -> Any:
        return x + row.reshape(*row.shape, 1, 1)

    def rows(self, x: Any) -> Any:
        return x.flatten(2).transpose(1, 2)

    def images(self, rows: Any, like: Any) -> Any:
        return rows.transpose(1, 2).reshape(like.shape)

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        return q.scaled_dot_product_attention(k, v)

    def doubled(self, x: Any) -> Any:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def joined(self, x: Any, y: Any) -> Any:
        return x.cat(y, dim=1)

    def dropped(self, x: Any) -> Any:
        return x

    def waves(self, t: Any, omega: np.ndarray) -> Any:
        angle = t.reshape(-1, 1) * _tensor(omega.astype(np.float32))
        return angle.sin().cat(angle.cos(), dim=1)


def _tensor(array: np.ndarray) -> Any:
    return imported("tinygrad", "tinygrad").Tensor(np.ascontiguousarray(array), device="CPU").realize()


def weights_of(model: UNet) -> dict[str, Any]:
    """Return our net's weights as tinygrad's tensors on the CPU, by name."""
    return {name: _tensor(array) for name, array in host_state(model).items()}


def forward(config: UNetConfig, weights: Mapping[str, Any], x: np.ndarray, t: np.ndarray) -> Callable[[], Any]:
    """Return the net's forward pass as a function: by tinygrad's JIT, which has recorded it after two calls."""
    run = imported("tinygrad", "tinygrad").TinyJit(
        lambda x, t: plain_unet.forward(_Operations(), config, weights, x, t).realize())
    inputs = _tensor(x.transpose(0, 3, 1, 2)), _tensor(t.astype(np.float32))

    def call() -> np.ndarray:
        images: np.ndarray = run(*inputs).numpy()
        return images

    return call


def side(what: str, net: Net, workers: int) -> Callable[[], Any]:
    """Return the net's forward pass, the only part that tinygrad has here."""
    plain_unet.check(net.config)
    run = forward(net.config, weights_of(UNet(net.config)), net.images(), net.times())
    for _ in range(2):
        run()
    return run
