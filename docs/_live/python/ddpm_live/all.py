"""Imports every module with calls, which registers them."""

from __future__ import annotations

from ddpm_live import checking, course, digits, sliders, toys, walks  # noqa: F401 - an import registers the calls


def first_use() -> None:
    """Use what pages use, so that everything it imports has been imported."""
    for items in (checking.check({}, []), checking.check_further("7", 1), digits.draw_digits(1, 2),
                  toys.train_toy(steps=toys.LEAST)):
        for _ in items:
            pass
