"""Objectives beside L_simple, other schedules, respacing and guidance, mostly from papers after DDPM."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from ddpm_np.check.cases import Batch, plain_batches, plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations.reverse import VARIANCES, affine, constant
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, equation

LOSS, SCHEDULES = "diffusion.loss.", "diffusion.schedules."
equation("prediction", "the target of a net that predicts ε, x₀, μ̃ or v",
         r"\epsilon,\quad x_0,\quad \tilde\mu_t(x_t,x_0),\quad v = \sqrt{\bar\alpha_t}\,\epsilon-"
         r"\sqrt{1-\bar\alpha_t}\,x_0",
         "Ho et al. 2020, section 3.2; Salimans & Ho 2022", LOSS + "target", LOSS + "simple_loss",
         "diffusion.reverse.predict")
equation("hybrid", "L_simple and the bound for the variance alone",
         r"L_{hybrid} = L_{simple}+\lambda L_{vlb},\quad \partial L_{vlb}/\partial\mu_\theta := 0",
         "Nichol & Dhariwal 2021, (16)", LOSS + "hybrid_loss")
equation("bound-loss", "the whole bound by one of its terms", r"L = \mathbb{E}_{t\sim U(1,T)}\,[L_T+T\,L_{t-1}]",
         "Nichol & Dhariwal 2021, section 3.3", LOSS + "bound_loss")
equation("min-snr", "min-SNR-γ weights",
         r"w_\epsilon = \frac{\min(SNR,\gamma)}{SNR},\ w_{x_0} = \min(SNR,\gamma),\ "
         r"w_v = \frac{\min(SNR,\gamma)}{SNR+1},\quad SNR = \frac{\bar\alpha_t}{1-\bar\alpha_t}",
         "Hang et al. 2023, section 3.4", LOSS + "min_snr_weight")
equation("score-matching", "denoising score matching",
         r"\|s_\theta(x_t,t)-\nabla\log q(x_t\mid x_0)\|^2 = \frac{\|\epsilon-\epsilon_\theta\|^2}{1-\bar\alpha_t}",
         "Vincent 2011; Ho et al. 2020, section 3.2", "diffusion.score.score_matching_loss")
equation("named-schedules", "the other schedules",
         r"\sqrt{\beta_t}\ \mathrm{linear};\ \beta_1+(\beta_T-\beta_1)/(1+e^{-u_t});\ \beta_T;\ \frac{1}{T-t+1};\ "
         r"\mathrm{warm-up}",
         "Ho et al. 2020, the authors' code; Xu et al. 2022 (GeoDiff), the sigmoid",
         *(f"{SCHEDULES}{name}_schedule" for name in (
             "quadratic", "sigmoid", "constant", "jsd", "warmup10", "warmup50")), SCHEDULES + "named_schedule")
equation("respacing", "fewer steps of a schedule",
         r"\beta'_i = 1-\bar\alpha_{\tau_i}/\bar\alpha_{\tau_{i-1}},\quad "
         r"\epsilon'_\theta(x,i) = \epsilon_\theta(x,\tau_i)",
         "Nichol & Dhariwal 2021, section 4", "diffusion.respacing.respace")
equation("guidance", "classifier-free guidance",
         r"\tilde\epsilon = (1+w)\,\epsilon_\theta(x,t,y)-w\,\epsilon_\theta(x,t,\varnothing)",
         "Ho & Salimans 2022, (6)", "diffusion.editing.guided")
equation("learned-schedule", "β_t learned through the bound",
         r"\beta_t = \sigma(w_t),\quad \frac{\partial L_T}{\partial w_t} = -\beta_t\bar\alpha_T\,\frac{\partial L_T}"
         r"{\partial\bar\alpha_T}",
         "Ho et al. 2020, section 2", "diffusion.schedule.Schedule")

BITS = 1 / np.log(2)


def per_image(x: np.ndarray) -> np.ndarray:
    """Return the mean over an image's dimensions, (N,)."""
    return x.reshape(len(x), -1).mean(axis=1)


