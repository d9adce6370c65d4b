"""Look through a file for the mathematics in it, and make a check target of what is found."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.exact import Case
from ddpm_np.check.find import making, names
from ddpm_np.check.find.calling import Reading, perform
from ddpm_np.check.find.found import CLIPPED, Found, Taken, option
from ddpm_np.check.find.hook import Hook
from ddpm_np.check.find.making import Made, Subject
from ddpm_np.check.find.roles import COMBINATIONS, ROLES, probe
from ddpm_np.check.find.schedules import embeddings, schedules
from ddpm_np.check.find.source import Source
from ddpm_np.check.find.stubs import Stub
from ddpm_np.check.find.trying import Trials, near, ways

SECONDS = 5.0  # for one subject
EMBEDDER = re.compile("emb|sin|pos", re.I)
BY_NAME_ONLY = ("kl", "prior_kl", "vlb", "vlb_term", "decoder_log_likelihood")
LINEAR = Case(list(np.linspace(0.1, 0.35, 6)))


@dataclass
class Finding:
    """What was found, and what was not.

    Parameters
    ----------
    name : str
        The file, or the folder.

    Attributes
    ----------
    taken : dict
        What was taken for each method.
    questions : list of (str, str)
        Each a line of configuration, and the question that it answers.
    notes : list of str
        What could not be read or asked.
    conventions : dict
        Conventions that the target declares.
    """

    name: str
    taken: dict[str, Taken] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conventions: dict[str, Any] = field(default_factory=dict)

    def __call__(self, betas: np.ndarray) -> Found:
        return Found(self.taken, self.conventions, betas)

    @property
    def __name__(self) -> str:
        return self.name


def find(path: str | Path, configuration: dict[str, Any] | None = None) -> Finding:
    """Look for the mathematics in a file or a folder.

    Parameters
    ----------
    path : str or Path
        A Python file, or a folder with some.
    configuration : dict or None
        Answers to the questions of an earlier run.

    Returns
    -------
    Finding
        A check target's factory, with what was taken for what.

    Raises
    ------
    ValueError
        If there is no such file, or it is not Python.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"--find: there is no file or folder {path}")
    found, configured = Finding(str(path)), configuration or {}
    for file in files(path):
        source = Source(file)
        with making.closed():
            module = source.load()
        found.notes += [f"left out: {line}" for line in source.left_out]
        for subject in _subjects(source, module, found, configured):
            _look(subject, found, configured)
    _conventions(found, configured)
    return found


def files(path: Path) -> list[Path]:
    """Return the files to read: of a folder, those that speak of β and of products of α.

    Parameters
    ----------
    path : Path
        A file or a folder.

    Returns
    -------
    list of Path
        The files.
    """
    if path.is_file():
        return [path]
    found = []
    for file in sorted(path.rglob("*.py")):
        if any(part.startswith(".") or part in ("tests", "test", "venv", "site-packages") for part in file.parts):
            continue
        text = file.read_bytes()
        if b"cumprod" in text or (b"beta" in text and b"alpha" in text and b"sqrt" in text) or b"10000" in text:
            found.append(file)
    return found


def _subjects(source: Source, module: ModuleType, found: Finding, configured: dict[str, Any]) -> Iterable[Subject]:
    """Yield the classes that hold a schedule, and the module itself for its functions."""
    own = {module.__name__, *source.modules}
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and value.__module__ in own and _mentions_schedule(value):
            home = module if value.__module__ == module.__name__ else source.modules[value.__module__]
            try:
                yield making.class_subject(value, home, configured.get("arguments", {}).get(name, {}))
            except ValueError as error:
                if any(n in names.SAFE for n in vars(value)):
                    found.notes.append(f"class {name}: no object with a given β could be made: {error}")
    functions = {name: value for name, value in vars(module).items() if callable(value) and names.may_be_called(name)
                 and not isinstance(value, (type, Stub)) and (getattr(value, "__module__", None) in own or (
                     type(value).__name__ == "ScriptFunction"))}
    embedders = {name: value for near_by in (module, *source.modules.values()) for name, value in vars(near_by).items()
                 if callable(value) and getattr(value, "__module__", None) in own and EMBEDDER.search(name)}
    if functions or embedders:
        yield _module_subject(source, module, functions, embedders)


