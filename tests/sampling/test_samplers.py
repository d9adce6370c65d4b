"""Samplers of a trained net: the same image in any batch, labels, guidance, predictions along the chain."""

from __future__ import annotations

import copy
import itertools
import pickle
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from random_net import SCHEDULE, net

from ddpm_np import diffusion
from ddpm_np.backend import get_backend
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import Linear, Module
from ddpm_np.runs.sample import progressive_predictions, sample
from ddpm_np.sampling import ImageGenerator, ImageNoise, Sampler, predictor
from ddpm_np.sampling.generator import lot_of
from ddpm_np.training.trainer import Trainer

SAMPLERS = (Sampler(), Sampler(steps=5), Sampler("ddim", 4), Sampler("ddim", 5, "quadratic", eta=0.5),
           Sampler("langevin", 4, per_level=2))


@pytest.fixture(scope="module")
def model():
    return net()


@pytest.fixture(scope="module")
def labelled():
    return net(num_classes=4)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "langevin"])
@pytest.mark.parametrize("spacing", diffusion.SPACINGS)
@pytest.mark.parametrize("T", range(1, 13))
def test_every_number_of_steps_leads_to_t_0(T, spacing, name):
    """From T (but for "leading") strictly down to 0, with finite images at each step, T = 1 and T = 2 included."""
    noise = ImageNoise(get_backend("numpy"), 0, 0, 2, (3, 2, 1))
    for n, predicts in itertools.product(range(1, T + 1), ("eps", "x0", "v")):
        reverse = diffusion.Reverse(diffusion.linear_schedule(T), lambda x, t: np.tanh(x), predicts, clip=n % 2 == 0)
        sampler = Sampler(name, n, spacing, eta=n % 3 / 2, per_level=2)
        visits = sampler.visits(T)
        assert len(visits) == n
        assert visits == sorted(set(visits), reverse=True)
        assert 1 <= visits[-1] <= visits[0] <= T
        assert visits[0] == T or spacing == "leading"
        assert visits[-1] == 1 or spacing == "trailing" or n == 1
        chain = list(sampler.chain(reverse, noise))
        reached = [t for t, _, _ in chain]
        assert reached == sorted(set(reached), reverse=True)
        assert reached[-1] == 0
        for array in (array for _, *arrays in chain for array in arrays):
            assert (array.shape, array.dtype) == ((2, 3, 2, 1), np.float32)
            assert np.isfinite(array).all()


@pytest.mark.parametrize("T", [1, 2, 3, 12])
def test_every_number_of_predictions_along_a_short_chain(model, T):
    for steps, places in itertools.product({1, 2, T} & set(range(T + 1)), (1, 2, 5)):
        seen = progressive_predictions(model, 2, places=places, sampler=Sampler(steps=steps),
                                       schedule=diffusion.linear_schedule(T))
        assert seen.shape == (2, min(places - 1, steps) + 1, 8, 8, 1)
        assert np.isfinite(seen).all()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda m: f"{m.name} {m.steps}")
def test_an_image_depends_only_on_its_seed_and_number(model, sampler):
    options = {"schedule": SCHEDULE, "sampler": sampler, "seed": 5}
    whole = sample(model, 5, **options)
    assert whole.shape == (5, 8, 8, 1)
    assert np.array_equal(sample(model, 5, batch_size=2, workers=1, **options), whole)
    assert np.array_equal(sample(model, 2, first=3, **options), whole[3:])
    assert len({image.tobytes() for image in whole}) == 5
    assert not np.array_equal(sample(model, 5, schedule=SCHEDULE, sampler=sampler, seed=6), whole)


def test_a_sampler_is_the_chain_of_its_name(model):
    generator = ImageGenerator(model, schedule=SCHEDULE, clip=False)
    images, eps = generator.noise(7, 2, 3), partial(predictor(model, fixed=True, together=lot_of((8, 8, 1))), place=2)
    x_T = diffusion.first_noise(generator.backend, 7, SCHEDULE, 2, 3, (8, 8, 1))
    noise = diffusion.step_noise(generator.backend, 7, 2, 3, (8, 8, 1))

    def ends(sampler):
        return diffusion.last(generator.chain(sampler, images))

    reverse = diffusion.Reverse(SCHEDULE, eps, variance="large")
    ddim = diffusion.ddim(reverse, x_T, [12, 9, 6, 3], noise, eta=0.5)
    assert np.array_equal(ends(Sampler("ddim", 4, eta=0.5)), diffusion.last(ddim))
    assert np.array_equal(ends(Sampler()), diffusion.last(diffusion.ancestral(reverse, x_T, noise)))
    fewer = diffusion.respace(reverse, [4, 8, 12])
    assert np.array_equal(ends(Sampler(steps=3)), diffusion.last(diffusion.ancestral(fewer, x_T, noise)))
    assert Sampler("ddim").visits(1000) == diffusion.timesteps(1000, 50)
    assert Sampler("ddim").visits(7) == [7, 6, 5, 4, 3, 2, 1]