def marginal(b: Batch) -> np.ndarray:
    """Return x_t for x₀ = x and ε = y."""
    return b.rows.sqrt_alpha_bar * b.x + b.rows.sqrt_one_minus_alpha_bar * b.y


@checks("prediction", first=plain_batches, needs=["target"])
def the_target_of_each_prediction(check: Check, b: Batch) -> None:
    k, x_t = b.rows, marginal(b)
    scale = np.abs(b.x) + np.abs(b.y)
    for predicts, want in _wanted(b).items():
        with check.if_offered():
            got = check(b.case).array("target", b.x.shape, b.x, x_t, b.t, b.y, predicts)
            check.equal(f"the target of predicts={predicts!r}", got, want, case=b.case, scale=scale,
                        at={"t": b.t, "x₀": b.x, "ε": b.y}, mistakes={
                            "−: the sign": -want, "ε": b.y, "x₀": b.x,
                            "μ̃_t with x₀ and x_t swapped": k.x0 * x_t + k.xt * b.x})


def _wanted(b: Batch) -> dict[str, np.ndarray]:
    k = b.rows
    return {"eps": b.y, "x0": b.x, "mean": k.x0 * b.x + k.xt * marginal(b),
            "v": k.sqrt_alpha_bar * b.y - k.sqrt_one_minus_alpha_bar * b.x}


@checks("prediction", first=plain_batches, needs=["simple_loss", "target"])
def the_loss_of_each_prediction(check: Check, b: Batch) -> None:
    model, x_t = affine(b.case), marginal(b)
    for predicts, want in _wanted(b).items():
        miss = want - model(x_t, b.t)
        scale = per_image((np.abs(b.x) + np.abs(b.y) + np.abs(model(x_t, b.t))) ** 2)
        with check.if_offered():
            got = check(b.case).array("simple_loss", b.t.shape, model, b.x, b.t, b.y, predicts=predicts)
            check.equal(f"the loss of predicts={predicts!r}", got, per_image(miss**2), case=b.case, scale=scale,
                        at={"t": b.t})


@checks("prediction", first=plain_batches, needs=["predict"], method="one x̂₀ in four parameterisations")
def each_prediction_gives_x0_and_eps(check: Check, b: Batch) -> None:
    """Check x̂₀ and ε̂ of nets that express the same x̂₀ = x as ε, x₀, μ̃ and v."""
    x_t, low = marginal(b), np.clip(b.x, -1, 1)
    held = (x_t - b.rows.sqrt_alpha_bar * low) / b.rows.sqrt_one_minus_alpha_bar
    for predicts, output in _wanted(b).items():
        with check.if_offered():
            x0, eps, second = check(b.case).call("predict", constant(output), x_t, b.t, predicts=predicts)
            check.true(second is None,
                       f"predicts={predicts!r}: a net with one output gave the variance output {second}")
            _compare_predicted(check, b, predicts, x0, eps, b.x, b.y)
        with check.if_offered():
            x0, eps, _ = check(b.case).call("predict", constant(output), x_t, b.t, predicts=predicts, clip=True)
            _compare_predicted(check, b, f"{predicts}, clipped", x0, eps, low, held)


def _compare_predicted(check: Check, b: Batch, name: str, x0: Any, eps: Any, want_x0: np.ndarray,
                       want_eps: np.ndarray) -> None:
    k, at = b.rows, {"t": b.t, "x₀": b.x, "ε": b.y}
    size = np.abs(b.x) + np.abs(b.y)
    error = size / (k.x0 * k.sqrt_alpha_bar)  # divisions by c₀ of (7) and by √ᾱ_t magnify rounding
    check.equal(f"x̂₀ of predicts={name}", x0, want_x0, case=b.case, scale=error, at=at, slack=10)
    check.equal(f"ε̂ of predicts={name}", eps, want_eps, case=b.case, at=at, slack=10,
                scale=error + size / k.sqrt_one_minus_alpha_bar)


