"""Read a Python file for its definitions only: nothing is trained, downloaded, plotted or saved.

Of the file's statements, those that define something are run, one by one: imports, functions, classes, and names for
constants and for tables that NumPy or PyTorch computes. Calls of anything else are left out, and so is what stands
under ``if __name__ == "__main__"``. Modules of the same project are read in the same way. Of other packages only
Python's own and the numerical ones are imported, the rest are stand-ins.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ddpm_np.check.find.names import is_schedule_name, is_steps_name
from ddpm_np.check.find.stubs import Stub, StubModule

NUMERICAL = ("numpy", "torch", "scipy", "einops", "typing_extensions")
INERT = ("torch.utils.tensorboard",)
MARKS = (".git", "setup.py", "pyproject.toml", "README.md", "README.rst", "LICENSE")  # of a project's top folder
_CALLABLE = ("np", "numpy", "torch", "th", "math", "F", "partial", "functools", "namedtuple", "collections", "range",
             "list", "tuple", "dict", "TypeVar", "NewType", "int", "float", "len", "min", "max", "reversed", "sorted")
_LEFT_OUT = ("load", "save", "hub", "manual_seed", "seed", "set_default_device", "compile", "open", "loadtxt", "memmap")

Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]


class Source:
    """A file and the project around it.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    stubbed : set of str
        Packages that stand-ins replace.
    left_out : list of str
        Statements that raised, each with its line.
    """

    def __init__(self, path: Path):
        self.path = path.resolve()
        self.folders = _folders(self.path)
        if b"torch" in self.path.read_bytes():
            with contextlib.suppress(ImportError):
                importlib.import_module("torch")  # whole, before stand-ins are looked for
        self.stubbed: set[str] = set()
        self.left_out: list[str] = []
        self.modules: dict[str, ModuleType] = {}

    @property
    def name(self) -> str:
        """The module's name as its project imports it."""
        parts, folder = [self.path.stem], self.path.parent
        while (folder / "__init__.py").is_file() and folder.name.isidentifier():
            parts.insert(0, folder.name)
            folder = folder.parent
        if len(parts) == 1 and b"from ." in self.path.read_bytes() and self.path.parent.name.isidentifier():
            parts.insert(0, self.path.parent.name)  # a package without an __init__.py
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def load(self) -> ModuleType:
        """Run the file's definitions.

        Returns
        -------
        module
            The module; modules of the same project are in `modules`.
        """
        with self._importing():
            return self.modules[self.name] if self.name in self.modules else self._run(self.name, self.path)

    def rerun(self, steps: int, wrap: Wrap) -> ModuleType:
        """Run the file's own definitions again, for tables that it computes when it is imported.

        Parameters
        ----------
        steps : int
            Replaces the number of steps T that the file sets as a constant.
        wrap : callable
            ``wrap(name, function)`` returns what stands for a function of the file.

        Returns
        -------
        module
            Another module of the same name.
        """
        with self._importing():
            return self._run(self.name, self.path, steps, wrap)

    def _run(self, name: str, path: Path, steps: int | None = None, wrap: Wrap | None = None) -> ModuleType:
        module = importlib.util.module_from_spec(
            importlib.machinery.ModuleSpec(name, None, origin=str(path), is_package=path.name == "__init__.py"))
        module.__file__ = str(path)
        if path.name == "__init__.py":
            module.__path__ = [str(path.parent)]
        sys.modules[name] = module
        self._define(module, path, steps, wrap)
        return module

    def _define(self, module: ModuleType, path: Path, steps: int | None = None, wrap: Wrap | None = None) -> None:
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"--find: {path} is not Python: {error}") from error
        known = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        registers = {ast.unparse(decorator).partition(".")[0] for node in tree.body for decorator in getattr(
            node, "decorator_list", ())}
        for statement in definitions(tree.body, known, registers):
            if steps is not None and (found := _steps_constant(statement)):
                module.__dict__[found] = steps
                continue
            self._statement(module, statement, str(path))
            if wrap is not None and isinstance(statement, ast.FunctionDef) and statement.name in module.__dict__:
                module.__dict__[statement.name] = wrap(statement.name, module.__dict__[statement.name])

    def _statement(self, module: ModuleType, statement: ast.stmt, path: str) -> None:
        code = compile(ast.Module([statement], []), path, "exec", dont_inherit=True)
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            if isinstance(statement, ast.ImportFrom) and len(statement.names) > 1:
                for alias in statement.names:
                    one = ast.ImportFrom(statement.module, [alias], statement.level)
                    self._statement(module, ast.copy_location(one, statement), path)
            elif isinstance(statement, (ast.Import, ast.ImportFrom)):
                for alias in statement.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.stubbed.add(name)
                    module.__dict__[name] = Stub(name)
            elif getattr(statement, "decorator_list", None):
                statement.decorator_list = []  # type: ignore[attr-defined]
                self._statement(module, statement, path)
            else:
                self.left_out.append(f"{Path(path).name}:{statement.lineno}: {type(error).__name__}: {error}")

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Import the project's modules from their definitions; afterwards sys.modules is as before."""
        own = [name for name in sys.modules if self.local(name.partition(".")[0]) is not None]
        kept = {name: sys.modules.pop(name) for name in own}
        sys.modules.update(self.modules)
        finder = _Finder(self)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            for name in list(sys.modules):
                module = sys.modules[name]
                if self.local(name.partition(".")[0]) is not None or isinstance(module, StubModule):
                    del sys.modules[name]
                    if not isinstance(module, StubModule):
                        self.modules[name] = module
            sys.modules.update(kept)

    def local(self, name: str) -> Path | None:
        """Return the file or folder of one of the project's modules, or None.

        Parameters
        ----------
        name : str
            The module's name in dots.

        Returns
        -------
        Path or None
            A file, or the folder of a package without an __init__.py.
        """
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in NUMERICAL or top == "ddpm_np":
            return None
        for folder in self.folders:
            at = folder.joinpath(*name.split("."))
            for path in (at / "__init__.py", at.with_name(at.name + ".py")):
                if path.is_file():
                    return path
            if at.is_dir() and any(at.glob("*.py")):
                return at
        return None


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the project's modules, and stand-ins for packages that are neither Python's nor numerical."""

    def __init__(self, source: Source):
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        local, top = self.source.local(name), name.partition(".")[0]
        if local is not None:
            package = local.is_dir() or local.name == "__init__.py"
            spec = importlib.machinery.ModuleSpec(name, self, origin=str(local), is_package=package)
            if package:
                spec.submodule_search_locations = [str(local if local.is_dir() else local.parent)]
            return spec
        if top in sys.stdlib_module_names or (top in NUMERICAL and not name.startswith(INERT) and _installed(top)):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return StubModule(spec.name) if spec.origin is None else None

    def exec_module(self, module: ModuleType) -> None:
        if isinstance(module, StubModule):
            self.source.stubbed.add(module.__name__.partition(".")[0])
            return
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        if spec.origin.endswith(".py"):
            module.__file__ = spec.origin
            self.source._define(module, Path(spec.origin))


def _installed(package: str) -> bool:
    return importlib.machinery.PathFinder.find_spec(package) is not None or package in sys.modules


def _folders(path: Path) -> list[Path]:
    """Return the folders from which a file's project may import, the nearest first."""
    found, folder = [path.parent], path.parent
    for _ in range(4):
        if any((folder / mark).exists() for mark in MARKS):
            break
        folder = folder.parent
        found.append(folder)
    return found


