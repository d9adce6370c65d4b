"""Which part of a function's result is the one that a method returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.check.find.calling import ASKED, LAST, Reading
from ddpm_np.check.find.roles import ROLES, Probe, Role, probe, wanted

NEAR = 2e-4  # of the largest number expected: tables in single precision are as near, no wrong formula is


def near(got: np.ndarray, want: np.ndarray) -> bool:
    """Return whether numbers are those expected, up to single precision."""
    return got.shape == want.shape and bool(
        np.isfinite(got).all() and np.abs(got - want).max(initial=0.0) <= NEAR * np.abs(want).max(initial=0.0))



def spread(array: np.ndarray, like: np.ndarray) -> np.ndarray | None:
    """Return one number for each image, or for each element, in the images' shape; None if it does not fit."""
    if array.shape[:1] != like.shape[:1]:
        return None
    if array.size == len(like):
        return np.broadcast_to(array.reshape(-1, *[1] * (like.ndim - 1)), like.shape)
    return array.reshape(like.shape) if array.size == like.size else None



def part_of(found: dict[Any, np.ndarray], want: np.ndarray, role: Role) -> tuple[Any, float] | None:
    """Return the key of the part that is expected, and a factor that makes it so: 2 for (x + 1)/2, which is undone."""
    want = np.asarray(want)
    for key, array in found.items():
        if array.size == want.size and array.dtype.kind == "f" and (key != ASKED or role.name == "q_sample"):
            value = array.reshape(want.shape).astype(np.float64)
            if near(value, want):
                return key, 1.0
            if role.name == "sample" and near(2 * value - 1, want):
                return key, 2.0
    return None



def first_part(found: dict[Any, np.ndarray], want: np.ndarray, role: Role) -> tuple[Any, np.ndarray] | None:
    """Return the part that can be a method's result: floating, of its size, and the first of those."""
    for key, array in found.items():
        if key == ASKED and role.name != "q_sample":
            continue
        if array.size == want.size and array.dtype.kind == "f" and array.shape[:1] == want.shape[:1]:
            return key, array.reshape(want.shape).astype(np.float64)
    return None



def x0_part(found: dict[Any, np.ndarray], which: int) -> dict[str, Any]:
    """Return the key of a step's x̂₀ if it returns one, and whether that is clipped."""
    want = wanted("p_mean_variance", which)
    for clip in (False, True):
        here = part_of({k: v for k, v in found.items() if k not in (ASKED, LAST)}, want["small", clip][2],
                    ROLES["predict_x0"])
        if here is not None:
            return {"x0": here[0], "clipped": clip}
    return {}



def variance_part(found: dict[Any, np.ndarray], want: np.ndarray, p: Probe) -> dict[str, Any] | None:
    later = p.t > 1
    logs = {}
    for key, array in found.items():
        value = spread(array, p.values["x_t"])
        if value is None or key == ASKED:
            continue
        with np.errstate(over="ignore"):
            exponential = np.exp(value[later])
        if near(exponential, want[later]):
            logs = {"log_variance": key}
        elif near(value[later], want[later]) and not logs:
            logs = {"variance": key}
    return logs or None



def by_place(function: str, found: dict[Any, np.ndarray]) -> dict[str, Any]:
    """Return the parts of a result that the function's name, or their own names, tell, whatever their numbers are."""
    keys = [key for key in found if key not in (ASKED, LAST)]
    if "mean_variance" not in function:
        return {}
    if keys[:3] == [(0,), (1,), (2,)] and all(found[key].shape[:1] == found[0,].shape[:1] for key in keys[:3]):
        return {"value": (0,), "variance": (1,), "log_variance": (2,)}
    usual = {"value": ("mean",), "variance": ("variance",), "log_variance": ("log_variance",), "x0": ("pred_xstart",)}
    return usual if all(key in found for key in usual.values()) else {}



def loss_part(reading: Reading, found: dict[Any, np.ndarray], want: np.ndarray) -> Reading | None:
    """Take a loss for each image, for each element, or for a batch of one."""
    elements = probe("simple_loss").values["x_0"][0].size
    for key, array in found.items():
        if key in (ASKED, LAST) or array.dtype.kind != "f" or array.shape[:1] != want.shape:
            continue
        value = array.reshape(len(want), -1).astype(np.float64)
        if near(value.mean(axis=1), want):
            return reading.changed(parts={"value": key})
        if value.shape[1] == 1 and near(value[:, 0] / elements, want):
            return reading.changed(parts={"value": key, "sum": True})
    return None



def another_process(coefficients: np.ndarray) -> bool:
    """Return whether x_t is x₀ plus noise, or lies on a line between them: other processes, and no mistakes."""
    signal, noise = coefficients[:, 0], coefficients[:, 1]
    return bool(np.allclose(signal, 1, rtol=1e-4) or np.allclose(signal + noise, 1, rtol=1e-4))

