"""Checks of arguments: what is taken, what is refused, and in which words."""

import re

import numpy as np
import pytest

from ddpm_np import arguments


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7), np.array(7), 2**53])
def test_a_count_is_an_int_of_any_kind(value):
    found = arguments.count("n", value)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize(("value", "error", "words"), [
    (0, ValueError, "n must be at least 1, got 0"),
    (-1, ValueError, "n must be at least 1, got -1"),
    (2**53 + 1, ValueError, "n must be from 1 to 9,007,199,254,740,992, got 9007199254740993"),
    (2.0, TypeError, "n must be an int, got 2.0"),
    (True, TypeError, "n must be an int, got True"),
    ("3", TypeError, "n must be an int, got '3'"),
    (None, TypeError, "n must be an int, got None"),
    (float("nan"), TypeError, "n must be an int, got nan"),
])
def test_what_is_no_count(value, error, words):
    with pytest.raises(error) as caught:
        arguments.count("n", value)
    assert str(caught.value) == words


def test_the_limits_of_a_count_belong_to_it():
    assert arguments.count("k", 0, least=0) == 0
    assert [arguments.count("k", k, 2, 4) for k in (2, 3, 4)] == [2, 3, 4]
    for k in (1, 5):
        with pytest.raises(ValueError, match=f"k must be from 2 to 4, got {k}: draw more$"):
            arguments.count("k", k, 2, 4, "draw more")


@pytest.mark.parametrize("value", [0, 1, 2**64 - 1, np.uint64(2**64 - 1), np.int32(5)])
def test_a_seed_has_64_bits(value):
    assert arguments.seed(value) == int(value)


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, None, "1", True])
def test_what_is_no_seed(value):
    with pytest.raises(ValueError, match=r"seed must be an int from 0 to 2\*\*64 - 1, got "):
        arguments.seed(value)


@pytest.mark.parametrize(("limits", "inside", "outside", "words"), [
    ({"above": 0}, [1e-300, 1, np.float32(2)], [0, -1], "positive"),
    ({"least": 0}, [0, 5], [-1e-300], "at least 0"),
    ({"least": 0, "most": 1}, [0, 1], [-0.1, 1.1], "from 0 to 1"),
    ({"least": 0, "below": 1}, [0, 0.999], [1, -1], "at least 0 and below 1"),
    ({}, [-1e300], [], "a finite number"),
])
def test_the_limits_of_a_number(limits, inside, outside, words):
    for value in inside:
        assert arguments.number("x", value, **limits) == value
    for value in [*outside, float("nan"), float("inf"), -float("inf"), 10**400]:
        with pytest.raises(ValueError, match=re.escape(f"x must be {words}, got {value}") + "$"):
            arguments.number("x", value, **limits)
    for value in ("1", None, True, [1], 1j):
        with pytest.raises(TypeError, match="x must be a number, got "):
            arguments.number("x", value, **limits)


def test_one_of_compares_values_of_one_type():
    arguments.one_of("name", "a", ("a", "b"))
    for value in ("c", None, 1, np.zeros(3), ["a"]):
        with pytest.raises(ValueError, match="name must be one of 'a', 'b', got "):
            arguments.one_of("name", value, ("a", "b"))
