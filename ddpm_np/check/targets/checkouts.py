"""Targets named KIND:PATH: somebody's code in a checkout on this machine, imported apart from everything else.

The table of kinds is `ddpm_np.check.named.KINDS`. An adapter is a module of this package with a function
``targets(where)``: `where` is what follows the kind's colon, the result the factories by name. It raises ValueError in
one plain line if the path does not hold such code, and ImportError if a library that the code needs is not installed. A
factory can have ``notes``, lines that are shown before the verdicts and kept in the report: what was replaced, or found
by trying.
"""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ddpm_np.check.calls import described
from ddpm_np.check.targets.peers import imported
from ddpm_np.check.targets.stubs import Stub, importing

NEEDED = {"numpy", "torch", "ddpm_np", *sys.stdlib_module_names}  # neither a checkout's nor replaced by a stub


class Checkout(MetaPathFinder, Loader):
    """Modules of a checkout. Only inside its context are they, its folders and its stubs Python's.

    Two checkouts can have packages of one name, and what a name stood for outside is restored.

    Parameters
    ----------
    folders : iterable of Path
        The folders that its imports start from.
    places : dict or None
        {name: file, or folder of a package whose ``__init__`` is not run}: modules under names that they do not have.
    given : dict or None
        {module: {name: value}}: what the stubs of these modules hold.
    replaced : iterable of str
        Modules that are stubs even if they exist: parts that are not asked for and import much.
    whole : bool
        Whether it is an error if a module of the checkout itself is not there; otherwise that gets a stub as well.

    Attributes
    ----------
    stubs : list of str
        The modules that were replaced since they cannot be imported.
    """

    def __init__(self, folders: Iterable[Path], places: dict[str, Path] | None = None,
                 given: dict[str, dict[str, Any]] | None = None, replaced: Iterable[str] = (), whole: bool = True):
        with suppress(ImportError):
            imported("torch", "PyTorch")  # first, and by itself
        folders = [folder.resolve() for folder in folders]
        self.folders = [str(folder) for folder in folders]
        self.stubs: list[str] = []
        self._places = {name: place.resolve() for name, place in (places or {}).items()}
        self._given, self._replaced, self._whole = given or {}, tuple(replaced), whole
        self._modules: dict[str, ModuleType] = {}
        self._seen: set[str] = set()  # names of modules that were looked at,
        self._known: list[str] = []  # and those of them that are hidden outside or inside
        self._names = {path.stem if path.suffix == ".py" else path.name for folder in folders
                       for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()} - NEEDED | {*self._places}

    @property
    def modules(self) -> list[ModuleType]:
        """The modules that were imported, stubs included."""
        return list(self._modules.values())

    def _owned(self) -> list[str]:
        """Return the names of loaded modules that are the checkout's, or another's of the same name."""
        new = sys.modules.keys() - self._seen
        self._seen |= new
        self._known += [name for name in new if name.partition(".")[0] in self._names
                        or _below(name, self._replaced) or _below(name, self.stubs)]
        return [name for name in self._known if name in sys.modules]

    def _wrote(self, file: str) -> bool:
        """Return whether a file is the checkout's, not a library's that is installed in it."""
        return "site-packages" not in file and any(Path(file).is_relative_to(folder) for folder in self.folders)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        place = self._places.get(name)
        if place is not None and place.is_file():
            return spec_from_file_location(name, place)
        if place is not None:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(place)]
            return spec
        # An installed library does without what it does not find, so for stubs it counts who asks.
        if _below(name, self._replaced) or (_below(name, self.stubs) and self._wrote(_importer())):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Stub(spec.name, **self._given.get(spec.name, {}))

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
            try:
                with self.inside(), importing():
                    return importlib.import_module(name)
            except (Exception, SystemExit) as error:  # somebody's code can raise anything
                lacking = self._lacking(error)
                if lacking is None or _below(lacking, (*self.stubs, *self._replaced)):
                    what = self._places.get(name, name)
                    raise ValueError(f"--target: importing {what} raised {described(error)}") from error
                self.stubs.append(lacking)
                self._seen.clear()
                self._known.clear()

    def _lacking(self, error: BaseException) -> str | None:
        """Return the module whose import raised; None if the checkout's own code did."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)
                  if "importlib" not in frame.f_code.co_filename]
        ours = [i for i, frame in enumerate(frames) if self._wrote(frame.f_code.co_filename)]
        after = frames[ours[-1] + 1:] if ours else []
        name = str(after[0].f_globals.get("__name__")).partition(".")[0] if after else getattr(error, "name", None)
        own = str(name).partition(".")[0] in self._names
        if ours and name and (after or isinstance(error, ImportError)) and name not in NEEDED and not (
                own and (self._whole or after or not isinstance(error, ModuleNotFoundError))):
            return name
        return self._lacking(error.__context__) if error.__context__ else None


def _below(name: str, names: Iterable[str]) -> bool:
    """Return whether a module is one of these or in one of them."""
    return any(name == other or name.startswith(f"{other}.") for other in names)


def _importer() -> str:
    """Return the file with the import statement that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename.startswith("<") or frame.f_code.co_filename == __file__
                            or "importlib" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename


def load(file: Path, name: str, folder: Path | None = None, **options: Any) -> ModuleType:
    """Import one file as a module.

    Parameters
    ----------
    file : Path
        The file.
    name : str
        The module's name.
    folder : Path or None
        The checkout; None: the file's folder.
    **options : Any
        `given` and `replaced` of `Checkout`.

    Returns
    -------
    module
        The module.

    Raises
    ------
    ValueError
        In one line, if the import raises.
    """
    return Checkout([folder or file.parent], {name: file}, whole=False, **options).module(name)


def package(folder: Path, name: str, modules: Iterable[str], **options: Any) -> list[ModuleType]:
    """Import modules of a folder as those of a package, without the folder's own ``__init__``.

    Parameters
    ----------
    folder : Path
        The folder.
    name : str
        The package's name.
    modules : iterable of str
        Modules in it.
    **options : Any
        `given` and `replaced` of `Checkout`.

    Returns
    -------
    list of module
        The modules.

    Raises
    ------
    ValueError
        In one line, if an import raises.
    """
    checkout = Checkout([folder], {name: folder}, whole=False, **options)
    return [checkout.module(f"{name}.{module}") for module in modules]
