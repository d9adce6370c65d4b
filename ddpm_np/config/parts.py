"""The diffusion and training tables of a configuration, as validated dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_np.arguments import count, number, one_of, seed
from ddpm_np.diffusion import PREDICTS, SCHEDULES, Schedule, named_schedule
from ddpm_np.diffusion.schedules import MOST_STEPS
from ddpm_np.diffusion.variance import LEARNED

OBJECTIVES = ("simple", "hybrid", "bound")


@dataclass(frozen=True)
class DiffusionConfig:
    """The schedule, the net's output, and the options of the reverse process.

    Attributes
    ----------
    schedule : str
        A name in `diffusion.SCHEDULES`. ``"linear"`` goes from `beta_start` to `beta_end` in T steps.
    T : int
        Number of diffusion steps; 1000 in the paper.
    beta_start, beta_end : float
        β₁ and β_T of the schedules that run between two values (cosine and jsd ignore them); the
        paper's are 1e-4 and 0.02.
    variance : str
        The reverse process's σ_t²: ``"large"`` (β_t, the paper's CIFAR-10) or ``"small"`` (β̃_t); ``"learned"`` or
        ``"learned_range"`` for a net with twice as many outputs.
    predicts : str
        The net's output: ``"eps"`` (the paper), ``"x0"``, ``"mean"`` or ``"v"``.
    clip_sample : bool
        Whether x̂₀ is clipped to [−1, 1] at each step of sampling, as the authors do.
    betas : tuple of float or None
        The numbers β₁..β_T, in place of a named schedule and T.
    """

    schedule: str = "linear"
    T: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    variance: str = "large"
    predicts: str = "eps"
    clip_sample: bool = True
    betas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        if self.betas is not None:
            object.__setattr__(self, "betas", tuple(self.betas))
            object.__setattr__(self, "T", len(self.betas))
            if not self.betas:
                raise ValueError("betas is empty: give β₁..β_T")
        count("T", self.T, 1, MOST_STEPS)
        one_of("variance", self.variance, ("small", "large", *LEARNED))
        one_of("predicts", self.predicts, PREDICTS)

    def build(self) -> Schedule:
        """Return the schedule.

        Returns
        -------
        Schedule
            Of `betas` if they are given, else of the name.

        Examples
        --------
        >>> DiffusionConfig(T=10).build().T
        10
        """
        if self.betas is not None:
            return Schedule.from_betas(self.betas)
        return named_schedule(self.schedule, self.T, self.beta_start, self.beta_end)


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe of a run: data, optimiser, objective, and how often to log, sample and save.

    Attributes
    ----------
    dataset : str
        As in `data.open_dataset`.
    steps : int
        Training steps of the whole run.
    batch_size : int
        Images per step.
    learning_rate, warmup, clip, ema : float, int, float, float
        Of `Trainer`: Adam's rate, its linear warm-up in steps, the maximum gradient norm, the average's decay.
    flip : bool
        Whether each image is mirrored left to right with probability ½.
    shards : int
        On the CPU, the parts into which a batch is cut, and so the most workers that a step can use. The sums depend on
        it. A GPU takes a batch in as few parts as fit its memory, whatever this is.
    seed : int
        Of the weights, the order of the data, t, the noise and dropout.
    log_every, sample_every, save_every : int
        Steps from one record, sample grid or checkpoint to the next. A run rounds the last two up to multiples of
        `log_every`, and says so.
    keep : int
        Checkpoints to keep; the one with the least logged loss is kept as well.
    objective : {"simple", "hybrid", "bound"}
        L_simple (14); L_simple with the bound for the variance (Nichol & Dhariwal 2021); or the bound (5).
    label_dropout : float
        For a net with labels, the probability of training on the unconditional class in place of an image's own.
    recompute : bool
        Whether activations are recomputed in the backward pass: less memory, more time, the same
        bits (on a GPU, the same up to rounding).
    """

    dataset: str
    steps: int
    batch_size: int = 128
    learning_rate: float = 2e-4
    warmup: int = 5000
    clip: float = 1.0
    ema: float = 0.9999
    flip: bool = False
    shards: int = 2
    seed: int = 0
    log_every: int = 100
    sample_every: int = 10_000
    save_every: int = 1000
    keep: int = 3
    objective: str = "simple"
    label_dropout: float = 0.1
    recompute: bool = False

    def __post_init__(self) -> None:
        one_of("objective", self.objective, OBJECTIVES)
        for name in ("steps", "batch_size", "shards", "log_every", "sample_every", "save_every", "keep"):
            count(name, getattr(self, name))
        count("warmup", self.warmup, 0)
        seed(self.seed)
        number("learning_rate", self.learning_rate, least=0)
        number("clip", self.clip, above=0, advice="a large one, such as 1e9, never clips")
        for name in ("ema", "label_dropout"):
            number(name, getattr(self, name), least=0, most=1)
