"""Imports every module with calls, which registers them."""

from __future__ import annotations

from ddpm_live import checking, course  # noqa: F401


def first_use() -> None:
    """Use what pages use, so that everything it imports has been imported."""
    for _ in checking.check({}, []):
        pass
