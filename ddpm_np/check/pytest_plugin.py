"""A plugin of pytest: each equation of a target is an item, ``ddpm_np::7``.

``pytest --ddpm-target FILE.py:FACTORY`` adds the items, and so does a table ``[tool.ddpm_np.check]`` in the project's
pyproject.toml, unless pytest is asked for particular files or tests. Without a target the plugin does nothing, and
imports nothing of the checker.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ddpm_np.check.registry import Equation
    from ddpm_np.check.settings import Settings

PREFIX = "ddpm_np"  # of the items' ids


@dataclass(frozen=True)
class Checked:
    """What is checked in this session: factories by name, equations, random cases and their seed."""

    name: str
    targets: dict[str, Callable]
    equations: list[Equation]
    examples: int | None
    seed: int


_CHECKED: pytest.StashKey[Checked] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("ddpm_np", "the mathematics of diffusion models, equation by equation")
    group.addoption("--ddpm-target", metavar="TARGET",
                    help="code to check: FILE.py:FACTORY, or what else ddpm-np check takes as --target (default: the "
                         "target under [tool.ddpm_np.check] in pyproject.toml, if there is one)")
    group.addoption("--ddpm-equation", action="append", metavar="ID",
                    help="check only this equation; can be repeated (default: all)")
    group.addoption("--ddpm-examples", type=int, metavar="N", help="random cases per property, beyond the fixed ones")
    group.addoption("--ddpm-seed", type=int, metavar="N", help="seed of the random cases (default: 0)")


def pytest_configure(config: pytest.Config) -> None:
    """Load the target, if there is one; what is wrong with it is an error of usage."""
    try:
        checked = _checked(config)
    except (ValueError, TypeError) as error:
        raise pytest.UsageError(" ".join(str(error).split())) from error
    if checked is not None:
        config.stash[_CHECKED] = checked
        config.pluginmanager.register(_Verdicts(checked.name), "ddpm_np verdicts")


def _checked(config: pytest.Config) -> Checked | None:
    given = {name: value for name in ("--ddpm-equation", "--ddpm-examples", "--ddpm-seed")
             if (value := config.getoption(name)) is not None}
    settings = _settings(config, bool(given))
    if settings is None:
        for name in given:
            raise ValueError(f"{name} needs a target: give --ddpm-target FILE.py:FACTORY, or a target under "
                             "[tool.ddpm_np.check] in pyproject.toml")
        return None
    import ddpm_np.check.equations  # noqa: F401 - fills the registry
    from ddpm_np.arguments import count, seed
    from ddpm_np.check.registry import chosen
    from ddpm_np.check.runner import check_signature

    checked = Checked(settings.target, settings.targets(), chosen(given.get("--ddpm-equation", settings.equations)),
                      given.get("--ddpm-examples", settings.examples), given.get("--ddpm-seed", settings.seed))
    seed(checked.seed, "--ddpm-seed")
    if checked.examples is not None:
        count("--ddpm-examples", checked.examples, 0)
    for factory in checked.targets.values():
        check_signature(factory)
    return checked


def _settings(config: pytest.Config, wanted: bool) -> Settings | None:
    """Return what the command line says, else what the project says if the whole of it, or a folder, is tested."""
    if (target := config.getoption("--ddpm-target")) is not None:
        from ddpm_np.check.settings import Settings

        return Settings(config.invocation_params.dir, target, option="--ddpm-target")
    if not (config.rootpath / "pyproject.toml").is_file():
        return None
    if not wanted and not any((config.invocation_params.dir / given).is_dir() for given in config.args):
        return None
    from ddpm_np.check.settings import read

    return read(config.rootpath)


@pytest.hookimpl(hookwrapper=True)  # the form that older versions of pytest know too
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """Add the target to what the session collects."""
    outcome = yield
    if isinstance(collector, pytest.Session) and _CHECKED in collector.config.stash:
        report = outcome.get_result()
        if report.passed:
            report.result.append(Target.from_parent(collector, name=PREFIX, nodeid=PREFIX))


class Target(pytest.Collector):
    """The target, whose items are its equations."""

    def collect(self) -> Iterator[EquationItem]:
        """Yield an item for each equation, of each target of a library."""
        checked = self.config.stash[_CHECKED]
        for name, factory in checked.targets.items():
            prefix = self.nodeid if len(checked.targets) == 1 else f"{self.nodeid}::{name}"
            for entry in checked.equations:
                yield EquationItem.from_parent(self, name=entry.id, nodeid=f"{prefix}::{entry.id}", factory=factory,
                                               title=entry.title)


class EquationItem(pytest.Item):
    """One equation of one target."""

    def __init__(self, *, factory: Callable, title: str, **kinship: Any):
        super().__init__(**kinship)
        self.factory, self.title = factory, title
        self.extra_keyword_matches.update(self.nodeid.split("::"))  # -k finds a library's target by its name

    def runtest(self) -> None:
        """Check the equation: FAIL fails with the counterexample, UNVERIFIED is skipped with what is lacking."""
        from ddpm_np.check.formats import explained, said
        from ddpm_np.check.result import FAIL, UNVERIFIED
        from ddpm_np.check.runner import run

        checked = self.config.stash[_CHECKED]
        result = run(self.factory, [self.name], checked.seed, checked.examples).results[0]
        self.user_properties += said(result)  # which reports such as --junitxml show
        if result.verdict == FAIL:
            pytest.fail(explained(result), pytrace=False)
        if result.verdict == UNVERIFIED:
            pytest.skip(result.hint)

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        """Return where the target is defined, and what the item is called in a headline."""
        made, name = inspect.unwrap(self.factory), f"{self.nodeid}: {self.title}"
        if not getattr(made, "__module__", "").startswith("ddpm_np."):  # else an adapter, which is not the user's
            with contextlib.suppress(TypeError, OSError):  # neither a class nor a function, or without a source
                return inspect.getfile(made), max(inspect.getsourcelines(made)[1] - 1, 0), name
        return self.config.rootpath / PREFIX, None, name


class _Verdicts:
    """The verdicts of a session, from its processes; a run without any is no success."""

    def __init__(self, target: str):
        self.target, self.counts = target, Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an item's verdict."""
        if report.when == "call" and report.nodeid.startswith(f"{PREFIX}::"):
            self.counts.update(str(value) for name, value in report.user_properties if name == "verdict")

    def _nothing(self) -> bool:
        return bool(self.counts) and set(self.counts) == {"UNVERIFIED"}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a run fail in which no equation could be verified."""
        if self._nothing() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the number of each verdict in a line."""
        if self.counts:
            from ddpm_np.check.result import VERDICTS

            shown = ", ".join(f"{self.counts[verdict]} {verdict}" for verdict in VERDICTS if self.counts[verdict])
            terminalreporter.write_line(f"ddpm_np: {self.target}: {shown}")
        if self._nothing():
            terminalreporter.write_line(f"ddpm_np: no equation could be verified, so the run fails: -rs shows what is "
                                        f"lacking, and `ddpm-np check --target {self.target}` the closest names")
