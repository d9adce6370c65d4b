"""The benchmark's settings and its list of tasks."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ddpm_np import arguments
from ddpm_np.bench import loading, net_cases, op_cases, peak, profile, scaling
from ddpm_np.bench.nets import NETS, Net
from ddpm_np.bench.other_load import OtherLoad
from ddpm_np.bench.record import BUSY, Result
from ddpm_np.bench.timing import WARM
from ddpm_np.parallel.threads import default_workers

WHAT = ("arithmetic", "step", "forward", "sample", "batches", "data", "memory", "profile", "ops", "scaling")
DEFAULT = ("arithmetic", "step", "forward", "sample", "data", "memory")
ON_DEVICE = ("step", "forward", "sample")
_MEMORY_TURNS = 3  # at most: the readings vary little
_PROFILE_TURNS = 5  # at most
BATCHES = {"8": (16, 64, 250, 500)}  # images of the forward passes of "batches", by net
MANY = {"8": (500, 20)}  # images, and steps, of a second sampling run

@dataclass(frozen=True)
class Settings:
    """Settings of a benchmark run.

    Parameters
    ----------
    what : sequence of str
        Parts of the benchmark, from `WHAT`.
    nets : sequence of str
        Keys of `NETS`.
    repeats : int
        Timed turns.
    workers : int or None
        Threads of each side; None: one for each CPU.
    compiled : bool
        Time torch.compile too.
    seconds : float or None
        Time after which a comparison that has three turns begins no further one; None: no limit.
    backend : str
        ``"numpy"``, or ``"cupy"``: whole nets on a GPU.
    """

    what: Sequence[str] = DEFAULT
    nets: Sequence[str] = tuple(NETS)
    repeats: int = 9
    workers: int | None = None
    compiled: bool = False
    seconds: float | None = None
    backend: str = "numpy"

    def __post_init__(self) -> None:
        for name, given, known in (("--what", self.what, WHAT), ("--net", self.nets, tuple(NETS))):
            unknown = [each for each in given if each not in known]
            if unknown or not given:
                raise ValueError(f"{name} takes some of {', '.join(known)}, separated by commas, got "
                                 f"{','.join(unknown) or 'nothing'!r}")
        on_host = [each for each in self.what if each not in ON_DEVICE]
        if self.backend != "numpy" and on_host:
            raise ValueError(f"--what {','.join(on_host)} measures the CPU alone: with --backend {self.backend} choose "
                             f"some of {', '.join(ON_DEVICE)}")
        if "batches" in self.what and len(self.what) == 1 and not set(self.nets) & set(BATCHES):
            raise ValueError(f"--what batches measures the nets {', '.join(BATCHES)}: add one to --net, got "
                             f"{','.join(self.nets)!r}")
        arguments.count("repeats", self.repeats)
        if self.workers is not None:
            arguments.count("workers", self.workers)
        if self.seconds is not None:
            arguments.number("seconds", self.seconds, above=0)
        object.__setattr__(self, "workers", self.workers or default_workers())

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    Parameters
    ----------
    what : str
        Part of the benchmark.
    title : str
        Title for the progress bar.
    turns : int
        Number of calls of `on_turn`; fewer if a time limit ends the task.
    run : callable
        ``run(on_turn=…)`` -> results.
    """

    what: str
    title: str
    turns: int
    run: Callable[..., list[Result]]

    def measure(self, on_turn: Callable[[], Any] = lambda: None) -> list[Result]:
        """Run the task; note the CPUs busy with other work meanwhile in results that don't know them turn by turn."""
        gc.collect()  # reference cycles can keep the previous task's nets and worker processes alive
        with OtherLoad() as load:
            results = self.run(on_turn=on_turn)
        if load.cpus is not None:
            for result in results:
                if not result.turns:
                    result.facts[BUSY] = round(load.cpus, 2)
        return results


def plan(settings: Settings, nets: dict[str, Net] | None = None) -> list[Task]:
    """List the tasks, part by part in the order of `WHAT`.

    Parameters
    ----------
    settings : Settings
        What to measure.
    nets : dict or None
        Nets by key instead of `NETS`.

    Returns
    -------
    list of Task
        The tasks.
    """
    chosen = nets or {key: net for key, net in NETS.items() if key in settings.nets}
    return [task for what in WHAT if what in settings.what for task in _tasks(what, settings, chosen)]


def _tasks(what: str, settings: Settings, chosen: dict[str, Net]) -> list[Task]:
    turns, workers = settings.repeats, settings.workers or default_workers()
    limits: dict[str, Any] = {"seconds": settings.seconds}
    nets = list(chosen.values())

    def task(title: str, count: int, run: Callable[..., list[Result]], *args: Any, **options: Any) -> Task:
        return Task(what, f"{what}, {title}", count, partial(run, *args, **options))

    if what == "data":
        return [task(dataset.name, turns + WARM, loading.measure, dataset, batch, workers, turns, **limits)
                for dataset, batch in loading.sets()]
    if what == "scaling":
        return [task(axis, turns + WARM, scaling.measure, axis, [(size, scaling.net_of(axis, size)) for size in sizes],
                     workers, turns, **limits) for axis, sizes in scaling.AXES.items()]
    if what == "ops":
        return [task(f"{net.name}, {case.name}", 2 * (turns + WARM), op_cases.measure, net, case, workers, turns,
                     **limits) for net in nets for case in op_cases.cases(net)]
    if what == "memory":
        count = min(turns, _MEMORY_TURNS)
        return [task(net.name, count, peak.measure, net, workers, count) for net in nets]
    if what == "profile":
        count = min(turns, _PROFILE_TURNS)
        return [task(net.name, count + WARM, profile.measure, net, workers, count) for net in nets]
    if what == "arithmetic":
        return [task(net.name, turns + WARM, net_cases.arithmetic, net, workers, turns, **limits) for net in nets]
    if what == "batches":
        return [task(f"{net.name}, batch {batch}", turns + WARM, net_cases.compare, "forward",
                     dataclasses.replace(net, batch=batch), workers, turns, part=what, **limits)
                for key, net in chosen.items() for batch in BATCHES.get(key, ())]
    if what == "sample":
        nets += [dataclasses.replace(net, batch=MANY[key][0], sampling=MANY[key][1])
                 for key, net in chosen.items() if key in MANY and settings.backend == "numpy"]
    return [task(net.name, turns + WARM, net_cases.compare, what, net, workers, turns, compiled=settings.compiled,
                 backend=settings.backend, **limits) for net in nets]