def definitions(body: list[ast.stmt], known: set[str], registers: Collection[str] = ()) -> Iterator[ast.stmt]:
    """Yield the statements that define something.

    Parameters
    ----------
    body : list of ast.stmt
        Statements of a module.
    known : set of str
        Names of its functions and classes.
    registers : collection of str
        Names that its decorators use: what they name is made, whatever it is.

    Yields
    ------
    ast.stmt
        Imports, functions, classes, and names for constants and tables.

    Examples
    --------
    >>> tree = ast.parse("import math\\nT = 10\\ntrain(T)\\nmodel = Net()\\nx = math.sqrt(T)")
    >>> [ast.unparse(statement) for statement in definitions(tree.body, set())]
    ['import math', 'T = 10', 'x = math.sqrt(T)']
    """
    for statement in body:
        if isinstance(statement, (ast.Import, ast.FunctionDef, ast.ClassDef)):
            yield statement
        elif isinstance(statement, ast.ImportFrom):
            if statement.module != "__future__":
                yield statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if statement.value is not None and (_harmless(statement.value, known) or any(
                    isinstance(target, ast.Name) and target.id in registers for target in targets)):
                yield statement
        elif isinstance(statement, ast.If):
            if "__name__" not in ast.unparse(statement.test) and "TYPE_CHECKING" not in ast.unparse(statement.test):
                yield from definitions(statement.body, known, registers)
        elif isinstance(statement, ast.Try):
            yield from definitions(statement.body, known, registers)


def _harmless(node: ast.expr, known: set[str]) -> bool:
    """Return whether an expression computes with constants, arrays and schedules only."""
    for part in ast.walk(node):
        if isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
        if isinstance(part, ast.Call):
            chain = ast.unparse(part.func)
            root, last = chain.partition(".")[0], chain.rpartition(".")[2]
            if last in _LEFT_OUT:
                return False
            of_the_file = root in known and is_schedule_name(root)
            of_an_expression = isinstance(part.func, ast.Attribute) and not root[:1].isalpha()
            if not (root in _CALLABLE or of_the_file or of_an_expression or last in (
                    "to", "float", "double", "numpy", "sqrt", "cumprod", "cpu", "copy", "astype")):
                return False
    return True


def _steps_constant(statement: ast.stmt) -> str:
    """Return the name if a statement sets a number of steps T as a constant."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.value, ast.Constant):
        target = statement.targets[0]
        if isinstance(target, ast.Name) and is_steps_name(target.id) and isinstance(statement.value.value, int):
            return target.id
    return ""
