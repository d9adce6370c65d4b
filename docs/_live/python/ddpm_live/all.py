"""Imports every module with calls, which registers them."""

from __future__ import annotations

from ddpm_live import checking, digits, sliders, toys, walks  # noqa: F401
