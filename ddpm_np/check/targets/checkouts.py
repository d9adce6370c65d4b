"""Targets named KIND:PATH: somebody's code in a checkout on this machine, imported apart from everything else.

The table of kinds is `ddpm_np.check.named.KINDS`. An adapter is a module of this package with a function
``targets(where)``: `where` is what follows the kind's colon, the result the factories by name. It raises ValueError in
one plain line if the path does not hold such code, and ImportError if a library that the code needs is not installed. A
factory can have ``notes``, lines that are shown before the verdicts and kept in the report: what was replaced, or found
by trying.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from ddpm_np.check.calls import described

NEEDED = {"numpy", "torch", "ddpm_np", *sys.stdlib_module_names}  # neither a checkout's nor replaced by a stub


def path_and_rest(where: str) -> tuple[Path, str]:
    """Split PATH[:REST]; a path that exists as it stands is not split.

    Parameters
    ----------
    where : str
        What follows the kind's colon.

    Returns
    -------
    tuple of Path and str
        The path, and what follows its colon, empty if nothing does.

    Raises
    ------
    ValueError
        If there is no such path.
    """
    if where and Path(where).exists():
        return Path(where), ""
    path, _, rest = where.rpartition(":")
    if path and Path(path).exists():
        return Path(path), rest
    raise ValueError(f"--target: there is no file or folder {path if path and rest.isidentifier() else where!r}")


def found(path: Path, package: str, name: str, text: str) -> Path:
    """Return the file of this name in a checkout that contains a text.

    Parameters
    ----------
    path : Path
        The checkout, or the file itself, which can then have any name.
    package : str
        The file's package, with dots or slashes, or the end of it; empty if there is only one such file.
    name : str
        The file's name.
    text : str
        What it contains.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is no such file, or there are several.
    """
    files = [path]
    if path.is_dir():
        files = [Path(folder) / name for folder, folders, names in _walk(path) if name in names]
    files = [file for file in files if text in file.read_text("utf-8", "replace")]
    parts = tuple(package.replace("/", ".").split(".")) if package else ()
    wanted = [file for file in files if file.resolve().parent.parts[-len(parts):] == parts] if parts else files
    if len(wanted) == 1:
        return wanted[0].resolve()
    if not files:
        raise ValueError(f"--target: there is no {text} in {f'any {name} below ' if path.is_dir() else ''}{path}")
    packages = ", ".join(str(file.parent.relative_to(path)) for file in wanted or files)
    raise ValueError(f"--target: {text} is in {packages} of {path}: "
                     + (f"there is no package {package}" if not wanted else "name one as PATH:PACKAGE"))


def _walk(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ("site-packages", "node_modules"))
        yield folder, folders, names


def root_of(path: Path, file: Path) -> Path:
    """Return the folder that a file's imports start from.

    Parameters
    ----------
    path : Path
        The checkout, or the file itself.
    file : Path
        The file.

    Returns
    -------
    Path
        The checkout, or its ``src``; or if the file lies right there, the folder above its package.
    """
    root, file = path.resolve(), file.resolve()
    if (root / "src") in file.parents and not (root / "src" / "__init__.py").exists():
        root /= "src"
    if root in file.parent.parents and all(map(str.isidentifier, file.parent.relative_to(root).parts)):
        return root
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    return root.parent if root == file.parent and root.name.isidentifier() else root


def dotted(file: Path, root: Path) -> str:
    """Return the name by which a file is imported from a folder above it."""
    return ".".join(file.resolve().relative_to(root).with_suffix("").parts).removesuffix(".__init__")


class Stub(ModuleType):
    """A module in place of one that cannot be imported."""

    __path__: list[str] = []  # noqa: RUF012 - a module's attribute: it has submodules
    __all__: list[str] = []  # noqa: RUF012

    def __init__(self, name: str, checkout: Checkout):
        super().__init__(name)
        self._checkout = checkout

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self.__name__}.{name}", self._checkout)


class Inert:
    """What a stub holds: it can be named, called, inherited from and decorate while modules are imported, not used."""

    def __init__(self, name: str, checkout: Checkout):
        self._name, self._checkout = name, checkout

    def _used(self) -> None:
        if not self._checkout.importing:
            raise NotImplementedError(f"it needs {self._name}, which cannot be imported")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._used()
        return Inert(f"{self._name}.{name}", self._checkout)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._used()
        return args[0] if len(args) == 1 and not options and callable(args[0]) else self

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __instancecheck__(self, found: Any) -> bool:
        return False


class Checkout(MetaPathFinder, Loader):
    """Modules of a checkout. Only inside its context are they, its folders and its stubs Python's.

    Two checkouts can have packages of one name, and what a name stood for outside is restored.

    Parameters
    ----------
    folders : iterable of Path
        The folders that its imports start from.

    Attributes
    ----------
    stubs : list of str
        The modules that were replaced.
    importing : bool
        Whether `module` is at work: only then can a stub be called.
    """

    def __init__(self, folders: Iterable[Path]):
        self.folders = [str(folder.resolve()) for folder in folders]
        self.stubs: list[str] = []
        self.importing = False
        self._modules: dict[str, ModuleType] = {}
        self._seen: set[str] = set()  # names of modules that were looked at,
        self._known: list[str] = []  # and those of them that are hidden outside or inside
        self._names = {path.stem if path.suffix == ".py" else path.name for folder in folders
                       for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()} - NEEDED

    def _owned(self) -> list[str]:
        """Return the names of loaded modules that are the checkout's, or another's of the same name."""
        new = sys.modules.keys() - self._seen
        self._seen |= new
        self._known += [name for name in new if name.partition(".")[0] in self._names or self._stubbed(name)]
        return [name for name in self._known if name in sys.modules]

    def _stubbed(self, name: str) -> bool:
        return any(name == stub or name.startswith(f"{stub}.") for stub in self.stubs)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if self._stubbed(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Stub(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        pass

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Make the checkout's modules those that an import finds, and write no bytecode into its folders."""
        hidden = {name: sys.modules.pop(name) for name in self._owned()}
        path, finders, bytecode = sys.path[:], sys.meta_path[:], sys.dont_write_bytecode
        sys.modules.update(self._modules)
        sys.path[:0], sys.meta_path[:0], sys.dont_write_bytecode = self.folders, [self], True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            sys.path[:], sys.meta_path[:], sys.dont_write_bytecode = path, finders, bytecode
            self._modules = {name: sys.modules.pop(name) for name in self._owned()}
            sys.modules.update(hidden)

    def module(self, name: str) -> ModuleType:
        """Import a module of the checkout, with stubs for other modules that it asks for and that cannot be imported.

        Parameters
        ----------
        name : str
            Its name, as from the checkout's folders.

        Returns
        -------
        module
            The module.

        Raises
        ------
        ValueError
            In one line, if it or another module of the checkout raises.
        """
        importlib.invalidate_caches()
        while True:
            self.importing = True
            try:
                with self.inside():
                    return importlib.import_module(name)
            except (Exception, SystemExit) as error:  # somebody's code can raise anything
                lacking = self._lacking(error)
                if lacking is None or self._stubbed(lacking):
                    raise ValueError(f"--target: importing {name} raised {described(error)}") from error
                self.stubs.append(lacking)
                self._seen.clear()
                self._known.clear()
            finally:
                self.importing = False

    def _lacking(self, error: BaseException) -> str | None:
        """Return the module outside of the checkout whose import raised; None if the checkout's own code did."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)
                  if "importlib" not in frame.f_code.co_filename]
        ours = [i for i, frame in enumerate(frames) if frame.f_code.co_filename.startswith(tuple(self.folders))]
        if not ours:
            return None
        after = frames[ours[-1] + 1:]
        name = str(after[0].f_globals.get("__name__")).partition(".")[0] if after else getattr(error, "name", None)
        inside = isinstance(error, ImportError) or after
        return None if not name or not inside or name in NEEDED or name.partition(".")[0] in self._names else name

    @contextmanager
    def handing(self, noises: Iterable[Any]) -> Iterator[list[Any]]:
        """Hand out noises in place of torch's ``randn_like`` and ``randn``; yield the list of those drawn."""
        torch: Any = importlib.import_module("torch")
        rest, drawn = iter(noises), []

        def draw(*args: Any, **options: Any) -> Any:
            for noise in rest:
                drawn.append(noise)
                return noise
            raise NotImplementedError("it draws noise more than once a step")

        with ExitStack() as patches:
            for name in ("randn_like", "randn"):
                function = getattr(torch, name)
                for module in [torch, *self._modules.values()]:
                    if vars(module).get(name) is function:
                        patches.enter_context(patch.object(module, name, draw))
            yield drawn


def seeded(seed: int, function: Callable[[], Any]) -> Any:
    """Call a function with the global generators of torch and NumPy seeded, and put their states back.

    Parameters
    ----------
    seed : int
        The seed, below 2³².
    function : callable
        () -> the result.

    Returns
    -------
    object
        The result.
    """
    import numpy as np

    torch: Any = importlib.import_module("torch")
    state = np.random.get_state()  # noqa: NPY002 - theirs is the global generator
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            return function()
    finally:
        np.random.set_state(state)  # noqa: NPY002
