"""What objects hold, compared by content: whether workers have seen a change, and whether calls store anything.

A worker process has everything as it was at the fork. So a step runs in processes only if all that it depends on is
of this package or plain (numbers, texts, arrays, containers of those), which `plain_contents` compares between steps.
Code of others may read anything, a global of its module for example. It runs in threads, which share everything; what
it may have stored there is found by `stored_contents`.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

_ATOMS = frozenset({bool, int, float, complex, str, bytes, type(None)})
_OPAQUE = (types.ModuleType, types.BuiltinFunctionType, types.GetSetDescriptorType, types.MemberDescriptorType,
           types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
           types.MethodWrapperType, np.ufunc, np.dtype, type(Ellipsis), type(NotImplemented))
_MOST = 20_000  # objects that `stored_contents` looks into
_TRUSTED = frozenset({"ddpm_np", "numpy", "scipy"}) | sys.stdlib_module_names


class NotPlain(TypeError):
    """Something whose contents cannot be compared."""


def is_own(thing: Any) -> bool:
    """Return whether a class or a function belongs to this package.

    Parameters
    ----------
    thing : class or function

    Returns
    -------
    bool
    """
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "ddpm_np"


def plain_contents(x: Any, into: list[Any], labels: dict[int, Any] | None = None) -> None:
    """Append the contents of a plain value to a list; equal lists mean equal contents.

    Plain are numbers, texts, None, arrays, and lists, tuples and dicts of plain values; the package's own functions,
    with their defaults, and partials of them with plain arguments; the package's own objects with plain attributes.

    Parameters
    ----------
    x : object
        The value.
    into : list
        Where the contents go. They are immutable.
    labels : dict of int to object, optional
        What to append in the place of some objects, by id.

    Raises
    ------
    NotPlain
        If it holds something else.

    Examples
    --------
    >>> first, second, mask = [], [], np.zeros(3)
    >>> plain_contents({"mask": mask}, first)
    >>> mask[0] = 1
    >>> plain_contents({"mask": mask}, second)
    >>> first == second
    False
    """
    kind = type(x)
    if kind in _ATOMS:
        into += (kind, x)
    elif labels is not None and id(x) in labels:
        into.append(labels[id(x)])
    elif kind is np.ndarray:
        if x.dtype.hasobject:
            raise NotPlain(f"an array of {x.dtype}")
        into += (x.dtype.str, x.shape, x.tobytes())
    elif kind in (list, tuple):
        into += (kind, len(x))
        for item in x:
            plain_contents(item, into, labels)
    elif kind is dict:
        into += (kind, len(x))
        for key, item in x.items():
            plain_contents(key, into, labels)
            plain_contents(item, into, labels)
    elif kind is types.FunctionType and x.__closure__ is None and is_own(x):
        into += (x, x.__code__)
        plain_contents((x.__defaults__, x.__kwdefaults__), into, labels)
    elif kind is functools.partial:
        plain_contents((x.func, x.args, x.keywords), into, labels)
    elif isinstance(x, np.generic):
        into += (kind, x.tobytes())
    elif is_own(kind) and hasattr(x, "__dict__"):
        into.append(kind)
        for name, value in vars(x).items():
            into.append(name)
            plain_contents(value, into, labels)
    else:
        raise NotPlain(f"a {kind.__name__}")


def held_by(x: Any) -> list[Any]:
    """Return the objects that an object holds directly: items, attributes, what a function closes over.

    Parameters
    ----------
    x : object

    Returns
    -------
    list
        Empty for numbers, texts, arrays, classes and modules.
    """
    kind = type(x)
    if kind in _ATOMS or isinstance(x, (type, *_OPAQUE)):
        return []
    if isinstance(x, np.ndarray):
        return list(x.flat) if x.dtype.hasobject else []
    found: list[Any] = []
    if isinstance(x, dict):
        found += [*x.keys(), *x.values()]
    elif isinstance(x, (list, tuple, set, frozenset)) or kind.__module__ == "collections":
        found += list(x)
    elif isinstance(x, types.FunctionType):
        found += [cell.cell_contents for cell in x.__closure__ or () if cell != _EMPTY]
        found += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
    elif isinstance(x, types.MethodType):
        found += [x.__self__, x.__func__]
    elif isinstance(x, functools.partial):
        found += [x.func, *x.args, *x.keywords.values()]
    elif isinstance(x, property):
        found += [x.fget, x.fset, x.fdel]
    found += list(getattr(x, "__dict__", {}).values())
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        found += [getattr(x, name) for name in ([slots] if isinstance(slots, str) else slots) if hasattr(x, name)]
    return found


_EMPTY = types.CellType()


def stored_contents(roots: Iterable[Any], known: Collection[int]) -> list[Any] | None:
    """Return the contents of all that code of others may store values in: equal lists mean that it has stored nothing.

    These are the objects below `roots`, the globals that their functions read by name, and the attributes of their
    classes. The package's own objects are not looked into, but for Tensors, and neither is the code of the package, of
    NumPy and of the standard library.

    Parameters
    ----------
    roots : iterable
        Functions and objects.
    known : collection of int
        The ids of objects that are not looked into.

    Returns
    -------
    list or None
        None if something holds contents that cannot be read, such as a generator, or too many objects.
    """
    into: list[Any] = []
    seen: dict[int, int] = {}
    below, alive = list(roots), []  # what is made here is kept, so that no id is used twice
    while below:
        x = below.pop()
        kind = type(x)
        if kind in _ATOMS:
            into += (kind, x)
        elif isinstance(x, np.generic):
            into += (kind, x.tobytes())
        elif id(x) in known or isinstance(x, _OPAQUE) or (is_own(kind) and not hasattr(x, "__array_namespace__")):
            into.append(id(x))
        elif id(x) in seen:
            into.append(seen[id(x)])
        else:
            seen[id(x)] = len(seen)
            held = _contents_of(x)
            if held is None or len(seen) > _MOST:
                return None
            into += (kind, len(held))
            alive.append((x, held))
            below += held
    return into


def _contents_of(x: Any) -> list[Any] | None:
    """Return what an object holds, and what its code reads; None if that is unknown."""
    kind = type(x)
    if isinstance(x, np.ndarray) and not x.dtype.hasobject:
        return [x.dtype.str, x.shape, x.tobytes()]
    if isinstance(x, type):
        return [] if _is_trusted(x) else [*x.__bases__, *(
            value for name, value in vars(x).items()
            if name != "_abc_impl" and (not name.startswith("__") or isinstance(value, types.FunctionType)))]
    if isinstance(x, types.FunctionType):
        read = () if _is_trusted(x) else _names_in(x.__code__)
        return held_by(x) + [x.__globals__[name] for name in read if name in x.__globals__]
    if hasattr(x, "__array_namespace__"):  # a Tensor, or an array of a device
        return [x.data] if isinstance(getattr(x, "data", None), np.ndarray) else [str(id(x))]
    if isinstance(x, (list, tuple, dict, set, frozenset, property, functools.partial, types.MethodType, classmethod,
                      staticmethod)):
        return held_by(x)
    if not _is_trusted(kind):
        return [*held_by(x), kind]
    try:  # what it would be pickled as
        parts = x.__reduce_ex__(4)
        return [parts] if isinstance(parts, str) else [list(p) if hasattr(type(p), "__next__") else p for p in parts]
    except Exception:
        return None


@functools.cache
def _names_in(code: types.CodeType) -> tuple[str, ...]:
    inner = (name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names_in(part))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def _is_trusted(thing: Any) -> bool:
    """Return whether a class or function is of this package, NumPy, SciPy or the standard library."""
    name = str(getattr(thing, "__module__", "")).partition(".")[0]
    return name in _TRUSTED and name != "__main__"
