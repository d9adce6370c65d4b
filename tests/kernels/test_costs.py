"""The model of what a 3×3 convolution costs: its numbers by hand, and how its choice depends on sizes and rates."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_np.kernels.costs import DEFAULT, Rates, least

ROUND = Rates(products=100.0, patches=1.0, tiles_4=3.0, tiles_2=4.0, kernel_4=50.0, kernel_2=20.0)


def by_hand(n, ho, wo, c, o, rates):
    """Return the nanoseconds of patches, F(2×2, 3×3) and F(4×4, 3×3), with 9, 4 and 2.25 multiplications an output."""
    even = n * (ho + ho % 2) * (wo + wo % 2)
    by_four = n * (ho + -ho % 4) * (wo + -wo % 4)
    return {
        0: n * ho * wo * 9 * c * o * 2 / rates.products + n * ho * wo * c * rates.patches,
        2: even * 4 * c * o * 2 / rates.products + even * (c + o) / 2 * rates.tiles_2 + c * o * rates.kernel_2,
        4: by_four * 2.25 * c * o * 2 / rates.products + by_four * (c + o) / 2 * rates.tiles_4 + c * o * rates.kernel_4,
    }


@pytest.mark.parametrize(("sizes", "times", "cheapest"), [
    # 1,024 outputs of 10 channels: 18,432 + 10,240; 8,192 + 40,960 + 2,000; 4,608 + 30,720 + 5,000
    ((4, 16, 16, 10, 10), (28_672, 51_152, 40_328), 0),
    # 1,024 outputs of 100 channels, in thousands: 1,843.2 + 102.4; 819.2 + 409.6 + 200; 460.8 + 307.2 + 500
    ((4, 16, 16, 100, 100), (1_945_600, 1_428_800, 1_268_000), 4),
    # 36 outputs of an image, 64 with whole tiles of 4×4: 64.8 + 3.6; 28.8 + 14.4 + 200; 28.8 + 19.2 + 500
    ((1, 6, 6, 100, 100), (68_400, 243_200, 548_000), 0),
    # the same, 16 images: 1,036.8 + 57.6; 460.8 + 230.4 + 200; 460.8 + 307.2 + 500
    ((16, 6, 6, 100, 100), (1_094_400, 891_200, 1_268_000), 2),
])
def test_times_by_hand(sizes, times, cheapest):
    assert by_hand(*sizes, ROUND) == pytest.approx(dict(zip((0, 2, 4), times, strict=True)), rel=1e-12)
    assert least(*sizes, ROUND) == cheapest


@given(*(st.integers(1, most) for most in (64, 40, 40, 600, 600)))
def test_the_choice_takes_the_least_time(n, ho, wo, c, o):
    for rates in (DEFAULT, ROUND):
        times = by_hand(n, ho, wo, c, o, rates)
        assert times[least(n, ho, wo, c, o, rates)] <= min(times.values()) * (1 + 1e-12)


@given(*(st.integers(1, most) for most in (40, 40, 600, 600)))
def test_more_images_never_speak_for_smaller_tiles_where_sides_are_multiples_of_four(ho, wo, c, o):
    """What larger tiles cost once, their kernel's transform, is shared by more images."""
    ho, wo = 4 * ho, 4 * wo
    chosen = [least(n, ho, wo, c, o) for n in (1, 2, 4, 8, 16, 64, 1 << 20)]
    assert all(more >= fewer for fewer, more in pairwise(chosen))


@given(*(st.integers(1, most) for most in (64, 40, 40, 600)))
def test_one_channel_in_or_out_takes_patches(n, ho, wo, c):
    assert least(n, ho, wo, 1, c) == 0
    assert least(n, ho, wo, c, 1) == 0


def test_rates_decide():
    """Where products cost nothing, patches; where nothing else costs anything, the fewest multiplications."""
    sizes = (16, 32, 32, 128, 128)
    assert least(*sizes, Rates(products=1e9)) == 0
    assert least(*sizes, Rates(patches=0, tiles_4=0, tiles_2=0, kernel_4=0, kernel_2=0)) == 4
    assert least(*sizes, Rates(tiles_4=1e3)) == 2
    assert least(*sizes, Rates(kernel_4=1e6)) == 2
    assert least(*sizes, Rates(tiles_4=1e3, tiles_2=1e3)) == 0
