"""The exponential moving average of a net's weights."""

from __future__ import annotations

import copy
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array
from ddpm_np.nn import Module
from ddpm_np.training.flat import Flat, blocks


class EMA:
    """The exponential moving average of a net's weights: a net of its own, ``ema.model``.

    θ̄ ← d·θ̄ + (1 − d)·θ after each update, starting from θ̄ = θ, without bias correction; of the parameters only. Other
    attributes of the averaged net are those that the net had when the average was made.

    Parameters
    ----------
    model : Module
        The net being trained.
    decay : float
        d. A short run needs a smaller one than the paper's 0.9999: after 2,000 updates with that, 82 % of the average
        are still the initial weights.

    Attributes
    ----------
    model : Module
        A net with the averaged weights, in evaluation mode.
    data : array of shape (P,)
        The averaged weights, end to end.

    Raises
    ------
    ValueError
        If the decay is out of range.

    Notes
    -----
    Ho et al. (2020), appendix B. Verified by ``ddpm-np check --equation ema``.

    Examples
    --------
    >>> from ddpm_np.nn import Linear
    >>> layer = Linear(1, 1).initialise()
    >>> layer.weight.data = [[1.0]]
    >>> ema = EMA(layer, decay=0.9)
    >>> layer.weight.data = [[2.0]]
    >>> ema.update()
    >>> ema.model.weight.data
    array([[1.1]], dtype=float32)
    """

    def __init__(self, model: Module, decay: float = 0.9999):
        model.check_parts()
        self.decay = arguments.number("decay", decay, least=0, most=1)
        self.source = Flat.of(model.parameters())
        self.data = self.source.buffer()  # (P,)
        self.data[...] = self.source.data
        views = self.source.views(self.data)
        self.model = model.clone(lambda p: Tensor(next(views))).eval()

    def __copy__(self) -> EMA:
        """Return a deep copy, since the averaged net has views of one array."""
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.data = self.source.buffer()  # in memory that worker processes share
        self.data[...] = state["data"]
        for p, view in zip(self.model.parameters(), self.source.views(self.data), strict=True):
            p._data = view

    def share(self, ok: Array | bool = True) -> Array | float:
        """Return the share of the new weights in the average: 1 − d.

        Parameters
        ----------
        ok : bool, or bool array of shape ()
            Whether the update counts.

        Returns
        -------
        float, or array of shape ()
            1 − d; 0 where `ok` is false.
        """
        share = 1 - self.decay
        xp = self.source.xp
        return share * ok if isinstance(ok, bool) else xp.astype(xp.where(ok, share, 0.0), self.data.dtype)

    def move(self, block: slice, share: Array | float) -> None:
        """Update one block of the average.

        Parameters
        ----------
        block : slice
            Of the flat arrays.
        share : float, or array of shape ()
            1 − d, from `share`.
        """
        average = self.data[block]
        average += share * (self.source.data[block] - average)

    def update(self, ok: Array | bool = True) -> None:
        """Update the average after an update of the weights.

        Parameters
        ----------
        ok : bool, or bool array of shape ()
            If false, nothing changes.
        """
        share = self.share(ok)
        for block in blocks(self.data):
            self.move(block, share)
