"""The toys in the plane: data, training to the floor, learned variances and β, pictures, the command."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from strategies import FALSE_ALARM, assert_close

from ddpm_np import toys
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.cli import main
from ddpm_np.cli import toy as command
from ddpm_np.diffusion import Reverse, bound_loss, linear_schedule, p_mean_variance, q_sample, vlb
from ddpm_np.diffusion.oracle import Gaussian
from ddpm_np.models import MLP, MLPConfig
from ddpm_np.toys import plots
from ddpm_np.toys.evaluation import bound_terms, standard_error
from ddpm_np.toys.training import LearnedForward, fresh, learned_forward_loss
from ddpm_np.training.trainer import Trainer

SIGMAS = stats.norm.isf(FALSE_ALARM / 2)  # a mean of many draws is further off only with that chance
SMALL = MLPConfig(width=32, depth=2, outputs=4, input_scale=10.0)


# The data.

def spiral(u):
    """The swiss roll's curve as complex numbers: θ·e^{iθ}/7."""
    theta = 1.5 * np.pi + 3 * np.pi * u
    return theta * np.exp(1j * theta) / 7


def half_circles(u):
    """The moons: e^{iφ} − (½ + ¼i), times √2, and the same rotated by 180°."""
    arc = math.sqrt(2) * (np.exp(1j * np.pi * (2 * u % 1)) - (0.5 + 0.25j))
    return np.where(u < 0.5, arc, -arc)


def five(u):
    """The mixture: the fifth roots of one, rotated by 90°, times 1.4, with weights from 0.3 to 0.1."""
    return 1.4j * np.exp(2j * np.pi * np.searchsorted([0.3, 0.55, 0.75, 0.9], u, side="right") / 5)


CURVES = {"swiss-roll": (spiral, 0.06, toys.swiss_roll), "moons": (half_circles, 0.1, toys.moons),
          "mixture": (five, 0.2, toys.mixture)}
U = (np.arange(20_000) + 0.5) / 20_000


def test_the_toys_are_those_of_the_command():
    assert list(CURVES) == list(toys.TOYS) == list(command.TOYS)
    with pytest.raises(ValueError, match=r"no toy is called 'swis-roll': did you mean 'swiss-roll'\?"):
        toys.toy("swis-roll")
    with pytest.raises(ValueError, match="there are swiss-roll, moons, mixture"):
        toys.toy("x")


@pytest.mark.parametrize("name", CURVES)
def test_points_are_a_function_of_the_seed_and_their_number(name):
    toy, draw = toys.TOYS[name], CURVES[name][2]
    x = draw(20, 3)
    assert (x.shape, x.dtype) == ((20, 2), np.float32)
    assert np.array_equal(toy.sample(5, 3, first=7), x[7:12])
    assert np.array_equal(draw(20, 3), x)
    assert not np.any(draw(20, 4) == x)


@pytest.mark.parametrize("name", CURVES)
def test_points_are_the_curve_and_noise_about_it(name):
    """By the characteristic function E e^{ik·x} = ∫e^{ik·c(u)} du·e^{−σ²|k|²/2} at several k; and unit variance."""
    curve, sigma, draw = CURVES[name]
    n, c = 40_000, curve(U)
    assert 0.94 < 0.5 * np.mean(abs(c - c.mean()) ** 2) + sigma**2 < 1.03  # variance, a mean over both dimensions
    x = draw(n, 5).astype(np.float64)
    ks = np.array([[1, 0], [0, 1], [2, 1], [-1, 3], [5, -2], [8, 8], [0, 12]])
    alarm = stats.norm.isf(FALSE_ALARM / (4 * len(CURVES) * len(ks)))
    for k in ks:
        wave = np.exp(1j * (x @ k))
        want = np.exp(1j * (k[0] * c.real + k[1] * c.imag)).mean() * math.exp(-0.5 * sigma**2 * (k @ k))
        for part in (np.real, np.imag):
            assert abs(part(wave).mean() - part(want)) < alarm * part(wave).std() / math.sqrt(n), k


