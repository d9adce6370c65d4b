"""The net that code under the checker asks: it answers for a model of the paper's t, and says what it was asked.

Code hands its net a step, a step divided by T, or the noise level √ᾱ; each is turned back into the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.check.calls import Wrong

Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Hook:
    """What all stand-in nets of one object share.

    Parameters
    ----------
    betas : array
        β₁..β_T.

    Attributes
    ----------
    ask : callable
        ``(x, t) -> output``, with the paper's t.
    shape : tuple
        Shape in which `ask` gets its x.
    base : int
        The first step of the code's t.
    second : array or None
        The other half of the output's channels, for code that learns the variance: v of each number, or one for all.
    asked : list
        What the net was asked: (x in the code's layout, t).
    drawn : int
        How often the code drew normal numbers in the last call.
    """

    def __init__(self, betas: np.ndarray):
        self.betas, self.T, self.levels = betas, len(betas), np.sqrt(np.cumprod(1 - betas))
        self.ask: Ask = lambda x, t: 0 * x
        self.shape: tuple[int, ...] = ()
        self.base = 0
        self.second: np.ndarray | None = None
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []
        self.drawn = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        arrays = [a for a in [*args, *options.values()] if hasattr(a, "shape") or isinstance(a, (int, float))]
        if len(arrays) < 2:
            raise NotImplementedError("the net is called without a step")
        x, t = np.array(_plain(arrays[0]), dtype=np.float64), np.asarray(_plain(arrays[1]))
        steps = np.broadcast_to(self.steps(t.ravel()), x.shape[:1]).astype(np.int64)
        self.asked.append((x, steps))
        out = np.asarray(self.ask(x.reshape(self.shape or x.shape), steps)).reshape(x.shape)
        if self.second is not None:
            out = np.concatenate([out, np.broadcast_to(self.second, out.size).reshape(out.shape)], axis=1)
        if type(arrays[0]).__module__.startswith("torch"):
            import torch

            return torch.from_numpy(np.array(out))
        return np.array(out)

    def steps(self, t: np.ndarray) -> np.ndarray:
        """Return the paper's t of what a net was given."""
        values = np.asarray(t, dtype=np.float64) + 0.0
        whole = np.abs(values - np.round(values)) < 1e-6
        first, last = self.base, self.base + self.T - 1
        if whole.all() and not (self.T > 1 and t.dtype.kind == "f" and ((values > 0) & (values <= 1)).all()
                                and self.fractions and self.base == 1):
            steps = np.round(values) - self.base + 1
        else:
            scaled = values * self.T
            if (np.abs(scaled - np.round(scaled)) < 1e-4).all():
                self.fractions = True
                steps = np.round(scaled) - self.base + 1
            else:
                apart = np.abs(values[:, None] - self.levels[None, :])
                if (apart.min(axis=1) > 1e-5).any():
                    raise NotImplementedError("the net is given a time that is neither t, t/T nor √ᾱ_t")
                steps = np.argmin(apart, axis=1) + 1.0
        if (steps < 1).any() or (steps > self.T).any():
            wrong = steps[(steps < 1) | (steps > self.T)][0] - 1 + self.base
            raise Wrong(f"the net was asked at t = {wrong:.0f}, outside {first}..{last}")
        return steps

    fractions = False

    def __deepcopy__(self, memo: Any) -> Hook:
        return self


class PlainNet:
    """A net for code without PyTorch."""

    def __init__(self, hook: Hook):
        self.hook = hook

    def __call__(self, *args: Any, **options: Any) -> Any:
        options.pop("training", None)
        return self.hook(*args, **options)

    forward = predict = apply = __call__

    def eval(self) -> PlainNet:
        return self

    def train(self, mode: bool = True) -> PlainNet:
        return self


def net(hook: Hook, torch: Any = None) -> Any:
    """Return a net that asks a hook.

    Parameters
    ----------
    hook : Hook
        The hook.
    torch : module or None
        PyTorch, for a ``torch.nn.Module``.

    Returns
    -------
    object
        The net.
    """
    if torch is None:
        return PlainNet(hook)

    class TorchNet(torch.nn.Module):
        in_channels = channels = 1
        self_condition = False

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.hook = hook

        def forward(self, *args: Any, **options: Any) -> Any:
            return hook(*args, **options)

    return TorchNet()


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
