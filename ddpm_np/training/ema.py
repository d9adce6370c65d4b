"""The exponential moving average of a net's weights."""

from __future__ import annotations

from typing import Any

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.nn import Module
from ddpm_np.training.flat import Flat, blocks


class EMA:
    """The exponential moving average of a net's weights, itself a net: ``ema.model``.

    θ̄ ← d·θ̄ + (1 − d)·θ after each update, from θ̄ = θ; no debias; weights only (Ho et al. 2020, appendix B).

    Parameters
    ----------
    model
        The net that is trained.
    decay
        d; a short run needs a smaller one than the paper's 0.9999, of which 2,000 updates leave 82 % of the start.
    """

    def __init__(self, model: Module, decay: float = 0.9999):
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be in [0, 1], got {decay}")
        self.decay = decay
        self.source = Flat.of(model.parameters())
        self.data = self.source.buffer()  # (P,)
        self.data[...] = self.source.data
        views = self.source.views(self.data)
        self.model = model.clone(lambda p: Tensor(next(views))).eval()

    def share(self, ok: Any = True) -> Any:
        """1 − d; 0 where the 0-d flag `ok` is false."""
        share = 1 - self.decay
        xp = self.source.xp
        return share * ok if isinstance(ok, bool) else xp.astype(xp.where(ok, share, 0.0), self.data.dtype)

    def move(self, block: slice, share: Any) -> None:
        """Move a block of the average towards the weights."""
        average = self.data[block]
        average += share * (self.source.data[block] - average)

    def update(self, ok: Any = True) -> None:
        """Move the average towards the weights, unless the 0-d flag `ok` is false."""
        share = self.share(ok)
        for block in blocks(self.data):
            self.move(block, share)