@pytest.mark.parametrize("name", CURVES)
def test_the_oracle_is_that_of_the_curve(name):
    """1,000 points give the ε* of 4,000 and the density of the data; the mixture's five points are exact."""
    toy, s, n = toys.TOYS[name], toys.toy_schedule(100), 200
    x_0, noise = (a.astype(np.float64) for a in fresh(toy, n, 0))
    oracle, finer = toy.oracle(s), toy.oracle(s, 4000)
    for t in (1, 3, 30):
        steps = np.full(n, t)
        x_t = q_sample(s, x_0, steps, noise)
        assert np.square(oracle.eps(x_t, steps) - finer.eps(x_t, steps)).mean() < 2e-4**2
    curve, sigma, _ = CURVES[name]
    c = np.stack([curve(U).real, curve(U).imag], axis=1)[::2]  # (10,000, 2)
    density = np.exp(-((x_0[:20, None] - c) ** 2).sum(2) / (2 * sigma**2)).mean(1) / (2 * np.pi * sigma**2)
    assert_close(finer.log_q(x_0[:20], np.zeros(20, int)), np.log(density), 0.01)
    if name == "mixture":
        assert sorted(oracle.weights) == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], abs=1e-15)
        assert np.array_equal(oracle.means, finer.means)


def test_the_schedule_has_the_papers_marginals():
    paper = linear_schedule(1000)
    for T in (2, 7, 100, 1000):
        s = toys.toy_schedule(T)
        assert s.T == T
        at = [math.floor(1000 * i / T + 0.5) for i in range(1, T + 1)]
        assert_close(s.alpha_bar[1:], paper.alpha_bar[at], 1e-12)


def test_training_in_steps_is_the_same_training():
    settings = toys.Settings(steps=7, batch=16, model=SMALL)
    *_, last = seen = list(toys.train_stepwise(toys.TOYS["moons"], settings, every=3))
    assert [[record.step for record in trained.records] for trained in seen] == [[3], [3, 6], [3, 6, 7]]
    whole = toys.train(toys.TOYS["moons"], settings)
    assert (last.chain(5) == whole.chain(5)).all()


def test_without_a_learned_variance_the_loss_is_l_simple_and_the_variance_is_small():
    settings = toys.Settings(T=5, steps=3, batch=16, learn_variance=False, model=SMALL)
    trained = toys.train(toys.TOYS["moons"], settings)
    t, s = np.arange(1, 6), trained.schedule
    x = toys.TOYS["moons"].sample(5)
    assert trained.predict(x, t).shape == (5, 2)
    np.testing.assert_allclose(p_mean_variance(trained.reverse, x, t)[1][1:, 0], s.beta_tilde[2:], rtol=1e-6)
    net = MLP(MLPConfig(width=32, depth=2, input_scale=10.0))
    trainer = Trainer(net, s, lr=settings.lr, warmup=50, ema=settings.ema, workers=1)
    assert trained.records[0].step == 1
    want = trainer.step(toys.TOYS["moons"].sample(16))["loss"]
    assert trained.records[0].loss == pytest.approx(float(want), rel=1e-6)


def test_beta_is_not_learned_without_the_variance():
    with pytest.raises(ValueError, match="leave learn_variance = False out"):
        toys.Settings(learn_beta=True, learn_variance=False)


# A net on Gaussian data: everything it can reach is known.

class Blob:
    """x₀ ~ N(m, s²) with a different s² in each dimension."""

    name = "blob"

    def oracle(self, schedule, points=0):
        return Gaussian(schedule, np.array([0.5, -1.0]), np.array([0.5, 0.1]))

    def sample(self, n, seed=0, first=0, dtype="float32"):
        return self.oracle(toys.toy_schedule(2)).sample(n, seed=seed, first=first, dtype=dtype)


@pytest.fixture(scope="module")
def blob():
    return toys.train(Blob(), toys.Settings(T=25, steps=400, ema=0.98, model=SMALL))


def test_a_net_on_gaussian_data_reaches_the_floor_within_its_standard_error(blob):
    """L_simple of 40,000 fresh draws against the closed form E Var[ε | x_t].

    E(ε − ε_θ)² = floor + E(ε_θ − ε*)², for ε − ε* is uncorrelated with any function of x_t. The excess on the right is
    measured by itself, a hundred times as sharply as the loss: it is less than one standard error of the loss, and of
    the floor less than 1 %. The loss then agrees with floor and excess, and is not below the floor, but for chance.
    """
    found, floor = toys.judge(blob, 40_000, 10), blob.toy.oracle(blob.schedule).simple_loss_floor()
    assert found.loss_error < 0.015 * floor
    assert found.excess < min(found.loss_error, 0.01 * floor)
    assert abs(found.loss - floor - found.excess) < SIGMAS * found.loss_error
    assert abs(found.floor - floor) < SIGMAS * found.loss_error  # of ε* itself, on the same draws
    assert found.loss > floor - SIGMAS * found.loss_error


