"""The configuration of a run: the tables of a preset together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_type_hints

from ddpm_np import presets
from ddpm_np.arguments import known
from ddpm_np.config.parts import DiffusionConfig, TrainingConfig
from ddpm_np.config.values import checked
from ddpm_np.diffusion import bound_loss, hybrid_loss, simple_loss
from ddpm_np.diffusion.variance import LEARNED
from ddpm_np.models import UNetConfig

UNKNOWN = "unknown"  # the data set of published weights


@dataclass(frozen=True)
class Config:
    """The configuration of a run: net, diffusion and training.

    Attributes
    ----------
    model : UNetConfig
        The net.
    diffusion : DiffusionConfig
        The schedule and the options of the reverse process.
    training : TrainingConfig
        The recipe.

    Raises
    ------
    ValueError
        If they do not go together: a learned variance needs twice as many outputs, and an objective that trains it.

    Examples
    --------
    >>> config = Config.preset("digits").replace(steps=100).with_values(["model.channels=16"])
    >>> config.training.steps, config.model.channels
    (100, 16)
    """

    model: UNetConfig
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig("digits", 1000))

    def __post_init__(self) -> None:
        channels, learned = self.model.in_channels, self.diffusion.variance in LEARNED
        outputs = self.model.out_channels or channels
        if outputs != channels * (1 + learned):
            raise ValueError(f"a net of {channels} channels with variance {self.diffusion.variance!r} needs "
                             f"out_channels {channels * (1 + learned)}, got {outputs}")
        if learned != (self.training.objective == "hybrid") and self.training.objective != "bound":
            raise ValueError(f"variance {self.diffusion.variance!r} is not trained by the objective "
                             f"{self.training.objective!r}: choose {'hybrid' if learned else 'simple'} or bound")

    def objective(self, levels: int) -> Callable[..., Any]:
        """Return the training objective as `Trainer` takes it.

        Parameters
        ----------
        levels : int
            Number of values that an element of the data can take.

        Returns
        -------
        callable
            (schedule, model, x_0, t, noise) -> losses (N,).
        """
        predicts, variance = self.diffusion.predicts, self.diffusion.variance
        if self.training.objective == "simple":
            return partial(simple_loss, predicts=predicts)
        loss = {"hybrid": hybrid_loss, "bound": bound_loss}[self.training.objective]
        return partial(loss, predicts=predicts, variance=variance, levels=levels)

    @property
    def trained_on(self) -> str:
        """Return the name of the data set.

        Returns
        -------
        str
            The name, as `open_dataset` takes it.

        Raises
        ------
        ValueError
            For published weights, which do not record it.
        """
        if self.training.dataset == UNKNOWN:
            raise ValueError("published weights do not record their data set: import them with "
                             "ddpm-np import --dataset first")
        return self.training.dataset

    @property
    def no_label(self) -> int | None:
        """Return the unconditional class of a net with labels, the last of its `num_classes`.

        Returns
        -------
        int or None
            The class; None for a net without labels.
        """
        return None if self.model.num_classes is None else self.model.num_classes - 1

    @classmethod
    def preset(cls, name: str) -> Config:
        """Return the configuration of a preset, such as ``"digits"`` or ``"cifar10"``.

        Parameters
        ----------
        name : str
            The preset's name; `presets.names` lists them.

        Returns
        -------
        Config
            The configuration.

        Raises
        ------
        ValueError
            If there is no such preset.
        """
        return cls.from_dict(presets.read(name))

    @classmethod
    def of_net(cls, model: UNetConfig, diffusion: DiffusionConfig, preset: str | None = None) -> Config:
        """Return a configuration for a net of another library.

        Parameters
        ----------
        model : UNetConfig
            The net.
        diffusion : DiffusionConfig
            Its schedule and output.
        preset : str or None
            The preset whose recipe is taken; None for a net that is only sampled from, whose data set is unknown.

        Returns
        -------
        Config
            With the hybrid objective if the variance is learned.
        """
        training = TrainingConfig(UNKNOWN, 1) if preset is None else cls.preset(preset).training
        if diffusion.variance in LEARNED:
            training = dataclasses.replace(training, objective="hybrid")
        return cls(model, diffusion, training)

    @classmethod
    def from_dict(cls, tables: dict[str, Any]) -> Config:
        """Return the configuration that plain tables describe, such as a preset's or a checkpoint's.

        Parameters
        ----------
        tables : dict of str to dict
            ``"model"``, and perhaps ``"diffusion"`` and ``"training"``, by field names. Missing fields have defaults.

        Returns
        -------
        Config
            The configuration.

        Raises
        ------
        ValueError
            If a name is unknown or a value has a wrong type or is out of range.
        """
        parts = {"model": UNetConfig, "diffusion": DiffusionConfig, "training": TrainingConfig}
        known(tables, parts, "table")
        for name, kind in parts.items():
            known(tables.get(name, {}), get_type_hints(kind), f"{name} key")
        return cls(**{name: checked(parts[name], table, {key: f"{name}.{key}" for key in table})
                      for name, table in tables.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain tables.

        Returns
        -------
        dict of str to dict
            As `from_dict` takes them.
        """
        return dataclasses.asdict(self)

    def with_values(self, assignments: Sequence[str]) -> Config:
        """Return a copy with some values replaced, as the command line's ``--set`` does.

        Parameters
        ----------
        assignments : sequence of str
            Such as ``"learning_rate=1e-3"`` or ``"model.channels=64"``, with values as in TOML.

        Returns
        -------
        Config
            The changed configuration.

        Raises
        ------
        ValueError
            If a key is unknown or a value has a wrong type or is out of range.
        """
        import tomllib

        tables = self.to_dict()
        for assignment in assignments:
            name, sign, text = assignment.partition("=")
            if not sign:
                raise ValueError(f"expected key=value, got {assignment!r}")
            table, _, key = name.strip().rpartition(".")
            known([table] if table else [], tables, "table")
            homes = [table] if table else [t for t in tables if key in tables[t]]
            known([key], list(dict.fromkeys(k for t in homes or tables for k in tables[t])), "key")
            try:
                value = tomllib.loads(f"value = {text}")["value"]
            except tomllib.TOMLDecodeError:
                value = text.strip()
            tables[homes[0]][key] = value
        return self.from_dict(tables)

    def replace(self, **training: Any) -> Config:
        """Return a copy with other values of `TrainingConfig`.

        Parameters
        ----------
        **training
            Values by field names; None leaves a value as it is.

        Returns
        -------
        Config
            The changed configuration.

        Examples
        --------
        >>> Config.preset("digits").replace(steps=200, seed=None).training.steps
        200
        """
        given = {key: value for key, value in training.items() if value is not None}
        return dataclasses.replace(self, training=dataclasses.replace(self.training, **given))


