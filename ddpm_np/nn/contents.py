"""What a net's results depend on besides its parameters, for workers that must see its changes."""

from __future__ import annotations

from typing import Any

from ddpm_np.nn.module import Module
from ddpm_np.parallel.contents import NotPlain, is_own, plain_contents


def module_contents(model: Module, labels: dict[int, Any]) -> tuple[list[Any] | None, list[Any]]:
    """Return the contents of all attributes of a net's modules, if they are plain and the classes this package's.

    Parameters
    ----------
    model : Module
        The net.
    labels : dict of int to object
        What stands for some objects, by id: those of all parameters. The modules are added.

    Returns
    -------
    contents : list or None
        As in `plain_contents`: equal lists mean that nothing has changed. None if some attributes are not plain, or a
        class is another's, whose code may read anything.
    others : list
        The modules of other classes, and the attributes of modules that are not plain.

    Examples
    --------
    >>> from ddpm_np.nn import Dropout
    >>> layer = Dropout(0.1)
    >>> before, _ = module_contents(layer, {})
    >>> layer.p = 0.2
    >>> module_contents(layer, {})[0] == before
    False
    """
    modules = list(model.modules())
    labels |= {id(module): -i for i, module in enumerate(modules, 1)}
    contents: list[Any] = []
    others: list[Any] = []
    for module in modules:
        if not is_own(type(module)):
            others.append(module)
            continue
        contents.append(type(module))
        try:
            for name, value in vars(module).items():
                contents.append(name)
                plain_contents(value, contents, labels)
        except NotPlain:
            others.append(vars(module))
    return None if others else contents, others