def test_an_undertrained_net_is_measurably_above_the_floor():
    young = toys.train(Blob(), toys.Settings(T=25, steps=40, ema=0.9, model=SMALL))
    found, floor = toys.judge(young, 5000, 10), Blob().oracle(young.schedule).simple_loss_floor()
    assert found.excess > 0.05 * floor
    assert found.loss > floor + 0.03 * floor


def test_the_learned_variance_is_that_of_the_exact_step(blob):
    """r_t = β_t·v_{t−1}/v_t in each dimension, between β̃_t and β_t: the learned σ_t² is right to an eighth."""
    s = blob.schedule
    r = blob.toy.oracle(s).reverse_variance
    x_0, noise = fresh(blob.toy, 2000, 3)
    for t in (1, 2, 3, 5, 8, 12):
        steps = np.full(2000, t)
        sigma2 = p_mean_variance(blob.reverse, q_sample(s, x_0, steps, noise), steps)[1]
        assert np.all(abs(np.log(sigma2).mean(axis=0) - np.log(r[t])) < 0.125), t
        both = blob.variances(t)
        assert both[0] == pytest.approx(sigma2.mean(), rel=0.1)
        assert both[1] == pytest.approx(r[t].mean(), rel=SIGMAS * math.sqrt(2 / 600))


def test_the_bound_is_the_entropy_or_more(blob):
    """For the exact model with variance r_t the gap is KL(q(x_T) ‖ N(0, I)), here nearly 0; the net's is close."""
    found = toys.judge(blob, 10, 1000)
    assert -SIGMAS * found.gap_error < found.gap < 0.02 + SIGMAS * found.gap_error
    assert 0 <= found.prior < 1e-4
    terms = bound_terms(blob, 50, 1)
    assert [t for t, _ in terms] == list(range(26, 0, -1))
    assert all(term.shape == (50,) for _, term in terms)


# The mixture.

@pytest.fixture(scope="module")
def mixture():
    return toys.train(toys.TOYS["mixture"], toys.Settings(T=40, steps=400, model=MLPConfig(width=48, outputs=4)))


def test_samples_fall_into_the_components_by_their_weights(mixture):
    """Each share is within chance and 0.03 of its weight; 0.03 is for a net trained for a few seconds.

    Of the data 98.9 % lie within 3σ of a centre, of the samples nine in ten; and they lie about it as widely.
    """
    n, oracle = 3000, mixture.toy.oracle(mixture.schedule)
    chain = mixture.chain(n, seed=1)
    assert (chain.shape, chain.dtype) == ((41, n, 2), np.float32)
    distance = np.linalg.norm(chain[0][:, None] - oracle.means, axis=2)  # (n, 5)
    nearest = distance.argmin(axis=1)
    shares = np.bincount(nearest, minlength=5) / n
    chance = SIGMAS * np.sqrt(oracle.weights * (1 - oracle.weights) / n)
    assert np.all(abs(shares - oracle.weights) < chance + 0.03), shares
    assert np.mean(distance.min(axis=1) < 3 * mixture.toy.sigma) > 0.86
    for k in range(5):
        spread = (chain[0][nearest == k] - oracle.means[k]).std()
        assert 0.8 * mixture.toy.sigma < spread < 1.6 * mixture.toy.sigma
    assert np.array_equal(mixture.chain(5, seed=1)[0], chain[0][:5])  # a point's noise is its own


# Learned β.

def test_the_loss_of_a_learned_schedule_is_the_bound_and_reaches_its_logits():
    """Every w_t has a gradient; at the numbers of the fixed schedule, the loss is that of the fixed schedule."""
    start = toys.toy_schedule(5)
    model = LearnedForward(MLP(SMALL, dtype="float32"), start)
    assert np.allclose(model.numbers().beta, start.beta, rtol=1e-6)
    x_0, noise = fresh(toys.TOYS["moons"], 10, 0)
    t = np.arange(10) % 5 + 1
    loss = learned_forward_loss(start, model, x_0, t, noise)
    fixed = bound_loss(start, model.net, x_0, t, noise, variance="learned_range", levels=None)
    assert np.allclose(loss.data, fixed.data, rtol=1e-4)
    names = [name for name, _ in model.named_parameters()]
    assert names[-1] == "logits"
    assert np.all(gradients(loss, [model.logits], np.ones(10))[0] != 0)
    assert isinstance(model(x_0, t), Tensor)


