"""A net's parameters in one array: views of it, one array for the same parameters, and for how long."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest
from small_run import leaves

from ddpm_np.training.adam import Adam
from ddpm_np.training.flat import Flat


def test_assigning_data_copies_into_the_flat_array():
    """The parameters are views of one array then; assigning copies into it."""
    parameters = leaves()
    adam = Adam(parameters, lr=0.1)
    parameters[1].data = np.arange(5.0)
    assert np.shares_memory(parameters[1].data, adam.flat.data)
    np.testing.assert_array_equal(adam.flat.data[12:17], np.arange(5.0))


def test_invalid_parameters_are_refused():
    with pytest.raises(ValueError, match="there are no parameters to optimise"):
        Adam([])
    mixed = [*leaves("float64", [(2,)]), *leaves("float32", [(2,)])]
    with pytest.raises(TypeError, match="several dtypes: build the net in one"):
        Adam(mixed)


def test_one_flat_for_the_same_parameters():
    parameters = leaves()
    flat = Flat.of(parameters)
    assert Adam(parameters).flat is flat
    with pytest.raises(ValueError, match="optimised together with others already"):
        Adam(parameters[:2])
    with pytest.raises(ValueError, match="in the same order"):
        Adam(parameters[::-1])


def test_a_flat_lives_as_long_as_somebody_holds_it():
    """Then its parameters, whose data they stay, may be optimised otherwise."""
    parameters = leaves()
    adam = Adam(parameters)
    alive, before = weakref.ref(adam.flat), [p.data.copy() for p in parameters]
    gc.disable()
    try:
        del adam
        assert alive() is None
    finally:
        gc.enable()
    other = Adam(parameters[1:])
    for p, data in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.data, data)
    assert Flat.of(parameters[1:]) is other.flat


def test_copies_of_parameters_are_parameters_of_their_own():
    parameters = leaves()
    adam = Adam(parameters)
    copies = [copy.deepcopy(p) for p in parameters]
    other = Adam(copies, lr=0.5)
    assert other.flat is not adam.flat
    before = adam.flat.data.copy()
    for p in copies:
        p.grad = np.ones(p.shape)
    other.step()
    np.testing.assert_array_equal(adam.flat.data, before)
    np.testing.assert_allclose(other.flat.data, before - 0.5, rtol=1e-6)
