"""Chains of n of the T steps as they are found wrong in published code: each mistake fails and is named."""

from __future__ import annotations

import numpy as np
import pytest
from reference_target import Reference

from ddpm_np.check import CONVENTION, FAIL, PASS, UNVERIFIED, run


class Fewer(Reference):
    """The reference with a chain over its timesteps, written by the marginals at both ends of a step."""

    def pairs(self, n):
        steps = self.timesteps(n)
        return [*zip(steps, [*steps[1:], 0], strict=True)]

    def noise(self, noises, i):
        return noises[i] if i > 1 else 0.0

    def asked(self, t):
        return t

    def sample_fewer(self, model, x_T, noises, n, variance="small", clip=False):
        x, pairs = x_T, self.pairs(n)
        for i, (t, s) in zip(range(n, 0, -1), pairs, strict=False):
            eps = model(x, np.full(len(x), self.asked(t)))
            x0 = (x - np.sqrt(self.level[t]) * eps) / np.sqrt(self.abar[t])
            x0 = np.clip(x0, -1, 1) if clip else x0
            beta = 1 - self.abar[t] / self.abar[s]
            sigma2 = beta * self.level[s] / self.level[t] if variance == "small" else beta
            x = (np.sqrt(self.abar[s]) * beta * x0 + np.sqrt(1 - beta) * self.level[s] * x) / self.level[t] + (
                np.sqrt(sigma2) * self.noise(noises, i))
        return x


class StepsOfOne(Fewer):
    def pairs(self, n):
        return [(t, t - 1) for t in self.timesteps(n)]


class NeverFinished(Fewer):
    def pairs(self, n):
        return super().pairs(n)[:-1]


class NotToTheData(Fewer):
    def pairs(self, n):
        steps = self.timesteps(n)
        return [*zip(steps, [*steps[1:], 1 if steps[-1] > 1 else 0], strict=True)]


class NoiseAtTheEnd(Fewer):
    def noise(self, noises, i):
        return noises[i]


class OtherOrder(Fewer):
    def noise(self, noises, i):
        return noises[len(noises) - i] if i > 1 else 0.0


class WrongCalls(Fewer):
    def asked(self, t):
        return 1


class FromZero(Fewer):
    conventions = {"index_base": 0}  # noqa: RUF012 - the protocol's name

    def asked(self, t):
        return t - 1


def verdict(target):
    return run(target, ["fewer-steps"])["fewer-steps"]


def test_a_right_chain_passes_with_any_spacing():
    assert verdict(Fewer).verdict == PASS
    quadratic = type("Quadratic", (Fewer,), {"timesteps": lambda self, n: sorted(
        {*range(1, n), self.T}, reverse=True)})
    assert verdict(quadratic).verdict == PASS
    assert verdict(FromZero).verdict == CONVENTION


@pytest.mark.parametrize(("target", "hint"), [
    (StepsOfOne, "steps of one, whatever the distance to the next"), (NoiseAtTheEnd, "noise on the finished image"),
    (NeverFinished, "1 of the steps are never taken"), (OtherOrder, "the noises in the other order"),
    (NotToTheData, ""), (WrongCalls, "")])
def test_mistakes_of_published_loops_are_found(target, hint):
    result = verdict(target)
    assert result.verdict == FAIL
    assert hint in result.hint, result


def test_an_undeclared_index_base_fails():
    undeclared = type("Undeclared", (FromZero,), {"conventions": {}})
    assert verdict(undeclared).verdict == FAIL


def test_one_variance_and_one_way_to_clip():
    class Large(Fewer):
        def sample_fewer(self, model, x_T, noises, n, variance="small", clip=False):
            if variance != "large" or not clip:
                raise NotImplementedError
            return super().sample_fewer(model, x_T, noises, n, variance, clip)

    result = verdict(Large)
    assert (result.verdict, result.note) == (
        PASS, "sample_fewer for variance='large', clip=True; variance='small', clip=False not offered")
    assert verdict(type("Noisy", (Large, NoiseAtTheEnd), {})).verdict == FAIL
    assert verdict(Reference).verdict == UNVERIFIED