def test_learned_forward_variances_lower_the_bound():
    """T = 8, on the same fresh points and noise, for the nets and for the exact ε* of both schedules.

    In nats a dimension the nets come from 1.34 to 1.19, the exact ε* from 1.07 to 0.92 (the entropy is 0.56): eight
    steps are few, and better used where β_t is smaller at first. Only the forward variances differ in the second pair.
    """
    toy, n = toys.TOYS["mixture"], 1500
    fixed, learned = (toys.train(toy, toys.Settings(T=8, steps=300, batch=256, lr=3e-2, model=SMALL,
                                                    learn_beta=learn)) for learn in (False, True))
    assert np.array_equal(fixed.schedule.beta, fixed.start.beta)
    assert np.array_equal(learned.start.beta, fixed.start.beta)
    assert abs(learned.schedule.beta[1:] / learned.start.beta[1:] - 1).max() > 0.2
    nets = [np.sum([term for _, term in bound_terms(run, n, 7)], axis=0) for run in (fixed, learned)]  # (n,) each
    difference = nets[0] - nets[1]
    assert difference.mean() > SIGMAS * standard_error(difference)
    assert difference.mean() > 0.05
    x_0 = fresh(toy, n, 8)[0].astype(np.float64)
    noises = np.random.default_rng(0).standard_normal((9, n, 2))
    exact = []
    for run in (fixed, learned):  # σ_t²: the best for each schedule
        sigma2 = np.array([np.nan, *(run.variances(t)[1] for t in range(1, 9))])
        reverse = Reverse(run.schedule, toy.oracle(run.schedule).eps, variance=sigma2)
        exact.append(vlb(reverse, x_0, noises, levels=None))
    difference = exact[0] - exact[1]
    assert difference.mean() > SIGMAS * standard_error(difference)
    assert difference.mean() > 0.05


# Pictures and the command.

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("toys") / "deep" / "toy"
    assert main(["toy", "moons", "--steps", "3", "--T", "4", "--learn-beta", "--quiet", "--out", str(out)]) == 0
    return out


def test_the_command_writes_every_picture(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(plots.NAMES)
    for name in plots.NAMES:
        assert 1000 < (folder / name).stat().st_size < 1_000_000
        with Image.open(folder / name) as picture:
            assert len(picture.convert("RGB").resize((300, 200)).getcolors(1 << 16)) > 20  # something is drawn on it


def test_the_animation_has_the_stated_number_of_frames(folder, mixture, tmp_path):
    with Image.open(folder / "flow.gif") as gif:
        assert gif.n_frames == len(plots.frames(4)) == 5
        assert gif.info["loop"] == 0
    chain = mixture.chain(200)
    count = plots.animate_flow(tmp_path / "flow.gif", mixture, chain, pixels=120)
    steps = plots.frames(40)
    assert (steps[0], steps[-1]) == (40, 0)
    assert steps == sorted(set(steps), reverse=True)
    with Image.open(tmp_path / "flow.gif") as gif:
        assert gif.n_frames == count == len(steps)
        times = []
        for i in range(count):
            gif.seek(i)
            times.append(gif.info["duration"])
    assert times[-1] > times[0] > times[1]


def test_a_net_without_learned_beta_has_its_variances_drawn(mixture, tmp_path):
    plots.plot_variance(tmp_path / "variance.png", mixture)
    with Image.open(tmp_path / "variance.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(("arguments", "said"), [
    (["--T", "1"], "T must be from 2 to 1,000, got 1: the chain takes some of the 1,000 steps of the paper's schedule"),
    (["--T", "1001"], "got 1001"),
    (["--out", "{file}"], "Not a directory"), (["--out", "{file}/deep"], "Not a directory")])
def test_wrong_arguments_are_one_line_and_status_2(arguments, said, tmp_path, capsys):
    file = tmp_path / "a file"
    file.write_text("no folder")
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    assert main(["toy", "moons", *(a.format(file=file) for a in arguments), *out]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ddpm-np: error: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.parametrize("arguments", [["swis-roll"], [], ["moons", "--T", "many"]])
def test_a_misspelt_toy_is_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["toy", *arguments])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("ddpm-np: error: ")
    assert err.count("\n") == 1
