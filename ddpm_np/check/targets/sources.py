"""Import the files of a checkout, whatever else they import, and hand over the noise that they draw.

A repository's file imports packages for training, logging and plotting, which its mathematics does without. Where such
a package is not installed, a stand-in takes its place: it can be imported, subclassed and used as a decorator, and to
call it later raises NotImplementedError, so that an equation which depends on it is UNVERIFIED and never wrong.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from ddpm_np.check.targets.checkouts import path_and_rest
from ddpm_np.check.targets.peers import imported, tensor

_importing = False  # stand-ins may be called only while a file is imported


class _Callable(type):
    """The class of stand-ins: attributes are stand-ins; called at import they are decorators that change nothing."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(f"{cls.__name__}.{name}")

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if not _importing:
            raise NotImplementedError(f"{cls.__name__} is not installed")
        return args[0] if len(args) == 1 and callable(args[0]) and not options else cls


def stand_in(name: str) -> type:
    """Return a class that stands for what is not installed.

    Parameters
    ----------
    name : str
        Its name, for the message.

    Returns
    -------
    type
        The stand-in.

    Examples
    --------
    >>> stand_in("wandb.log")(1)
    Traceback (most recent call last):
        ...
    NotImplementedError: wandb.log is not installed
    """
    return _Callable(name, (), {"__iter__": lambda self: iter(())})


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(f"{self.__name__}.{name}")


class _StandIns(MetaPathFinder, Loader):
    """A finder of modules that files of a checkout import: of these names, or of every name.

    Parameters
    ----------
    folder : Path
        Only imports by files below it are answered: an installed library does without what it does not find.
    given : dict
        {module: {name: value}}: what a stand-in holds.
    only : container or None
        The names; None: every name, for the last of the finders.
    """

    def __init__(self, folder: Path, given: dict[str, dict[str, Any]], only: Iterable[str] | None = None):
        self.folder, self.given, self.only = folder, given, None if only is None else set(only)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if (self.only is None and _importer().is_relative_to(self.folder)) or (self.only and name in self.only):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        made = _Module(spec.name)
        made.__dict__.update(self.given.get(spec.name, {}))
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


def _importer() -> Path:
    """Return the file with the import statement that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename.startswith("<") or frame.f_code.co_filename == __file__):
        frame = frame.f_back
    return Path(frame.f_code.co_filename)


@contextmanager
def importing(folder: Path, given: dict[str, dict[str, Any]] | None = None,
              replaced: Iterable[str] = ()) -> Iterator[None]:
    """Import files of a checkout in this context, with stand-ins for what is not installed.

    Parameters
    ----------
    folder : Path
        The checkout, resolved. It is searched first, so that its packages are found.
    given : dict or None
        {module: {name: value}}: what stand-ins of these modules hold, where a stand-in alone does not serve.
    replaced : iterable of str
        Modules that are stand-ins even if they exist: the checkout's own parts that are not asked for and import much.
    """
    global _importing
    with suppress(ImportError):
        imported("torch", "PyTorch")  # first, and by itself
    finders = _StandIns(folder, given or {}, replaced), _StandIns(folder, given or {})
    before, path = dict(sys.modules), list(sys.path)
    sys.meta_path[:] = [finders[0], *sys.meta_path, finders[1]]
    sys.path.insert(0, str(folder))
    _importing = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _importing = False
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in finders]
        sys.path[:] = path
        for name in [name for name in sys.modules if name not in before]:
            if _foreign(sys.modules[name], folder):  # another checkout may have packages of the same names
                del sys.modules[name]


def _foreign(module: Any, folder: Path) -> bool:
    """Return whether a module is a stand-in or a file below the checkout."""
    file = getattr(module, "__file__", None)
    return isinstance(module, _Module) or (file is not None and Path(file).is_relative_to(folder))


def file_in(where: str, *places: str) -> Path:
    """Return the first of these places below a path that exists, or the path itself if it is a file.

    Parameters
    ----------
    where : str
        Path of a checkout, or of the file.
    *places : str
        Where the file is in a checkout.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there is none.
    """
    path, _ = path_and_rest(where)
    if path.is_file():
        return path.resolve()
    for place in places:
        if (path / place).is_file():
            return (path / place).resolve()
    raise ValueError(f"--target: {path} has no {' and no '.join(places)}: give a checkout of the repository")


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
        Those of `importing`.

    Returns
    -------
    module
        The module.

    Raises
    ------
    ValueError
        In one line, if the import raises.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with importing((folder or file.parent).resolve(), **options):
            sys.modules[name] = module  # dataclasses look it up there
            spec.loader.exec_module(module)
    except Exception as error:  # the file's own code can raise anything
        text = " ".join(str(error).split())
        raise ValueError(f"--target: importing {file} raised {type(error).__name__}: {text}") from error
    return module


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
        Those of `importing`.

    Returns
    -------
    list of module
        The modules.
    """
    folder, parent = folder.resolve(), ModuleType(name)
    parent.__path__ = [str(folder)]
    with importing(folder, **options):
        sys.modules[name] = parent
        return [importlib.import_module(f"{name}.{module}") for module in modules]


def _no_answer(x: Any, t: Any) -> Any:
    raise NotImplementedError("the net was asked before it had an answer")


def net() -> Any:
    """Return a module without weights whose output is what its attribute `answer` returns for (x, t).

    Returns
    -------
    torch.nn.Module
        The net.
    """
    torch = imported("torch", "PyTorch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.answer: Callable[..., Any] = _no_answer

        def forward(self, x: Any, t: Any = None, *rest: Any, **options: Any) -> Any:
            return self.answer(x, t)

    return Net()


def asking(model: Callable[[np.ndarray, np.ndarray], np.ndarray], shape: tuple[int, ...]) -> Callable[..., Any]:
    """Wrap a checker's model for PyTorch: tensors of any layout in and out, one t for each image.

    Parameters
    ----------
    model : callable
        (x_t, t) -> ε, on arrays.
    shape : tuple of int
        Shape of x_t for the checker.

    Returns
    -------
    callable
        (x_t, t) -> ε, on tensors.
    """

    def ask(x: Any, t: Any, *rest: Any, **options: Any) -> Any:
        steps = np.broadcast_to(np.asarray(t.detach()).reshape(-1), shape[:1])
        return tensor(model(x.detach().double().numpy().reshape(shape), steps)).reshape(x.shape)

    return ask


def images(array: np.ndarray) -> Any:
    """Convert an array (N, …) to a tensor (N, C, 1, 1), which code for images takes."""
    return tensor(array.reshape(len(array), -1, 1, 1))


def drawing(*arrays: Any) -> Any:
    """Return a context in which PyTorch's normal numbers are these tensors, one a call; the last stays.

    Parameters
    ----------
    *arrays : tensor
        The numbers, in the order in which they are drawn.

    Returns
    -------
    context manager
        The context.
    """
    left = list(arrays)

    def drawn(like: Any = None, *rest: Any, **options: Any) -> Any:
        noise = left.pop(0) if len(left) > 1 else left[0]
        return noise.reshape(like.shape).clone() if hasattr(like, "shape") else noise.clone()

    return patch.multiple(imported("torch", "PyTorch"), randn_like=drawn, randn=drawn)
