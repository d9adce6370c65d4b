"""The configuration of a run: the tables of a preset as checked dataclasses."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from ddpm_np import presets
from ddpm_np.diffusion import (
    PREDICTS,
    SCHEDULES,
    Schedule,
    bound_loss,
    hybrid_loss,
    named_schedule,
    simple_loss,
)
from ddpm_np.diffusion.variance import LEARNED
from ddpm_np.models import UNetConfig

_LARGE = 2**53  # numbers below it are the same as ints and as floats; none is as large that means anything here
_UNKNOWN = "unknown"  # data set
OBJECTIVES = ("simple", "hybrid", "bound")


@dataclass(frozen=True)
class DiffusionConfig:
    """The schedule, and what the net says of the reverse process.

    Parameters
    ----------
    schedule
        A name in `diffusion.SCHEDULES`; ``"linear"``: β from `beta_start` to `beta_end` in T steps.
    T, beta_start, beta_end
        The paper: 1000, 1e-4, 0.02.
    variance
        ``"large"`` (β_t, the paper's CIFAR-10) or ``"small"`` (β̃_t); ``"learned"`` or ``"learned_range"`` for a net of
        twice as many outputs.
    predicts
        What the net puts out: ``"eps"`` (the paper), ``"x0"``, ``"mean"`` or ``"v"``.
    clip_sample
        Whether x̂₀ is held in [−1, 1] at each step of sampling (the authors' choice).
    betas
        None, or the schedule's numbers β₁..β_T themselves, in the place of its name and of T.
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
        _one_of("schedule", self.schedule, SCHEDULES)
        if self.betas is not None:
            object.__setattr__(self, "betas", tuple(self.betas))
            object.__setattr__(self, "T", len(self.betas))
            if not self.betas:
                raise ValueError("betas is empty: give β₁..β_T")
        _one_of("variance", self.variance, ("small", "large", *LEARNED))
        _one_of("predicts", self.predicts, PREDICTS)

    def build(self) -> Schedule:
        """The schedule."""
        if self.betas is not None:
            return Schedule.from_betas(self.betas)
        return named_schedule(self.schedule, self.T, self.beta_start, self.beta_end)


@dataclass(frozen=True)
class TrainingConfig:
    """How a run trains: see `Trainer` and `Batches` for what each number does.

    The objective is ``"simple"`` (14), ``"hybrid"`` (Nichol & Dhariwal: the variance by the bound) or ``"bound"`` (5).
    `recompute` trades time for memory (`ddpm_np.autograd.recompute`) and changes no bit of the result.
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
        _one_of("objective", self.objective, OBJECTIVES)
        for name in ("steps", "batch_size", "shards", "log_every", "sample_every", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("sample_every", "save_every"):
            if getattr(self, name) % self.log_every:
                raise ValueError(f"{name} must be a multiple of log_every, {self.log_every}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Config:
    """A whole run. ``Config.preset("digits").replace(steps=100)``."""

    model: UNetConfig
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig("digits", 1000))

    def __post_init__(self) -> None:
        channels, learned = self.model.in_channels, self.diffusion.variance in LEARNED
        outputs = self.model.out_channels or channels
        if outputs != channels * (1 + learned):
            raise ValueError(f"a net of {channels} channels with variance {self.diffusion.variance!r} puts out "
                             f"{channels * (1 + learned)}, got out_channels {outputs}")
        if learned != (self.training.objective == "hybrid") and self.training.objective != "bound":
            raise ValueError(f"variance {self.diffusion.variance!r} is not taught by the objective "
                             f"{self.training.objective!r}: "
                             + ("take hybrid or bound" if learned else "take simple or bound"))

    def objective(self, levels: int) -> Callable[..., Any]:
        """The training objective, as `Trainer` takes it, for data of so many levels."""
        predicts, variance = self.diffusion.predicts, self.diffusion.variance
        if self.training.objective == "simple":
            return partial(simple_loss, predicts=predicts)
        loss = {"hybrid": hybrid_loss, "bound": bound_loss}[self.training.objective]
        return partial(loss, predicts=predicts, variance=variance, levels=levels)

    @property
    def trained_on(self) -> str:
        """The data set's name; ValueError where nobody knows it (`of_net`)."""
        if self.training.dataset == _UNKNOWN:
            raise ValueError("published weights do not say what they were trained on: ddpm-np import them with "
                             "--dataset first")
        return self.training.dataset

    @property
    def no_label(self) -> int | None:
        """The label ∅ of a net with labels: the last of its `num_classes`."""
        return None if self.model.num_classes is None else self.model.num_classes - 1

    @classmethod
    def preset(cls, name: str) -> Config:
        """The run of a preset."""
        return cls.from_dict(presets.read(name))

    @classmethod
    def of_net(cls, model: UNetConfig, diffusion: DiffusionConfig, preset: str | None = None) -> Config:
        """The run of a net that was made elsewhere: by the recipe of a preset, or of data that nobody knows."""
        training = TrainingConfig(_UNKNOWN, 1) if preset is None else cls.preset(preset).training
        if diffusion.variance in LEARNED:
            training = dataclasses.replace(training, objective="hybrid")
        return cls(model, diffusion, training)

    @classmethod
    def from_dict(cls, tables: dict[str, Any]) -> Config:
        """The run of plain tables, such as a preset's or a checkpoint's; unknown names raise ValueError."""
        parts = {"model": UNetConfig, "diffusion": DiffusionConfig, "training": TrainingConfig}
        _known(tables, parts, "table")
        for name, kind in parts.items():
            _known(tables.get(name, {}), get_type_hints(kind), f"{name} key")
        return cls(**{name: checked(parts[name], table, {key: f"{name}.{key}" for key in table})
                      for name, table in tables.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain tables: what `from_dict` takes."""
        return dataclasses.asdict(self)

    def with_values(self, assignments: Sequence[str]) -> Config:
        """This run with values such as ``"learning_rate=1e-3"`` or ``"model.channels=64"``, written as in TOML."""
        tables = self.to_dict()
        for assignment in assignments:
            name, sign, text = assignment.partition("=")
            if not sign:
                raise ValueError(f"expected key=value, got {assignment!r}")
            table, _, key = name.strip().rpartition(".")
            _known([table] if table else [], tables, "table")
            homes = [table] if table else [t for t in tables if key in tables[t]]
            _known([key], {k for t in homes or tables for k in tables[t]}, "key")
            try:
                value = tomllib.loads(f"value = {text}")["value"]
            except tomllib.TOMLDecodeError:
                value = text.strip()
            tables[homes[0]][key] = value
        return self.from_dict(tables)

    def replace(self, **training: Any) -> Config:
        """This run with other values of `TrainingConfig`; a value of None changes nothing."""
        given = {key: value for key, value in training.items() if value is not None}
        return dataclasses.replace(self, training=dataclasses.replace(self.training, **given))


def differences(ours: Config, theirs: Config) -> list[str]:
    """The values in which two runs differ, as "training.seed: 0 -> 1"; what changes none of their steps does not count.
    """
    found = []
    for table, values in ours.to_dict().items():
        for key, value in values.items():
            other = theirs.to_dict()[table][key]
            if value != other and (table, key) not in (("training", "steps"), ("training", "recompute")):
                found.append(f"{table}.{key}: {value} -> {other}")
    return found


def checked(kind: Callable[..., Any], values: dict[str, Any], names: Mapping[str, str]) -> Any:
    """``kind(**values)`` of values as TOML or JSON have them; one of a wrong type raises ValueError by its name."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _is_a(value, hints[key]):
            raise ValueError(f"{names.get(key, key)} must be {_words(hints[key])}, got {value!r}")
    return kind(**values)


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value of TOML or JSON may stand where a field's type is `hint`."""
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, (list, tuple)) and all(_is_a(v, inner) for v in value)
    if get_args(hint):  # a union
        return any(_is_a(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGE  # nor nan
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool)) and (
        hint is not int or abs(value) < _LARGE)


def _words(hint: Any) -> str:
    """A field's type as a person would say it."""
    if get_origin(hint) is tuple:
        return f"a list of {_words(get_args(hint)[0])}s"
    if get_args(hint):
        return " or ".join(_words(option) for option in get_args(hint))
    return {int: "int", float: "number", bool: "true or false", str: "text", type(None): "nothing"}[hint]


def _known(given: Any, names: Any, what: str) -> None:
    for key in given:
        if key not in names:
            close = get_close_matches(key, list(names), 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise ValueError(f"no {what} is called {key!r}: {hint}")


def _one_of(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