def _vlb_term(b: Batch, prediction: np.ndarray, log_sigma2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's term of (5), a density at t = 1, in bits, for a prediction of ε; and its scale of errors."""
    k, x_t = b.rows, marginal(b)
    first = (b.t == 1).reshape(k.beta.shape)
    x0 = (x_t - k.sqrt_one_minus_alpha_bar * prediction) / k.sqrt_alpha_bar
    difference = k.x0 * (b.x - x0)
    size = k.x0 * (np.abs(b.x) + (np.abs(x_t) + np.abs(prediction)) / k.sqrt_alpha_bar) + k.xt * np.abs(x_t)
    sigma2, tilde = np.exp(log_sigma2), np.log(k.small)
    kl = 0.5 * (log_sigma2 - tilde - 1 + (k.beta_tilde + difference**2) / sigma2)
    density = 0.5 * (np.log(2 * np.pi) + log_sigma2 + difference**2 / sigma2)
    scale = 1 + np.abs(log_sigma2) + np.abs(tilde) + size**2 / sigma2
    return BITS * per_image(np.where(first, density, kl)), BITS * per_image(scale)


def _hybrid(b: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a net's two outputs, ln σ_t² from the second, and ∂ ln σ_t²/∂v."""
    prediction, v = affine(b.case)(marginal(b), b.t), b.y / 4
    high, low = np.log(b.rows.beta), np.log(b.rows.small)
    return prediction, v, (v + 1) / 2 * high + (1 - v) / 2 * low, (high - low) / 2 * np.ones_like(v)


def _with_channels() -> list[Batch]:
    """Return the fixed cases with a last axis, which can hold two outputs."""
    return [b for b in plain_batches() if b.x.ndim > 1]


@checks("hybrid", first=_with_channels, needs=["hybrid_loss"])
def hybrid_is_both(check: Check, b: Batch) -> None:
    prediction, v, log_sigma2, _ = _hybrid(b)
    term, scale = _vlb_term(b, prediction, log_sigma2)
    x0 = (marginal(b) - b.rows.sqrt_one_minus_alpha_bar * prediction) / b.rows.sqrt_alpha_bar
    for weight, predicts, wanted, said in ((0.001, "eps", b.y, prediction), (0.5, "x0", b.x, x0)):
        simple, bound = per_image((wanted - said) ** 2), weight * b.case.T * term
        with check.if_offered():
            got = check(b.case).array("hybrid_loss", b.t.shape, constant(np.concatenate((said, v), axis=-1)), b.x, b.t,
                                      b.y, predicts=predicts, weight=weight, levels=None)
            check.equal("L_hybrid", got, simple + bound, case=b.case, at={"t": b.t}, slack=10,
                        scale=per_image((np.abs(wanted) + np.abs(said)) ** 2) + weight * b.case.T * scale,
                        mistakes={
                            "L_simple alone": simple, "L_vlb alone": bound, "L_vlb without λ": simple + bound / weight,
                            "the term at t for all T of them": simple + bound / b.case.T,
                            "nats for bits": simple + bound / BITS})


@checks("hybrid", first=_with_channels, needs=["hybrid_gradient"], method="derivative in closed form")
def hybrid_teaches_the_variance_alone(check: Check, b: Batch) -> None:
    """Check the gradients: by the prediction that of L_simple, to the last bit; by v that of λ·L_vlb."""
    prediction, v, log_sigma2, moved = _hybrid(b)
    k, c, weight = b.rows, b.x.shape[-1], 0.5
    target, output = check(b.case), np.concatenate((prediction, v), axis=-1)
    got = target.array("hybrid_gradient", output.shape, output, b.x, b.t, b.y, weight=weight, levels=None)
    alone = target.array("hybrid_gradient", output.shape, output, b.x, b.t, b.y, weight=0.0, levels=None)
    check.true((got[..., :c] == alone[..., :c]).all(), f"{b.case!r}: λ·L_vlb has a gradient by the prediction",
               "no stop-gradient on μ_θ")
    dims = b.x[0].size
    check.equal("∂L_simple/∂ε_θ", got[..., :c], 2 * (prediction - b.y) / dims, case=b.case, at={"t": b.t},
                scale=2 * (np.abs(prediction) + np.abs(b.y)) / dims)
    difference = k.x0 * k.sqrt_one_minus_alpha_bar / k.sqrt_alpha_bar * (prediction - b.y)
    sigma2 = np.exp(log_sigma2)
    factor = weight * b.case.T * BITS / dims * moved / 2
    want = factor * (1 - (k.beta_tilde + difference**2) / sigma2)
    size = k.x0 / k.sqrt_alpha_bar * (np.abs(b.x) + np.abs(b.y) + np.abs(prediction))
    check.equal("λ·∂L_vlb/∂v", got[..., c:], want, case=b.case, at={"t": b.t, "v": v}, slack=10,
                scale=np.abs(factor) * (1 + k.beta_tilde / sigma2 + size**2 / sigma2))


@checks("bound-loss", first=plain_batches, needs=["bound_loss"])
def one_term_for_all(check: Check, b: Batch) -> None:
    prediction = affine(b.case)(marginal(b), b.t)
    alpha_bar = b.case.table.alpha_bar[-1]
    prior = BITS * per_image(0.5 * (alpha_bar * b.x**2 - alpha_bar - np.log1p(-alpha_bar)))
    x0 = (marginal(b) - b.rows.sqrt_one_minus_alpha_bar * prediction) / b.rows.sqrt_alpha_bar
    for variance, (predicts, said) in product(VARIANCES, (("eps", prediction), ("x0", x0))):
        term, scale = _vlb_term(b, prediction, np.log(getattr(b.rows, variance)))
        with check.if_offered():
            got = check(b.case).array("bound_loss", b.t.shape, constant(said), b.x, b.t, b.y, predicts=predicts,
                                      variance=variance, levels=None)
            check.equal("L_T + T·L_{t−1}", got, prior + b.case.T * term, case=b.case, at={"t": b.t}, slack=10,
                        scale=prior + b.case.T * scale, mistakes={
                            "no L_T": b.case.T * term, "the term itself": prior + term,
                            "T − 1 terms": prior + (b.case.T - 1) * term})


@checks("min-snr", first=plain_batches, needs=["min_snr_weight"])
def min_snr_weights(check: Check, b: Batch) -> None:
    k = b.case.table
    snr = (k.alpha_bar[1:] / k.one_minus_alpha_bar[1:])[b.t - 1]
    for gamma in (5.0, 0.5):
        held = np.minimum(snr, gamma)
        for predicts, want in (("eps", held / snr), ("x0", held), ("v", held / (snr + 1))):
            with check.if_offered():
                got = check(b.case).array("min_snr_weight", b.t.shape, b.t, b.x, gamma, predicts)
                check.equal(f"the weight of {predicts!r}", got, want, case=b.case, at={"t": b.t}, slack=10, mistakes={
                    "a maximum": np.maximum(snr, gamma), "min(SNR, γ)/SNR": held / snr, "min(SNR, γ)": held,
                    "min(SNR, γ)/(SNR + 1)": held / (snr + 1), "min(SNR, γ)/√SNR": held / np.sqrt(snr)})


@checks("min-snr", first=plain_batches, needs=["min_snr_weight", "simple_loss"], method="equality of the losses")
def min_snr_losses_are_equal(check: Check, b: Batch) -> None:
    """Check that nets with the same error in x₀ have the same weighted loss, whether they predict ε, x₀ or v."""
    target, k, miss = check(b.case), b.rows, 0.25 + b.y / 2
    out = {"x0": b.x - miss, "eps": b.y + k.sqrt_alpha_bar / k.sqrt_one_minus_alpha_bar * miss,
           "v": _wanted(b)["v"] + miss / k.sqrt_one_minus_alpha_bar}
    want = np.minimum((k.alpha_bar / k.one_minus_alpha_bar).ravel(), 5.0) * per_image(miss**2)
    for predicts, output in out.items():
        with check.if_offered():
            loss = target.array("simple_loss", b.t.shape, constant(output), b.x, b.t, b.y, predicts=predicts)
            weight = target.array("min_snr_weight", b.t.shape, b.t, b.x, 5.0, predicts)
            check.equal(f"the weighted loss of {predicts!r}", weight * loss, want, case=b.case, at={"t": b.t},
                        slack=1e3, scale=want + weight * per_image(output**2))


@checks("score-matching", first=plain_batches, needs=["score_matching_loss"])
def score_matching_is_the_weighted_noise(check: Check, b: Batch) -> None:
    prediction, noise = affine(b.case)(marginal(b), b.t), b.rows.one_minus_alpha_bar
    x0 = (marginal(b) - np.sqrt(noise) * prediction) / b.rows.sqrt_alpha_bar
    want = per_image((b.y - prediction) ** 2 / noise)
    size = (np.abs(b.x) + np.abs(b.y) + np.abs(prediction)) / b.rows.sqrt_alpha_bar
    with check.if_offered():
        got = check(b.case).array("score_matching_loss", b.t.shape, constant(x0), b.x, b.t, b.y, predicts="x0")
        check.equal("‖s_θ − s‖² of a net that predicts x₀", got, want, case=b.case, at={"t": b.t}, slack=10,
                    scale=per_image(size**2 / noise**2))
    got = check(b.case).array("score_matching_loss", b.t.shape, constant(prediction), b.x, b.t, b.y)
    check.equal("‖s_θ − s‖²", got, want, case=b.case, at={"t": b.t}, slack=10,
                scale=per_image((np.abs(b.x) / np.sqrt(noise) + np.abs(b.y) + np.abs(prediction)) ** 2 / noise),
                mistakes=lambda: {
                    "‖ε − ε_θ‖²: no division by 1 − ᾱ_t": per_image((b.y - prediction) ** 2),
                    "a division by √(1 − ᾱ_t)": per_image((b.y - prediction) ** 2 / np.sqrt(noise)),
                    "s_θ with the other sign": per_image((b.y + prediction) ** 2 / noise)})


def named(T: int) -> dict[str, np.ndarray]:
    """Return β₁..β_T of each schedule by its formula."""
    start, end, place = 1e-4, 0.02, np.arange(T) / (T - 1)
    root = np.sqrt(start) + (np.sqrt(end) - np.sqrt(start)) * place
    found = {"quadratic": root**2, "sigmoid": start + (end - start) / (1 + np.exp(6 - 12 * place)),
             "constant": np.full(T, end), "jsd": 1 / (T - np.arange(T))}
    for name, count in (("warmup10", T // 10), ("warmup50", T // 2)):
        rise = start + (end - start) * np.arange(T) / max(count - 1, 1)
        found[name] = np.where(np.arange(T) < count, rise, end)
    return found


@checks("named-schedules", first=lambda: (2, 5, 25, 1000), needs=["named_schedule"], method="formulas")
def other_schedules(check: Check, T: int) -> None:
    target = check(plain_cases()[0])
    for name, want in named(T).items():
        with check.if_offered():
            got = target.array("named_schedule", (T,), name, T)
            check.equal(f"β_t of {name!r}", got, want, at={"t": np.arange(1, T + 1)}, mistakes={
                "a linear schedule": np.linspace(1e-4, 0.02, T), "the schedule backwards": want[::-1],
                **{f"{other!r}": values for other, values in named(T).items() if other != name}})


@cache
def some_steps() -> list[tuple[Case, list[int]]]:
    two, six, long, rough = plain_cases()
    return [(two, [2]), (two, [1]), (six, [2, 5, 6]), (six, [6, 3, 1]), (six, [1, 2, 3, 4, 5, 6]), (rough, [1, 3, 4]),
            (long, [1, 2, 500, 999, 1000])]


@checks("respacing", first=some_steps, needs=["respace"], method="marginals kept")
def respaced_marginals_and_model(check: Check, drawn: tuple[Case, list[int]]) -> None:
    case, steps = drawn
    tau = np.array([0, *sorted(steps)])
    asked: list[int] = []

    def record(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        asked.extend(t.tolist())
        return x * t.reshape(-1, 1)

    betas, alpha_bar, model = check(case).call("respace", record, steps)
    kept = case.table.alpha_bar[tau]
    at = {"i": np.arange(1, len(tau)), "τ_i": tau[1:]}
    check.equal("ᾱ'_i", alpha_bar[1:], kept[1:], case=case, at=at)
    check.equal("β'_i", betas, 1 - kept[1:] / kept[:-1], case=case, at=at, mistakes=lambda: {
        "β_{τ_i}": case.table.beta[tau[1:]], "1 − ᾱ_{τ_i}": 1 - kept[1:],
        "the sum of the β between": np.diff(np.cumsum(case.table.beta)[tau])})
    i = np.arange(1, len(tau))
    check.equal("ε'_θ(1, i)", model(np.ones((len(i), 1)), i), tau[1:, None] * 1.0, case=case, at=at)
    check.true(asked == tau[1:].tolist(), f"{case!r}, steps {steps}: the model was called at t = {asked}")


@checks("guidance", first=lambda: (0.0, -1.0, 2.5), needs=["guided"], method="formula")
def guidance_extrapolates(check: Check, weight: float) -> None:
    """Check guidance of a net with one output, and with two, whose second is taken from the net with the label."""
    x, t, y = np.linspace(-1, 1, 6).reshape(3, 2), np.array([2, 1, 2]), np.array([3, 0, 7])
    target = check(plain_cases()[0])

    def net(x: np.ndarray, t: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.5 * x + 0.25 * t[:, None] + y[:, None] * (x + 1)

    own, other = net(x, t, y), net(x, t, np.full(3, 9))
    want, at = (1 + weight) * own - weight * other, {"w": weight, "x": x, "t": t, "y": y}
    mistakes = {"the label's own answer": own, "that of no label": other, "w for 1 + w": weight * own - weight * other,
                "the labels swapped": (1 + weight) * other - weight * own,
                "own + w·(other − own)": own + weight * (other - own),
                "w·own + (1 − w)·other": weight * own + (1 - weight) * other}
    got = target.array("guided", x.shape, net, y, 9, weight, x, t)
    check.equal("ε̃", got, want, at=at, mistakes=mistakes, scale=(1 + abs(weight)) * (np.abs(own) + np.abs(other)))
    two = target.array("guided", (3, 4), lambda *a: np.concatenate((net(*a), 2 * net(*a)), axis=-1), y, 9, weight, x, t)
    check.equal("ε̃ and v", two, np.concatenate((want, 2 * own), axis=-1),
                scale=np.tile(2 * (1 + abs(weight)) * (np.abs(own) + np.abs(other)), 2))


@checks("learned-schedule", first=lambda: ((-2.0, -1.0, 0.5), (0.25, -3.0)), needs=["learned_prior"],
        method="derivative in closed form")
def learned_betas_get_their_gradient(check: Check, logits: tuple[float, ...]) -> None:
    w, x_0 = np.array(logits), np.array([[0.5, -1.0], [0.25, 1.5]])
    beta = 1 / (1 + np.exp(-w))
    want_bar = np.concatenate(([1.0], np.cumprod(1 - beta)))
    last = want_bar[-1]
    squares = (x_0**2).mean(axis=1)
    loss = 0.5 * BITS * (last * squares - last - np.log1p(-last)).sum()
    by_bar = 0.5 * BITS * (squares - 1 + 1 / (1 - last)).sum()
    total, alpha_bar, gradient = check(plain_cases()[0]).call("learned_prior", w, x_0)
    check.equal("ᾱ_t of β_t = σ(w_t)", alpha_bar, want_bar)
    check.equal("Σ L_T", total, loss, scale=1.0)
    check.equal("∂L_T/∂w_t", gradient, -beta * last * by_bar, at={"t": np.arange(1, len(w) + 1), "w": w}, slack=10)
