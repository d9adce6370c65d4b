"""Samplers of a trained net: batches, labels, guidance, estimates, the paper's figures, likelihood."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ddpm_np import diffusion
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.data import digits
from ddpm_np.evaluate import paper_figures
from ddpm_np.evaluate.likelihood import Likelihood, likelihood
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs.load import estimates, sample
from ddpm_np.sampling.predictor import predictor
from ddpm_np.sampling.samplers import Drawer, Method
from ddpm_np.training.trainer import Trainer

T = 12
SCHEDULE = diffusion.linear_schedule(T, 0.01, 0.4)
METHODS = (Method(), Method(steps=5), Method("ddim", 4), Method("ddim", 5, "quadratic", eta=0.5),
           Method("langevin", 4, per_level=2))


def net(**config):
    """Return a small net with random weights everywhere, also in the layers that are initialised to zero."""
    model = UNet(UNetConfig(8, 1, 8, (1, 2), 1, (4,), groups=4, **config), seed=3)
    rng = np.random.default_rng(3)
    for p in model.parameters():
        if p.ndim > 1:
            p.data = (rng.standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5).astype(np.float32)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return net()


@pytest.fixture(scope="module")
def labelled():
    return net(num_classes=4)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.sampler} {m.steps}")
def test_an_image_depends_only_on_its_seed_and_number(model, method):
    options = {"schedule": SCHEDULE, "method": method, "seed": 5}
    whole = sample(model, 5, **options)
    assert whole.shape == (5, 8, 8, 1)
    assert np.array_equal(sample(model, 5, batch_size=2, workers=1, **options), whole)
    assert np.array_equal(sample(model, 2, first=3, **options), whole[3:])
    assert len({image.tobytes() for image in whole}) == 5
    assert not np.array_equal(sample(model, 5, schedule=SCHEDULE, method=method, seed=6), whole)


def test_a_method_is_the_sampler_of_its_name(model):
    drawer = Drawer(model, schedule=SCHEDULE, clip=False)
    numbers, eps = drawer.numbers(7, 2, 3), predictor(model)
    x_T = diffusion.first_noise(drawer.backend, 7, SCHEDULE, 2, 3, (8, 8, 1))
    noise = diffusion.step_noise(drawer.backend, 7, 2, 3, (8, 8, 1))

    def ends(method):
        return diffusion.last(drawer.chain(method, numbers))

    ddim = diffusion.ddim(SCHEDULE, eps, x_T, [12, 9, 6, 3], noise, eta=0.5)
    assert np.array_equal(ends(Method("ddim", 4, eta=0.5)), diffusion.last(ddim))
    assert np.array_equal(ends(Method()), diffusion.last(diffusion.ancestral(SCHEDULE, eps, x_T, noise,
                                                                             variance="large")))
    fewer = diffusion.respace(SCHEDULE, eps, [4, 8, 12])
    assert np.array_equal(ends(Method(steps=3)), diffusion.last(diffusion.ancestral(*fewer, x_T, noise,
                                                                                    variance="large")))
    assert Method("ddim").visits(1000) == diffusion.timesteps(1000, 50)
    assert Method("ddim").visits(7) == [7, 6, 5, 4, 3, 2, 1]


def test_langevin_has_noise_of_its_own_in_every_step(model):
    drawer, asked = Drawer(model, schedule=SCHEDULE), []
    numbers = SimpleNamespace(first=drawer.numbers(0, 0, 2).first, n=2,
                              noise_at=lambda k: asked.append(k) or np.zeros((2, 8, 8, 1), np.float32))
    list(drawer.chain(Method("langevin", 4, per_level=3), numbers))
    assert len(asked) == len(set(asked)) == 12


def test_labels_and_guidance(labelled):
    """ε̃ = (1 + w)·ε(y) − w·ε(∅), ∅ being the last class; an int labels all images; no label means ∅."""
    x, t = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32), np.array([1, 5, 12])
    eps, y = predictor(labelled), np.array([0, 2, 1])
    with_label, without = eps(x, t, y), eps(x, t, np.full(3, 3))
    assert np.abs(with_label - without).min(axis=(1, 2, 3)).max() > 0

    def said(**options):
        return Drawer(labelled, schedule=SCHEDULE, **options).said(0, 3)(x, t)

    assert np.array_equal(said(labels=y), with_label)
    assert np.array_equal(said(), without)
    assert np.allclose(said(labels=y, guidance=1.5), 2.5 * with_label - 1.5 * without, atol=1e-5)
    assert np.array_equal(said(labels=2), eps(x, t, np.full(3, 2)))
    one = sample(labelled, 4, schedule=SCHEDULE, labels=[0, 1, 2, 0], guidance=0.5)
    assert np.array_equal(sample(labelled, 4, schedule=SCHEDULE, labels=[0, 1, 2, 0], guidance=0.5, batch_size=3), one)


@pytest.mark.parametrize(("options", "words"), [
    ({"labels": 3}, "labels must be from 0 to 2, got 3 to 3"),
    ({"labels": [-1, 0]}, "labels must be from 0 to 2, got -1 to 0"),
    ({"labels": [0, 1]}, "one an image, got 2 for at least 3"),
    ({"method": Method(steps=13)}, "from 1 to T = 12, got 13"),
    ({"n": 0}, "at least 1, got 0"),
])
def test_invalid_sampling_arguments_are_refused(labelled, options, words):
    with pytest.raises(ValueError, match=words):
        sample(labelled, **{"n": 3, "schedule": SCHEDULE, **options})


def test_an_unlabelled_net_refuses_labels_and_guidance(model):
    for options in ({"labels": 1}, {"guidance": 1.0}):
        with pytest.raises(ValueError, match="trained without labels"):
            sample(model, 1, schedule=SCHEDULE, **options)
    with pytest.raises(ValueError, match="one of ddpm, ddim, langevin, got 'euler'"):
        Method("euler")


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
        with pytest.raises(ValueError, match="one an image"):
            trainer.step(np.zeros((400, 8, 8, 1), np.float32), bad)


def test_estimates_are_x0_hat_along_the_chain(model):
    seen = estimates(model, 2, places=4, schedule=SCHEDULE, seed=1, clip=False)
    assert seen.shape == (2, 4, 8, 8, 1)
    assert np.array_equal(seen[:, -1], sample(model, 2, schedule=SCHEDULE, seed=1, clip=False))
    drawer = Drawer(model, schedule=SCHEDULE, clip=False)
    numbers = drawer.numbers(1, 0, 2)
    chain = diffusion.progressive(SCHEDULE, predictor(model), numbers.first(SCHEDULE), numbers.noise_at,
                                  variance="large")
    hats = [np.clip(x0, -1, 1) for _, _, x0 in chain]
    for got, want in zip(seen.swapaxes(0, 1), (hats[0], hats[6], hats[11]), strict=False):
        assert np.allclose(got, want, atol=1e-6)


# Likelihood

@pytest.fixture(scope="module")
def result(model):
    pretrained = SimpleNamespace(model=model, ema=SimpleNamespace(model=model), schedule=SCHEDULE,
                                 config=Config(model.config, DiffusionConfig(variance="small")))
    drawer = Drawer(pretrained)
    return drawer, likelihood(drawer, digits(), 7, split="train", batch_size=3, step=9)


def test_likelihood_terms_are_those_of_the_bound(result):
    drawer, found = result
    index = np.random.default_rng(0).permutation(1797)[:7]
    parts = []
    for first in range(0, 7, 3):
        rows = np.sort(index[first:first + 3])
        x_0 = digits().scaled(rows)
        noises = np.stack([drawer.backend.normal(0, "evaluate", t, first, len(rows), (8, 8, 1), "float32")
                           for t in range(T + 1)])
        parts.append({clip: diffusion.vlb(SCHEDULE, drawer.eps, x_0, noises, variance="small", clip=clip, levels=17)
                      for clip in (False, True)})
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
    import json

    found = result[1]
    again = Likelihood.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    for word in ("7 images of digits train", "17 levels", "T = 12", "variance small", "ema weights after 9 steps",
                 "not clipped", "L_T", "L_0", "±"):
        assert word in str(found)


@pytest.mark.parametrize("count", [0, 1798])
def test_more_images_than_the_data_set_has_are_refused(result, count):
    with pytest.raises(ValueError, match=f"1,797 images to evaluate on, asked for {count}"):
        likelihood(result[0], digits(), count)


# Figures

def test_shared_latents_continue_one_chain(model):
    drawer = Drawer(model, schedule=SCHEDULE, clip=False)
    depths, images = paper_figures.shared_latents(drawer, parts=3, each=4)
    assert depths == [4, 8, 12]
    assert images.shape == (3, 5, 8, 8, 1)
    numbers = drawer.numbers(0, 0, 1)
    chain = dict(diffusion.ancestral(SCHEDULE, drawer.eps, numbers.first(SCHEDULE), numbers.noise_at, variance="large"))
    assert np.array_equal(images[0, 0], np.clip(chain[4][0], -1, 1))
    assert np.array_equal(images[2, 0], np.clip(numbers.first(SCHEDULE)[0], -1, 1))
    spread = images[:, 1:].std(axis=1).mean(axis=(1, 2, 3))
    assert len({image.tobytes() for image in images[0, 1:]}) == 4
    assert spread[0] < spread[2]


def test_interpolations_end_in_the_images(model):
    drawer, (x, y) = Drawer(model, schedule=SCHEDULE), digits().scaled([0, 1])
    depths, images = paper_figures.interpolations(drawer, x, y, parts=2, columns=5, steps=6)
    assert depths == [0, 3, 6]
    assert images.shape == (3, 7, 8, 8, 1)
    assert all(np.array_equal(row[0], x) and np.array_equal(row[-1], y) for row in images)
    assert np.allclose(images[0, 1:-1], [(1 - s) * x + s * y for s in np.linspace(0, 1, 5)], atol=1e-6)


def test_nearest_images_equal_a_search_over_all_images():
    data = digits()
    images = data.scaled([5, 700]) + np.float32(0.01)
    near = paper_figures.nearest(images, data, count=4, block=500)
    everything = data.scaled(slice(None)).reshape(1797, -1).astype(np.float64)
    square = ((images.reshape(2, 1, -1) - everything) ** 2).sum(-1)
    assert np.array_equal(near, np.argsort(square, axis=1, kind="stable")[:, :4])
    assert near[:, 0].tolist() == [5, 700]
    by_sum = paper_figures.nearest(images, data, count=2,
                                   features=lambda x: x.reshape(len(x), -1).sum(1, keepdims=True))
    sums = everything.sum(1)
    assert np.array_equal(by_sum[0], np.argsort((images[0].sum() - sums) ** 2, kind="stable")[:2])