def test_langevin_has_noise_of_its_own_in_every_step(model):
    generator, asked = ImageGenerator(model, schedule=SCHEDULE), []
    noise = SimpleNamespace(x_T=generator.noise(0, 0, 2).x_T, first=0, n=2,
                            at_step=lambda k: asked.append(k) or np.zeros((2, 8, 8, 1), np.float32))
    list(generator.chain(Sampler("langevin", 4, per_level=3), noise))
    assert len(asked) == len(set(asked)) == 12


def test_labels_and_guidance(labelled):
    """ε̃ = (1 + w)·ε(y) − w·ε(∅), ∅ being the last class; an int labels all images; no label means ∅."""
    x, t = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32), np.array([1, 5, 12])
    eps, y = predictor(labelled, fixed=True, together=lot_of((8, 8, 1))), np.array([0, 2, 1])
    with_label, without = eps(x, t, y), eps(x, t, np.full(3, 3))
    assert np.abs(with_label - without).min(axis=(1, 2, 3)).max() > 0

    def predicted(**options):
        return ImageGenerator(labelled, schedule=SCHEDULE, **options).reverse_of(3).model(x, t)

    assert np.array_equal(predicted(labels=y), with_label)
    assert np.array_equal(predicted(), without)
    assert np.allclose(predicted(labels=y, guidance=1.5), 2.5 * with_label - 1.5 * without, atol=1e-5)
    assert np.array_equal(predicted(labels=2), eps(x, t, np.full(3, 2)))
    one = sample(labelled, 4, schedule=SCHEDULE, labels=[0, 1, 2, 0], guidance=0.5)
    assert np.array_equal(sample(labelled, 4, schedule=SCHEDULE, labels=[0, 1, 2, 0], guidance=0.5, batch_size=3), one)


@pytest.mark.parametrize(("options", "words"), [
    ({"labels": 3}, "labels must be from 0 to 2, got 3 to 3"),
    ({"labels": [-1, 0]}, "labels must be from 0 to 2, got -1 to 0"),
    ({"labels": [0, 1]}, "one label for each image, got 2 for at least 3"),
    ({"sampler": Sampler(steps=13)}, "from 1 to 12, got 13"),
    ({"n": 0}, "at least 1, got 0"),
])
def test_invalid_sampling_arguments_are_refused(labelled, options, words):
    with pytest.raises(ValueError, match=words):
        sample(labelled, **{"n": 3, "schedule": SCHEDULE, **options})


def test_an_unlabelled_net_refuses_labels_and_guidance(model):
    for options in ({"labels": 1}, {"guidance": 1.0}):
        with pytest.raises(ValueError, match="trained without labels"):
            sample(model, 1, schedule=SCHEDULE, **options)
    with pytest.raises(ValueError, match="one of 'ddpm', 'ddim', 'langevin', got 'euler'"):
        Sampler("euler")


def test_training_drops_labels_at_the_stated_rate():
    """∅ at the stated rate, as a function of seed, step and place; each shard gets its own labels."""
    seen = []

    def objective(schedule, model, x_0, t, noise):
        losses = model(x_0, t)
        seen.append(np.array(spy.pop()))
        return (losses * losses).mean(axis=(1, 2, 3))

    net_ = UNet(UNetConfig(8, 1, 4, (1,), 1, (), groups=2, num_classes=11))
    spy, embed = [], net_.embed
    net_.embed = lambda x, t, y: spy.append(y) or embed(x, t, y)
    trainer = Trainer(net_, SCHEDULE, objective, shards=2, workers=1, no_label=10, label_dropout=0.25)
    labels = np.arange(400) % 10
    trainer.step(np.zeros((400, 8, 8, 1), np.float32), labels)
    shown = np.concatenate(seen)
    assert set(shown[shown != labels]) == {10}
    assert 0.12 < (shown == 10).mean() < 0.4  # binomial, 400 of ¼: beyond these bounds once in 1e9
    dropped = trainer.backend.uniform(0, "label", 0, 0, 400, ()) < 0.25
    assert np.array_equal(shown == 10, dropped)
    for bad in (None, labels[:3]):
        with pytest.raises(ValueError, match="one label for each image"):
            trainer.step(np.zeros((400, 8, 8, 1), np.float32), bad)


