"""Take functions for methods: as the configuration says, by their numbers, or by names that leave no doubt."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from typing import Any

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.find import names
from ddpm_np.check.find.calling import Reading
from ddpm_np.check.find.fewer import fewer_steps
from ddpm_np.check.find.found import CLIPPED, Finding, Taken, option
from ddpm_np.check.find.making import Made, Subject
from ddpm_np.check.find.roles import COMBINATIONS, ROLES
from ddpm_np.check.find.tables import LINEAR, draw_t, parameters_of, posterior_variance, tables, times
from ddpm_np.check.find.trying import Trials

SECONDS = 5.0  # of processor time, for one subject
BY_NAME_ONLY = ("kl", "prior_kl", "vlb", "vlb_term", "decoder_log_likelihood", "x0_from_mean")
_DOES_MORE = frozenset((
    "backward", "zero_grad", "savefig", "imsave", "open", "system", "Popen", "urlopen", "urlretrieve", "rmtree",
    "unlink", "makedirs", "mkdir", "DataLoader", "save", "save_image", "save_images", "dump", "imshow", "Adam",
    "AdamW"))


def look(subject: Subject, found: Finding, configured: dict[str, Any]) -> None:
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
    consistent = tables(subject, made, case, found)
    if case is LINEAR:
        found.notes.append(f"{subject.name}: {subject.way}: its functions were not asked")
        return
    trials = Trials(made, time.process_time() + SECONDS)
    functions = {name: f for name, f in made.functions.items() if names.may_be_called(name) and computes(f)}
    told = configured.get("methods", {})
    used = _by_configuration(subject, trials, found, told)
    _by_numbers(subject, trials, found, functions, used, told)
    _clipped_too(subject, trials, found, {name: f for name, f in functions.items() if name not in used})
    _learned_range(subject, made, found)
    times(subject, made, found)
    posterior_variance(subject, made, trials, found)
    draw_t(subject, made, trials, found, functions)
    fewer_steps(subject, made, trials, found)
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
            if role.name == "ddim_step" and subject.shorter is None:
                continue  # it is asked for jumps
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
        questions: list[tuple[str, str]] = []
        for name in functions:
            if name not in names.ROLE_NAMES.get(role.name, ()) or role.name in found.taken or role.name in told or (
                    role.name == "ddim_step" and subject.shorter is None):
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
            questions.append((f'[methods.{role.name}]\nfunction = "{subject.name}.{name}"\n'
                              f"arguments = {{{_asked(functions[name])}}}",
                              f"{subject.name}.{name} has the name of {role.name}, but "
                              f"{' '.join(why.split())[:160]}: what is it given? function = \"\" for none"))
        if role.name not in found.taken:
            found.questions += questions[:1]



def _with_large(subject: Subject, reading: Reading, role: str) -> Reading:
    """Add the combinations that the object has if its constructor is given other options."""
    betas = plain_cases()[1].betas
    options = subject.of(betas).options if reading.combinations else ()
    for variance, clip in COMBINATIONS[1:]:
        if (variance == "large" and "large" not in options) or (clip and "clipped" not in options):
            continue
        trials = Trials(subject.of(betas, option(variance, clip)), time.process_time() + SECONDS)
        other = trials.matched(reading.changed(combinations=()), ROLES[role])
        if other is not None and (variance, clip) in other.combinations:
            reading = reading.changed(combinations=tuple(dict.fromkeys((*reading.combinations, (variance, clip)))))
    return reading



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



def _learned_range(subject: Subject, made: Made, found: Finding) -> None:
    """Take p_mean_variance for a learned range too, if it takes a net with a second half of channels."""
    entry = found.taken.get("p_mean_variance")
    if entry is None or entry.subject is not subject or not (entry.reading.doubled or "learned" in made.options):
        return
    learned = subject.of(plain_cases()[1].betas, "learned" if "learned" in made.options else "small")
    reading = entry.reading.changed(doubled=True)
    trials = Trials(learned, time.process_time() + SECONDS)
    exact = trials.matched(reading, ROLES["p_mean_variance"]) is not None
    if exact or ("learned" in made.options and trials.tried(reading, ROLES["p_mean_variance"]) is not None):
        how = "numbers" if exact else "name"  # that of the constructor's option
        found.taken["learned_range_variance"] = Taken("learned_range_variance", subject, reading, how)



def _asked(function: Callable[..., Any]) -> str:
    """Return a function's parameters with the kinds that their names allow, for the reader to correct."""
    shown: list[str] = []
    if not parameters_of(function):
        return ""
    for name, p in inspect.signature(function).parameters.items():
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (p.default is p.empty or names.kinds(name) & {
                "noise", "model", "clip"}):
            shown.append(f'{name} = "{" or ".join(sorted(names.kinds(name))) or "?"}"')
    return ", ".join(shown)



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

