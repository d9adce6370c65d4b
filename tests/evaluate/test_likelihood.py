"""Bits per dimension: the terms are those of the bound, and the result states what it depends on."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from random_net import SCHEDULE, T, net

from ddpm_np import diffusion
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.data import digits
from ddpm_np.evaluate.likelihood import Likelihood, likelihood
from ddpm_np.sampling import ImageGenerator


@pytest.fixture(scope="module")
def model():
    return net()


@pytest.fixture(scope="module")
def result(model):
    pretrained = SimpleNamespace(model=model, ema=SimpleNamespace(model=model), schedule=SCHEDULE,
                                 config=Config(model.config, DiffusionConfig(variance="small")))
    generator = ImageGenerator(pretrained)
    return generator, likelihood(generator, digits(), 7, split="train", batch_size=3, step=9)


def test_likelihood_terms_are_those_of_the_bound(result):
    generator, found = result
    index = np.sort(np.random.default_rng(0).permutation(1797)[:7])
    parts = []
    for first in range(0, 7, 3):
        rows = index[first:first + 3]
        x_0 = digits().scaled(rows)
        noises = np.stack([generator.backend.normal(0, "evaluate", t, first, len(rows), (8, 8, 1), "float32")
                           for t in range(T + 1)])
        parts.append({clip: diffusion.vlb(dataclasses.replace(generator.reverse_of(len(rows)), clip=clip), x_0, noises,
                                          levels=17) for clip in (False, True)})
    for clip, curve in ((False, found.unclipped), (True, found.clipped)):
        bits = np.concatenate([part[clip] for part in parts]).astype(np.float64)
        assert abs(curve.bits - bits.mean()) < 1e-4 * abs(bits.mean())
        assert abs(curve.error - bits.std(ddof=1) / 7**0.5) < 1e-3 * curve.error
        assert abs(sum(curve.terms) - curve.bits) < 1e-9 * abs(curve.bits)
        assert abs(sum(curve.parts.values()) - curve.bits) < 1e-9 * abs(curve.bits)
        assert len(curve.terms) == len(curve.rate) == len(curve.distortion) == T + 1
        assert curve.distortion[0] == 0
        assert curve.terms[-1] == curve.rate[T]
    assert found.unclipped.bits != found.clipped.bits


def test_a_result_states_its_settings_and_round_trips_through_json(result):
    found = result[1]
    again = Likelihood.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    for word in ("7 images of digits train", "17 levels", "T = 12", "variance small", "ema weights after 9 steps",
                 "not clipped", "L_T", "L_0", "±"):
        assert word in str(found)


@pytest.mark.parametrize("count", [0, 1798])
def test_more_images_than_the_data_set_has_are_refused(result, count):
    with pytest.raises(ValueError, match=f"images must be from 1 to 1,797, got {count}: 'digits' has no more"):
        likelihood(result[0], digits(), count)