def _mentions_schedule(cls: type) -> bool:
    """Return whether a class's own code speaks of β or of α."""
    for value in vars(cls).values():
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        if code is not None:
            said = {*code.co_names, *code.co_varnames, *(c for c in code.co_consts if isinstance(c, str))}
            if any("beta" in word.lower() or "alpha" in word.lower() for word in said if len(word) < 60):
                return True
    return False


def _module_subject(source: Source, module: ModuleType, functions: dict[str, Any], embedders: dict[str, Any]) -> Subject:
    """Return a module as a subject: its tables made again for each schedule, if it makes any when it is imported."""
    tables = {name for name, value in vars(module).items() if making.table(value) is not None}
    torch = making.torch_of(module)

    def make(betas: np.ndarray, variance: str = "small") -> Made:
        here, theirs = module, functions
        if tables:
            with making.closed(), making.replaced(module, None, betas, torch):
                here = source.rerun(len(betas), functools.partial(_schedules_of, betas, torch))
            theirs = {name: getattr(here, name) for name in functions if hasattr(here, name)}
        held = {name: making.table(getattr(here, name, None)) for name in tables}
        return Made(dict(theirs), {name: t for name, t in held.items() if t is not None}, Hook(betas), torch, here)

    way = "the tables that it makes when imported are made of β" if tables else "β are arguments of its functions"
    return Subject(module.__name__, make, way, embedders)