def preset_for(dataset: str | None, otherwise: str | None = None) -> str:
    """Return the preset for a data set: the one with its name, or ``"digits"`` if no data set is given.

    Parameters
    ----------
    dataset : str or None
        The data set's name.
    otherwise : str or None
        The preset for a data set without one of its name.

    Returns
    -------
    str
        The preset's name.

    Raises
    ------
    ValueError
        If there is no preset of that name and no `otherwise`.

    Examples
    --------
    >>> preset_for("mnist"), preset_for(None)
    ('mnist', 'digits')
    """
    names = presets.names()
    found = "digits" if dataset is None else dataset if dataset in names else otherwise
    if found is None:
        raise ValueError(f"--dataset {dataset} needs a --preset, the recipe to train by: choose one of "
                         f"{', '.join(names)}, or correct the data set's name")
    return found


def differences(ours: Config, theirs: Config) -> list[str]:
    """Return the values in which two configurations differ.

    The number of steps and recomputation are left out: they change no step.

    Parameters
    ----------
    ours, theirs : Config
        The configurations.

    Returns
    -------
    list of str
        Such as ``"training.seed: 0 -> 1"``.
    """
    found = []
    for table, values in ours.to_dict().items():
        for key, value in values.items():
            other = theirs.to_dict()[table][key]
            if value != other and (table, key) not in (("training", "steps"), ("training", "recompute")):
                found.append(f"{table}.{key}: {value} -> {other}")
    return found
