"""The configuration of a run: the tables of a preset as checked dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ddpm_np import presets
from ddpm_np.diffusion.schedule import Schedule, linear_schedule
from ddpm_np.models import UNetConfig

_SCHEDULES = {"linear": linear_schedule}


@dataclass(frozen=True)
class DiffusionConfig:
    """The schedule, and the variance of the reverse process.

    Parameters
    ----------
    schedule
        ``"linear"``: β from `beta_start` to `beta_end` in T steps.
    T, beta_start, beta_end
        The paper: 1000, 1e-4, 0.02.
    variance
        ``"large"`` (β_t, the paper's CIFAR-10) or ``"small"`` (β̃_t).
    """

    schedule: str = "linear"
    T: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    variance: str = "large"

    def __post_init__(self) -> None:
        _one_of("schedule", self.schedule, _SCHEDULES)
        _one_of("variance", self.variance, ("small", "large"))

    def build(self) -> Schedule:
        """The schedule."""
        return _SCHEDULES[self.schedule](self.T, self.beta_start, self.beta_end)


@dataclass(frozen=True)
class TrainingConfig:
    """How a run trains: see `Trainer` and `Batches` for what each number does."""

    dataset: str
    steps: int
    batch_size: int = 128
    learning_rate: float = 2e-4
    warmup: int = 5000
    clip: float = 1.0
    ema: float = 0.9999
    flip: bool = False
    shards: int = 1
    seed: int = 0
    log_every: int = 100
    sample_every: int = 10_000
    save_every: int = 1000
    keep: int = 3

    def __post_init__(self) -> None:
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

    @classmethod
    def preset(cls, name: str) -> Config:
        """The run of a preset."""
        return cls.from_dict(presets.read(name))

    @classmethod
    def from_dict(cls, tables: dict[str, Any]) -> Config:
        """The run of plain tables, such as a preset's or a checkpoint's; unknown names raise ValueError."""
        parts = {"model": UNetConfig, "diffusion": DiffusionConfig, "training": TrainingConfig}
        _known(tables, parts, "table")
        for name, kind in parts.items():
            _known(tables.get(name, {}), [f.name for f in dataclasses.fields(kind)], f"{name} key")
        return cls(**{name: parts[name](**table) for name, table in tables.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain tables: what `from_dict` takes."""
        return dataclasses.asdict(self)

    def replace(self, **training: Any) -> Config:
        """This run with other values of `TrainingConfig`; a value of None changes nothing."""
        given = {key: value for key, value in training.items() if value is not None}
        return dataclasses.replace(self, training=dataclasses.replace(self.training, **given))


def differences(ours: Config, theirs: Config) -> list[str]:
    """The values in which two runs differ, as "training.seed: 0 -> 1"; how long they are does not count."""
    found = []
    for table, values in ours.to_dict().items():
        for key, value in values.items():
            other = theirs.to_dict()[table][key]
            if value != other and (table, key) != ("training", "steps"):
                found.append(f"{table}.{key}: {value} -> {other}")
    return found


def _known(given: Any, names: Any, what: str) -> None:
    for key in given:
        if key not in names:
            close = get_close_matches(key, list(names), 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise ValueError(f"no {what} is called {key!r}: {hint}")


def _one_of(name: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