def _schedules_of(betas: np.ndarray, torch: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that makes a schedule: it returns β."""

    @functools.wraps(function)
    def made(*args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        if getattr(result, "shape", None) != betas.shape:
            return result
        return betas.copy() if isinstance(result, np.ndarray) else making.array_for(betas, torch)

    return made if names.is_schedule_name(name) else function


def _look(subject: Subject, found: Finding, configured: dict[str, Any]) -> None:
    """Take a subject's functions and tables for methods."""
    case = plain_cases()[1]
    try:
        made = subject.of(case.betas)
    except NotImplementedError:
        case = LINEAR
        made = subject.of(case.betas)
    except Exception as error:
        found.notes.append(f"{subject.name}: {type(error).__name__}: {error}")
        return
    consistent = _tables(subject, made, case, found)
    if case is LINEAR:
        found.notes.append(f"{subject.name}: {subject.way}: its functions were not asked")
        return
    trials = Trials(made, time.monotonic() + SECONDS)
    functions = {name: f for name, f in made.functions.items() if names.may_be_called(name) and computes(f)}
    told = configured.get("methods", {})
    used = _by_configuration(subject, trials, found, told)
    _by_numbers(subject, trials, found, functions, used, told)
    _clipped_too(subject, trials, found, {name: f for name, f in functions.items() if name not in used})
    _learned_range(subject, made, found)
    _times(subject, made, found)
    _posterior_variance(subject, made, trials, found)
    _draw_t(subject, made, trials, found, functions)
    _by_name(subject, trials, found, {name: f for name, f in functions.items() if name not in used}, told, consistent)


def _by_configuration(subject: Subject, trials: Trials, found: Finding, told: dict[str, Any]) -> set[str]:
    """Take the functions that the configuration names; return their names."""
    used = set()
    for method, entry in told.items():
        owner, _, name = entry["function"].rpartition(".")
        if name not in trials.made.functions or owner not in ("", subject.name) or method in found.taken:
            continue
        reading = trials.told(name, ROLES[method], entry)
        if reading is None:
            raise ValueError(f"--config: {entry['function']} cannot be called as {method}: "
                             f"{trials.errors.get((name, method), 'its parameters do not fit')}")
        found.taken[method] = Taken(method, subject, _with_large(subject, reading, method), "configuration")
        used.add(name)
    return used


def _by_numbers(subject: Subject, trials: Trials, found: Finding, functions: dict[str, Any], used: set[str],
                told: dict[str, Any]) -> None:
    """Take functions by their numbers, first those with a method's usual name; their names are added to `used`."""
    for by_name in (True, False):
        for role in ROLES.values():
            if role.name in found.taken or role.name in told or (role.name in BY_NAME_ONLY and not by_name):
                continue
            for name in functions:
                if (name in names.ROLE_NAMES.get(role.name, ())) != by_name or (
                        name in used and not by_name and not _loss_too(found, role.name, name)):
                    continue
                reading = trials.exact(name, role)
                if reading is not None:
                    reading = _with_large(subject, reading, role.name)
                    found.taken[role.name] = Taken(role.name, subject, reading, "numbers")
                    used.add(name)
                    break


def _loss_too(found: Finding, method: str, function: str) -> bool:
    """Return whether a function in which x_t was seen may be the loss as well."""
    entry = found.taken.get("q_sample")
    return method == "simple_loss" and entry is not None and entry.reading.function == function


def _by_name(subject: Subject, trials: Trials, found: Finding, functions: dict[str, Any], told: dict[str, Any],
             consistent: bool) -> None:
    """Take functions whose names leave no doubt, though their numbers are not a method's; ask about the others."""
    for role in ROLES.values():
        for name in functions:
            if name not in names.ROLE_NAMES.get(role.name, ()) or role.name in found.taken or role.name in told:
                continue
            reading = trials.named(name, role) if consistent and role.name != "simple_loss" else None
            if reading is not None and not _of_betas(trials.made, reading):
                reading = None
            if reading is not None:
                found.taken[role.name] = Taken(role.name, subject, reading, "name")
                break
            why = trials.errors.get((name, role.name), "its numbers are those of no reading that was tried")
            if not consistent:
                why = "the object's tables do not follow from the β that it was given"
            found.questions.append((f'[methods.{role.name}]\nfunction = "{subject.name}.{name}"\n'
                                    f"arguments = {{{_asked(functions[name])}}}",
                                    f"{subject.name}.{name} has the name of {role.name}, but "
                                    f"{' '.join(why.split())[:160]}: what is it given? function = \"\" for none"))
            break


def _clipped_too(subject: Subject, trials: Trials, found: Finding, functions: dict[str, Any]) -> None:
    """Take another function for the step with a clip, if the one that was taken never clips."""
    entry = found.taken.get("p_sample")
    if entry is None or entry.subject is not subject or any(clip for _, clip in entry.reading.combinations):
        return
    for name in functions:
        reading = trials.exact(name, ROLES["p_sample"])
        if reading is not None:
            found.taken[CLIPPED] = Taken(CLIPPED, subject, reading, "numbers")
            return


def _of_betas(made: Made, reading: Reading) -> bool:
    """Return whether a function's coefficients come from β by all appearances: by an argument, or by a table's name."""
    if reading.kinds & {"betas", "alphas", "alpha_bars", "sqrt_alpha_bars", "sqrt_one_minus_alpha_bars"}:
        return True
    return any(re.search("beta|alpha|ab", name, re.I) for name in made.tables) or any(
        reading.function in names.ROLE_NAMES[method] for method in BY_NAME_ONLY)


def _with_large(subject: Subject, reading: Reading, role: str) -> Reading:
    """Add the combinations that the object has if its constructor is given other options."""
    betas = plain_cases()[1].betas
    options = subject.of(betas).options if reading.combinations else ()
    for variance, clip in COMBINATIONS[1:]:
        if (variance == "large" and "large" not in options) or (clip and "clipped" not in options):
            continue
        trials = Trials(subject.of(betas, option(variance, clip)), time.monotonic() + SECONDS)
        other = trials.matched(reading.changed(combinations=()), ROLES[role])
        if other is not None and (variance, clip) in other.combinations:
            reading = reading.changed(combinations=tuple(dict.fromkeys((*reading.combinations, (variance, clip)))))
    return reading


def _learned_range(subject: Subject, made: Made, found: Finding) -> None:
    """Take p_mean_variance for a learned range too, if it takes a net with a second half of channels."""
    entry = found.taken.get("p_mean_variance")
    if entry is None or entry.subject is not subject or not (entry.reading.doubled or "learned" in made.options):
        return
    learned = subject.of(plain_cases()[1].betas, "learned" if "learned" in made.options else "small")
    reading = entry.reading.changed(doubled=True)
    if Trials(learned, time.monotonic() + SECONDS).matched(reading, ROLES["p_mean_variance"]) is not None:
        found.taken["learned_range_variance"] = Taken("learned_range_variance", subject, reading, "numbers")


def _times(subject: Subject, made: Made, found: Finding) -> None:
    """Take functions that make schedules, and one that embeds a time."""
    earlier = found.taken["schedule"].reading.parts if "schedule" in found.taken else {}
    makers = schedules(made.functions)
    if makers:
        better = {name: maker for name, maker in makers.items()
                  if name not in earlier or (earlier[name][2] == "name" and maker[2] == "numbers")}
        names_ = ", ".join(dict.fromkeys(maker[0] for maker in {**earlier, **better}.values()))
        how = "numbers" if all(maker[2] == "numbers" for maker in {**earlier, **better}.values()) else "name"
        found.taken["schedule"] = Taken("schedule", subject, Reading(names_, (), parts={**earlier, **better}), how, "maker")
    if "time_embedding" not in found.taken:
        embedder = embeddings(subject.embedders, made.torch)
        if embedder is not None:
            name, ask, convention = embedder
            reading = Reading(name, (), parts={"ask": ask})
            found.taken["time_embedding"] = Taken("time_embedding", subject, reading, "numbers", "maker")
            found.conventions["embedding"] = convention


def _learned_range(subject: Subject, made: Made, found: Finding) -> None:
    """Take p_mean_variance for a learned range too, if it takes a net with a second half of channels."""
    entry = found.taken.get("p_mean_variance")
    if entry is None or entry.subject is not subject or not (entry.reading.doubled or "learned" in made.options):
        return
    learned = subject.of(plain_cases()[1].betas, "learned" if "learned" in made.options else "small")
    reading = entry.reading.changed(doubled=True)
    if Trials(learned, time.monotonic() + SECONDS).matched(reading, ROLES["p_mean_variance"]) is not None:
        found.taken["learned_range_variance"] = Taken("learned_range_variance", subject, reading, "numbers")


def _clipped_too(subject: Subject, trials: Trials, found: Finding, functions: dict[str, Any]) -> None:
    """Take another function for the step with a clip, if the one that was taken never clips."""
    entry = found.taken.get("p_sample")
    if entry is None or entry.subject is not subject or any(clip for _, clip in entry.reading.combinations):
        return
    for name in functions:
        reading = trials.exact(name, ROLES["p_sample"])
        if reading is not None:
            found.taken[CLIPPED] = Taken(CLIPPED, subject, reading, "numbers")
            return


def _of_betas(made: Made, reading: Reading) -> bool:
    """Return whether a function's coefficients come from β by all appearances: by an argument, or by a table's name."""
    if reading.kinds & {"betas", "alphas", "alpha_bars", "sqrt_alpha_bars", "sqrt_one_minus_alpha_bars"}:
        return True
    return any(re.search("beta|alpha|ab", name, re.I) for name in made.tables) or any(
        reading.function in names.ROLE_NAMES[method] for method in BY_NAME_ONLY)


def _with_large(subject: Subject, reading: Reading, role: str) -> Reading:
    """Add the combinations that the object has if its constructor is given other options."""
    betas = plain_cases()[1].betas
    options = subject.of(betas).options if reading.combinations else ()
    for variance, clip in COMBINATIONS[1:]:
        if (variance == "large" and "large" not in options) or (clip and "clipped" not in options):
            continue
        trials = Trials(subject.of(betas, option(variance, clip)), time.monotonic() + SECONDS)
        other = trials.matched(reading.changed(combinations=()), ROLES[role])
        if other is not None and (variance, clip) in other.combinations:
            reading = reading.changed(combinations=tuple(dict.fromkeys((*reading.combinations, (variance, clip)))))
    return reading


def _tables(subject: Subject, made: Made, case: Case, found: Finding) -> bool:
    """Take tables by their numbers, and ᾱ by its name too; return False if β cannot have got in whole.

    A table with a name of ᾱ and other numbers is a mistake only if it is one in an object with its own schedule too.
    """
    k = case.table
    with np.errstate(divide="ignore"):
        logs = np.log(k.beta_tilde[1:])
    wanted = {"alpha_bar": (k.alpha_bar[1:], names.ALPHA_BAR, slice(None)),
              "posterior_variance": (k.beta_tilde[1:], names.POSTERIOR_VARIANCE, slice(1, None)),
              "posterior_log_variance_clipped": (logs, names.LOG_VARIANCE, slice(1, None))}
    consistent = True
    for method, (want, usual, rows) in wanted.items():
        ordered = sorted(made.tables, key=lambda name, usual=usual: name not in usual)
        for name in ordered:
            table = made.tables[name].astype(np.float64)
            if len(table) not in (case.T, case.T + 1) or not near(table[-case.T:][rows], want[rows]):
                continue
            if (method == "alpha_bar" and len(table) > case.T and abs(table[0] - 1) > 1e-6) or (
                    method == "posterior_log_variance_clipped" and name not in usual):
                continue
            clipped = method == "posterior_variance" and table[-case.T] > 0
            reading = Reading(name, (), parts={"clipped": bool(clipped)})
            found.taken.setdefault(method, Taken(method, subject, reading, "numbers", "table"))
            if clipped:
                found.notes.append(f"{subject.name}.{name} has β̃₂ at t = 1, for its logarithm: taken as 0 in (7)")
            break
        else:
            named = [name for name in ordered if name in usual and len(made.tables[name]) in (case.T, case.T + 1)]
            if named and method == "alpha_bar":
                consistent = subject.consistent(named[0])
                if len(made.tables[named[0]]) > case.T and not _asks_from_one(made, case):
                    found.questions.append(('[conventions]\nindex_base = 1',
                                            f"{subject.name}.{named[0]} has {case.T + 1} elements for {case.T} steps, "
                                            "and is not the product of the α of the last: which belongs to the first?"))
                elif consistent:
                    found.taken.setdefault(method, Taken(method, subject, Reading(named[0], ()), "name", "table"))
                else:
                    found.notes.append(f"{subject.name}.{named[0]} does not follow from the β that were put in, but does "
                                       "with the object's own schedule: no verdict")
    return consistent


def _asks_from_one(made: Made, case: Case) -> bool:
    """Return whether the steps at which a loss asks its net are 1..T, so that element 0 of a table is the data's."""
    x = np.zeros((64, 1))
    for name, function in made.functions.items():
        for given, _ in ways(function, ROLES["simple_loss"]) if names.may_be_called(name) else ():
            if any(kind == "t" for _, kind in given):
                continue
            try:
                perform(made, Reading(name, given, 1, "batch", "NCHW"), {"model": lambda x, t: 0 * x, "x_0": x, "noise": x},
                        () if any(kind == "noise" for _, kind in given) else ("noise",))
            except Exception:
                continue
            if made.hook.asked and set(np.concatenate([t for _, t in made.hook.asked])) == set(range(1, case.T + 1)):
                return True
    return False


def _posterior_variance(subject: Subject, made: Made, trials: Trials, found: Finding) -> None:
    """Find β̃_t as a function of t, for a posterior that returns its mean only; without it there is no posterior."""
    entry = found.taken.get("q_posterior")
    if entry is None or "variance" in entry.reading.parts or "posterior_variance" in found.taken:
        return
    t = probe("q_posterior").t
    want = plain_cases()[1].table.beta_tilde[t]
    for name, function in made.functions.items():
        parameters = [name for name, p in _parameters(function).items() if p.default is p.empty]
        if len(parameters) != 1 or "t" not in names.kinds(parameters[0]) or not names.may_be_called(name):
            continue
        for base in trials.bases:
            for how in ("batch", "one by one"):
                reading = Reading(name, ((parameters[0], "t"),), base, how)
                try:
                    parts = perform(made, reading, {"t": t})
                except Exception:
                    continue
                for key, value in parts.items():
                    if value.shape[:1] == t.shape and near(value.reshape(len(t), -1)[t > 1, 0], want[t > 1]):
                        found.taken["posterior_variance"] = Taken(
                            "posterior_variance", subject, reading.changed(parts={"value": key}), "numbers")
                        return
    del found.taken["q_posterior"]
    found.notes.append(f"{entry.subject.name}.{entry.reading.function} gives the posterior's mean (7), but its variance "
                       "was not found")


def _draw_t(subject: Subject, made: Made, trials: Trials, found: Finding, functions: dict[str, Any]) -> None:
    for name in functions:
        if name not in names.ROLE_NAMES["draw_t"] or "draw_t" in found.taken:
            continue
        parameters = inspect.signature(functions[name]).parameters
        given = [(p, "n" if "n" in names.kinds(p) else "device") for p in parameters if names.kinds(p) & {
            "n", "device"}]
        if [kind for _, kind in given].count("n") == 1:
            reading = Reading(name, tuple(given), trials.bases[0])
            found.taken["draw_t"] = Taken("draw_t", subject, reading, "integers")


def _conventions(found: Finding, configured: dict[str, Any]) -> None:
    """Declare the index base, the precision, the first variance and the loss's sum, as the readings have them."""
    bases = [entry.reading.base for entry in found.taken.values() if entry.kind == "function"
             and ("t" in entry.reading.kinds or entry.method in ("p_sample", "sample", "simple_loss"))]
    declared: dict[str, Any] = dict(found.conventions)
    if bases and sum(base == 0 for base in bases) * 2 >= len(bases):
        declared["index_base"] = 0
    if any(_single(entry) for entry in found.taken.values()):
        declared["precision"] = "float32"
    if "simple_loss" in found.taken and found.taken["simple_loss"].reading.parts.get("sum"):
        declared["reduction"] = "sum"
    found.conventions = {**declared, **configured.get("conventions", {})}
    first = _first_variance(found)
    if first and "first_variance" not in found.conventions:
        found.conventions["first_variance"] = first


def _single(entry: Taken) -> bool:
    made = entry.subject.of(LINEAR.betas)
    return made.torch is not None or any(table.dtype.itemsize < 8 for table in made.tables.values())


def _first_variance(found: Finding) -> str:
    """Return the convention for the reverse variance at t = 1, of the object for six steps."""
    case = plain_cases()[1]
    try:
        target = found(case.betas)
        if not hasattr(target, "p_mean_variance"):
            return ""
    except Exception:
        return ""
    t, variance = np.array([1]) - 1 + found.conventions.get("index_base", 1), np.nan
    for which, clip in COMBINATIONS:
        with contextlib.suppress(Exception):
            variance = float(target.p_mean_variance(lambda x, t: 0 * x, np.ones((1, 1)), t, which, clip)[1][0, 0])
            break
    for name, want in (("posterior", 0.0), ("beta", case.table.beta[1]), ("clipped", case.table.beta_tilde[2])):
        if abs(variance - want) < 1e-6 and name != "clipped":
            return name
    return ""


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a function's parameters; none of a function that has no signature."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _asked(function: Callable[..., Any]) -> str:
    """Return a function's parameters with the kinds that their names allow, for the reader to correct."""
    shown: list[str] = []
    if not _parameters(function):
        return ""
    for name, p in inspect.signature(function).parameters.items():
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (p.default is p.empty or names.kinds(name) & {
                "noise", "model", "clip"}):
            shown.append(f'{name} = "{" or ".join(sorted(names.kinds(name))) or "?"}"')
    return ", ".join(shown)


_DOES_MORE = frozenset("backward zero_grad savefig imsave open system Popen urlopen urlretrieve rmtree unlink makedirs mkdir "
                       "DataLoader save save_image save_images dump imshow Adam AdamW".split())


def computes(function: Callable[..., Any]) -> bool:
    """Return whether a function's code calls nothing that trains, saves or shows.

    Parameters
    ----------
    function : callable
        The function.

    Returns
    -------
    bool
        False also for code that cannot be looked at.
    """
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    return code is None or not _DOES_MORE & {*code.co_names}
