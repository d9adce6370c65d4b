"""The nets of the benchmark and their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ddpm_np.models import UNetConfig


@dataclass(frozen=True)
class Net:
    """A net and the batch that it is measured with.

    Parameters
    ----------
    name : str
        Name in tables.
    config : UNetConfig
        Configuration of the net.
    batch : int
        Images in a training step, a forward pass and a sampling run.
    sampling : int
        Steps of a sampling run.
    """

    name: str
    config: UNetConfig
    batch: int
    sampling: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (N, H, W, C) of a batch."""
        return (self.batch, *self.config.size, self.config.in_channels)

    def images(self) -> np.ndarray:
        """Return a batch in [−1, 1], the same at each call: (N, H, W, C) float32."""
        return np.random.default_rng(0).uniform(-1, 1, self.shape).astype(np.float32)

    def times(self) -> np.ndarray:
        """Return t of a batch, evenly spaced over 1..1000: (N,)."""
        return np.linspace(1, 1000, self.batch).round().astype(np.int64)


NETS = {
    "8": Net("8×8×1, 32 channels", UNetConfig(8, 1, 32, (1, 2), 1, (4,), dropout=0.1), 64, 100),
    "28": Net("28×28×1, 32 channels", UNetConfig(28, 1, 32, (1, 2, 2), 2, (7,), dropout=0.1), 32, 50),
    "32": Net("32×32×3, 128 channels", UNetConfig.preset("cifar10"), 4, 20),
}