def test_progressive_predictions_are_x0_hat_along_the_chain(model):
    seen = progressive_predictions(model, 2, places=4, schedule=SCHEDULE, seed=1, clip=False)
    assert seen.shape == (2, 4, 8, 8, 1)
    assert np.array_equal(seen[:, -1], sample(model, 2, schedule=SCHEDULE, seed=1, clip=False))
    generator = ImageGenerator(model, schedule=SCHEDULE, clip=False)
    noise = generator.noise(1, 0, 2)
    reverse = diffusion.Reverse(SCHEDULE, predictor(model), variance="large")
    chain = diffusion.ancestral(reverse, noise.x_T(SCHEDULE), noise.at_step)
    hats = [np.clip(x0, -1, 1) for _, _, x0 in chain]
    for got, want in zip(seen.swapaxes(0, 1), (hats[0], hats[6], hats[11]), strict=False):
        assert np.allclose(got, want, atol=1e-6)


# Nets and models of others


FACTOR = np.ones(1, np.float32)


class Own(Module):
    """A user's net, which reads a global."""

    def __init__(self):
        self.layer = Linear(3, 3)
        self.initialise()

    def __call__(self, x, t):
        return self.layer(x) * FACTOR


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_predictor_sees_what_a_net_of_others_reads(workers):
    x, t, net = np.ones((8, 3), np.float32), np.ones(8, np.int64), Own()
    eps = predictor(net, workers=workers, fixed=True)
    first = [eps(x, t) for _ in range(3)]
    try:
        FACTOR[:] = 2.0
        np.testing.assert_array_equal(eps(x, t), 2 * first[2])
    finally:
        FACTOR[:] = 1.0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_predictor_sees_changes_of_its_net(model, workers):
    """Of one whose weights workers share, as a Trainer's are; of a fixed net nothing changes by its promise."""
    x, t = np.ones((4, 8, 8, 1), np.float32), np.ones(4, np.int64)
    eps = predictor(Trainer(UNet(model.config), SCHEDULE, workers=2), workers=workers)
    before = eps(x, t)
    eps.net.conv_norm_out.eps = 10.0
    assert not np.array_equal(eps(x, t), before)
    np.testing.assert_array_equal(eps(x, t), eps.net(x, t).data)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
                         ids=["copy", "deepcopy", "pickle"])
def test_samplers_generators_and_predictors_can_be_copied(model, duplicate):
    trainer = Trainer(UNet(model.config), SCHEDULE, workers=2)
    generator, sampler = ImageGenerator(trainer), Sampler("ddim", 3)
    noise = generator.noise(0, 0, 2)
    expected = diffusion.last(generator.chain(sampler, noise))
    again, its_sampler, its_noise = duplicate(generator), duplicate(sampler), duplicate(noise)
    assert its_sampler == sampler
    assert diffusion.last(again.chain(its_sampler, its_noise)).tobytes() == expected.tobytes()


def test_a_predictor_that_is_copied_with_its_trainer_uses_the_weights_of_the_copy(model):
    x, t = np.ones((2, 8, 8, 1), np.float32), np.ones(2, np.int64)
    eps, trainer = copy.deepcopy((predictor(first := Trainer(UNet(model.config), SCHEDULE)), first))
    trainer.ema.data[...] = np.linspace(-1, 1, trainer.ema.data.size)
    np.testing.assert_array_equal(eps(x, t), trainer.ema.model(x, t).data)


@pytest.mark.parametrize(("net", "kind", "words"), [
    (lambda x, t: Own(), TypeError, "the net must return a Tensor, got Own"),
    (lambda x, t: np.zeros(3), ValueError, r"one prediction for each image, shape \(2, …\), got \(3,\)"),
    (lambda x, t: np.float32(0), ValueError, r"got \(\)"),
])
def test_what_a_net_of_others_returns_is_checked(net, kind, words):
    class Other(Own):
        __call__ = staticmethod(net)

    with pytest.raises(kind, match=words):
        predictor(Other(), workers=1)(np.zeros((2, 3), np.float32), np.ones(2, np.int64))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda m: f"{m.name} {m.steps}")
@pytest.mark.parametrize(("predict", "kind", "words"), [
    (Own(), TypeError, r"must return an array of shape \(2, 3\), got Tensor: pass predictor\(net\)"),
    (lambda x, t: None, TypeError, "got NoneType"), (lambda x, t: x > 0, TypeError, "floating numbers, got dtype bool"),
    (lambda x, t: x.sum(axis=1), ValueError, r"\(2, 3\)"), (lambda x, t: x[:1], ValueError, r"got \(1, 3\)"),
])
def test_what_the_model_of_a_sampler_returns_is_checked(sampler, predict, kind, words):
    noise = ImageNoise(get_backend("numpy"), 0, 0, 2, (3,))
    with pytest.raises(kind, match=words):
        diffusion.last(sampler.chain(diffusion.Reverse(SCHEDULE, predict), noise))


def test_a_generator_needs_the_size_of_images():
    with pytest.raises(TypeError, match="Own has no config with the size of its images: sample from it with Sampler"):
        ImageGenerator(Own())
