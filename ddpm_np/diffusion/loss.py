"""Training objectives: one number per image, whose mean over a batch is minimised."""

from __future__ import annotations

import math

from ddpm_np.arguments import number, one_of
from ddpm_np.backend import Array, Ints, of
from ddpm_np.diffusion.bound import prior_kl, vlb_term
from ddpm_np.diffusion.forward import q_sample
from ddpm_np.diffusion.images import mean_over_image, same_shape
from ddpm_np.diffusion.posterior import posterior_mean
from ddpm_np.diffusion.reverse import PREDICTS, Denoiser, Reverse
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.diffusion.variance import split_output
from ddpm_np.diffusion.velocity import velocity


def simple_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *,
                predicts: str = "eps") -> Array:
    """Simplified objective (14): L_simple = ‖ε − ε_θ(√ᾱ_t·x₀ + √(1 − ᾱ_t)·ε, t)‖², averaged over dimensions.

    Checked as: 14, prediction.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    model : Denoiser
        The net ε_θ(x_t, t).
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I).
    predicts : str
        What the net predicts: ``"eps"``, ``"x0"``, ``"mean"`` (μ̃, the paper's ablation) or ``"v"``; the loss is the
        squared error of that prediction.

    Returns
    -------
    array or Tensor of shape (N,)
        One loss per image, of the type that `model` returns.

    Raises
    ------
    ValueError
        If `noise` or the prediction has another shape than `x_0`, `predicts` is unknown, or a t is out of range (not
        checked on CuPy).

    Notes
    -----
    Equation (14) of Ho et al. (2020). Verified by ``ddpm-np check --equation 14 --equation prediction``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])
    >>> def net(x_t, t):
    ...     return 0 * x_t
    >>> simple_loss(schedule, net, np.array([[5.0, 5.0]]), np.array([2]), np.array([[1.0, 3.0]]))  # (1² + 3²)/2
    array([5.])
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    output = model(x_t, t)
    same_shape("a prediction", output, x_t)
    difference = target(schedule, x_0, x_t, t, noise, predicts) - output
    return mean_over_image(of(difference).square(difference))


def target(schedule: Schedule, x_0: Array, x_t: Array, t: Ints, noise: Array, predicts: str) -> Array:
    """Return the target of a net's prediction at x_t: ε, x₀, μ̃_t(x_t, x₀) or v.

    Checked as: prediction.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    x_0 : array of shape (N, …)
        Data.
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε of x_t.
    predicts : str
        ``"eps"``, ``"x0"``, ``"mean"`` or ``"v"``.

    Returns
    -------
    array of shape (N, …)
        Targets.

    Raises
    ------
    ValueError
        If `predicts` is unknown or the shapes differ.

    Notes
    -----
    Section 3.2 of Ho et al. (2020); Salimans & Ho (2022). Verified by ``ddpm-np check --equation prediction``.
    """
    if predicts == "eps":
        same_shape("noise", noise, x_0)
        return noise
    if predicts == "x0":
        return x_0
    if predicts == "mean":
        return posterior_mean(schedule, x_0, x_t, t)
    one_of("predicts", predicts, PREDICTS)
    return velocity(schedule, x_0, t, noise)


def bound_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *, predicts: str = "eps",
               variance: str | Array = "small", levels: int | None = 256) -> Array:
    """Unbiased estimate of the bound (5) by one term: L_T + T·(term t), for t uniform on 1..T.

    Its mean over t is the bound. L_T has a gradient only if the schedule is learned.

    Checked as: bound-loss.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    model : Denoiser
        The net.
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I).
    predicts : str
        What the net predicts, as in `Reverse`.
    variance : str or array of shape (T + 1,)
        The variance σ_t², as in `Reverse`.
    levels : int or None
        Data levels, as in `vlb_term`.

    Returns
    -------
    array or Tensor of shape (N,)
        One loss per image, in bits per dimension.

    Notes
    -----
    Section 3.3 of Nichol & Dhariwal (2021). Verified by ``ddpm-np check --equation bound-loss``.
    """
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    term = vlb_term(Reverse(schedule, model, predicts, variance), x_0, x_t, t, levels=levels)  # (N,)
    return prior_kl(schedule, x_0) + schedule.T * term


def hybrid_loss(schedule: Schedule, model: Denoiser, x_0: Array, t: Ints, noise: Array, *, predicts: str = "eps",
                variance: str = "learned_range", weight: float = 0.001, levels: int | None = 256) -> Array:
    """Hybrid objective L_simple + λ·L_vlb, in which L_vlb trains the variance alone.

    L_vlb is T·(term t) in bits per dimension, and its gradient does not pass through the mean μ_θ.

    Checked as: hybrid.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    model : Denoiser
        A net with two outputs per element, (N, …, 2C): the prediction, and the one from which `variance` makes σ².
    x_0 : array of shape (N, …)
        Data.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise ε ~ N(0, I).
    predicts : str
        What the net predicts, as in `Reverse`.
    variance : str
        ``"learned_range"`` or ``"learned"``.
    weight : float
        The weight λ.
    levels : int or None
        Data levels, as in `vlb_term`.

    Returns
    -------
    array or Tensor of shape (N,)
        One loss per image.

    Raises
    ------
    ValueError
        If the net has one output per element.

    Notes
    -----
    Equation (16) of Nichol & Dhariwal (2021). Verified by ``ddpm-np check --equation hybrid``.
    """
    number("weight", weight, least=0)
    x_t = q_sample(schedule, x_0, t, noise)  # (N, …)
    output = model(x_t, t)
    prediction, second = split_output(output, x_t)
    if second is None:
        raise ValueError(f"the hybrid loss needs a net with two outputs per element, (N, …, {2 * x_t.shape[-1]}), got "
                         f"{tuple(output.shape)}: set out_channels to twice in_channels")
    xp = of(output)
    held = xp.concat((xp.stop_gradient(prediction), second), axis=x_t.ndim - 1)  # (N, …, 2C)
    difference = target(schedule, x_0, x_t, t, noise, predicts) - prediction
    simple = mean_over_image(of(difference).square(difference))  # (N,)
    term = vlb_term(Reverse(schedule, lambda x, s: held, predicts, variance), x_0, x_t, t, levels=levels)  # (N,)
    return simple + weight * schedule.T * term


def min_snr_weight(schedule: Schedule, t: Ints, x: Array, gamma: float = 5.0, predicts: str = "eps") -> Array:
    """Min-SNR-γ weight of a loss: min(SNR, γ)/SNR in ε, min(SNR, γ) in x₀, min(SNR, γ)/(SNR + 1) in v.

    SNR = ᾱ_t/(1 − ᾱ_t). The three weighted losses are equal, since ‖ε − ε̂‖² = SNR·‖x₀ − x̂₀‖² and
    ‖v − v̂‖² = (SNR + 1)·‖x₀ − x̂₀‖². The first weight is computed as 1/max(1, SNR/γ), which is 1 where SNR = 0.

    Checked as: min-snr.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 1..T.
    x : array of shape (N, …)
        Images, whose dtype and device the result takes.
    gamma : float
        The bound γ of the SNR.
    predicts : str
        The loss's variable: ``"eps"``, ``"x0"`` or ``"v"``.

    Returns
    -------
    array of shape (N,)
        Weights.

    Raises
    ------
    ValueError
        If `predicts` is none of these, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Section 3.4 of Hang et al. (2023). Verified by ``ddpm-np check --equation min-snr``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([1 / 10, 4 / 9])  # ᾱ = 9/10 and 1/2: SNR = 9 and 1
    >>> min_snr_weight(schedule, np.array([1, 2]), np.zeros((2, 1)), gamma=3.0).round(6)
    array([0.333333, 1.      ])
    """
    number("gamma", gamma, above=0)
    k = schedule.at(t, like=x, least=1)
    ratio = k.alpha_bar / k.one_minus_alpha_bar  # (N, 1, …)
    xp = of(ratio)
    snr = xp.reshape(ratio, t.shape)  # (N,)
    if predicts == "eps":
        return 1.0 / xp.clip(snr / gamma, 1.0, math.inf)
    if predicts == "x0":
        return xp.clip(snr, 0.0, gamma)
    one_of("predicts", predicts, ("eps", "x0", "v"))
    return xp.clip(snr, 0.0, gamma) / (snr + 1.0)


def p2_weight(schedule: Schedule, t: Ints, x: Array, k: float = 1.0, gamma: float = 1.0,
              predicts: str = "eps") -> Array:
    """P2 weight of a loss: 1/(k + SNR)^γ in ε, SNR/(k + SNR)^γ in x₀, SNR/(SNR + 1)/(k + SNR)^γ in v.

    SNR = ᾱ_t/(1 − ᾱ_t). The three weighted losses are equal, as with `min_snr_weight`. γ = 0 is L_simple of ε.

    Checked as: p2.

    Parameters
    ----------
    schedule : Schedule
        The schedule β₁..β_T.
    t : int array of shape (N,)
        Steps, 1..T.
    x : array of shape (N, …)
        Images, whose dtype and device the result takes.
    k : float
        What is added to the SNR.
    gamma : float
        The power γ.
    predicts : str
        The loss's variable: ``"eps"``, ``"x0"`` or ``"v"``.

    Returns
    -------
    array of shape (N,)
        Weights.

    Raises
    ------
    ValueError
        If `predicts` is none of these, `k` is not positive, `gamma` is negative, or a t is out of range (not checked on
        CuPy).

    Notes
    -----
    Equation (8) of Choi et al. (2022). Verified by ``ddpm-np check --equation p2``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([1 / 10, 4 / 9])  # ᾱ = 9/10 and 1/2: SNR = 9 and 1
    >>> p2_weight(schedule, np.array([1, 2]), np.zeros((2, 1))).round(6)
    array([0.1, 0.5])
    """
    number("k", k, above=0)
    number("gamma", gamma, least=0)
    rows = schedule.at(t, like=x, least=1)
    ratio = rows.alpha_bar / rows.one_minus_alpha_bar  # (N, 1, …)
    snr = of(ratio).reshape(ratio, t.shape)  # (N,)
    weight = (k + snr) ** -gamma
    if predicts == "eps":
        return weight
    if predicts == "x0":
        return snr * weight
    one_of("predicts", predicts, ("eps", "x0", "v"))
    return snr / (snr + 1.0) * weight
