"""The rates that `measure` finds are those of the machine; `check` tells good choices from bad ones. No real timing."""

from __future__ import annotations

import pytest

from ddpm_np.autograd.op import are_images_together
from ddpm_np.kernels import calibration, costs
from ddpm_np.kernels.calibration import CHECKED, PATCHES, Product, check, in_turn, measure
from ddpm_np.kernels.costs import DEFAULT, LEAST, MOST, Rates


def planted(rates, best=DEFAULT.tiles):
    """Return a timer of a machine on which the model holds with some rates, and one size of lots is best."""

    def time_of(key):
        if isinstance(key, Product):
            return key.operations / rates.products
        kind, *rest = key
        if kind == "lot":
            return 1.0 + abs(rest[0] - best)
        if kind == "kernel":
            m, c, o = rest
            return (rates.kernel_4 if m == 4 else rates.kernel_2) * c * o
        m, (n, size, c, o) = rest if kind == "tiles" else (0, *rest) if kind == "patches" else key
        if m == 0:
            return n * size**2 * (18 * c * o / rates.products + rates.patches * c)
        tiles, kernel = (rates.tiles_4, rates.kernel_4) if m == 4 else (rates.tiles_2, rates.kernel_2)
        side = -(-size // m) * m
        found = n * side**2 * (2 * ((m + 2) / m) ** 2 * c * o / rates.products + tiles * (c + o) / 2)
        return found if kind == "tiles" else found + kernel * c * o

    return lambda calls, seconds: {key: time_of(key) for key in calls}


@pytest.mark.parametrize("rates", [
    DEFAULT, Rates(40.0, 0.7, 9.0, 2.0, 11.0, 3.0, 1 << 20), Rates(900.0, 3.0, 1.1, 5.0, 80.0, 90.0, 8 << 20)])
def test_planted_rates_are_found(rates):
    assert measure(1.0, planted(rates, rates.tiles)) == pytest.approx(rates, rel=1e-9)


def test_rates_that_cannot_be_are_brought_into_range():
    """Disturbed by other work, the products alone may take longer than the whole."""
    assert measure(1.0, planted(DEFAULT._replace(patches=-1.0, kernel_2=1e9))) == pytest.approx(
        DEFAULT._replace(patches=LEAST.patches, kernel_2=MOST.kernel_2), rel=1e-9)


def test_another_size_of_lots_is_taken_only_where_it_is_clearly_faster():
    usual, other = DEFAULT.tiles, 6 << 20
    for time, expected in ((1.0, usual), (0.98, usual), (0.9, other)):
        assert calibration._best_size({usual: 1.0, other: time, 1 << 20: 2.0}) == expected


def test_the_patches_of_the_measured_shapes_are_cut_evenly():
    for shape in PATCHES:
        count, product = calibration._of_patches(shape)
        assert shape.n % count == 0
        assert count * product.operations == 2 * shape.n * shape.size**2 * 9 * shape.c * shape.o


def test_each_call_computes_what_it_is_named_after():
    """Every call runs, under the rates that it is measured with, with the images of a batch together."""
    seen = []

    def once(calls, seconds):
        assert are_images_together()
        for call in calls.values():
            call()
        seen.extend(calls)
        return planted(DEFAULT)(calls, seconds)

    with costs.using(DEFAULT._replace(tiles=1)):
        assert measure(1.0, once) == pytest.approx(DEFAULT)
    check(DEFAULT, 1.0, once)
    assert len(seen) == len(set(seen))
    assert set(seen) >= {("kernel", 4, 64, 64), ("lot", DEFAULT.tiles), (0, CHECKED[0])}
    assert not are_images_together()


def test_choices_by_right_rates_are_the_fastest_and_by_wrong_ones_are_not():
    machine = Rates(40.0, 0.7, 9.0, 2.0, 11.0, 3.0)
    right, wrong = check(machine, 1.0, planted(machine)), check(DEFAULT, 1.0, planted(machine))
    assert [choice.shape for choice in right] == list(CHECKED)
    assert all(choice.ratio() == 1 for choice in right)
    assert any(choice.ratio() > calibration.WITHIN for choice in wrong)
    for choice, other in zip(right, wrong, strict=True):
        assert choice.by_default == other.chosen
        assert choice.ratio(choice.by_default) == other.ratio()


def test_in_turn_takes_the_median_of_the_calls_after_those_that_fill_the_caches():
    """By a clock that the functions advance: a first call in a turn is slow, and one turn is disturbed."""
    now, calls = [0.0], {"a": 0, "b": 0}

    def advance(name, seconds):
        calls[name] += 1
        now[0] += seconds if calls[name] % 2 == 0 else 10 * seconds  # the second of each turn is timed
        now[0] += 100 if calls[name] == 6 else 0

    found = in_turn({"a": lambda: advance("a", 1.0), "b": lambda: advance("b", 0.5)}, 0.0, lambda: now[0])
    assert found == pytest.approx({"a": 1e9, "b": 0.5e9})
    assert calls == {"a": 10, "b": 10}
    in_turn({"a": lambda: advance("a", 1.0)}, 110.0, lambda: now[0])
    assert calls["a"] == 10 + 2 * 10  # ten turns of eleven seconds
