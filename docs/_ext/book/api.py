"""The reference: a page for each public module, made from docstrings, and what lets plain text be reStructuredText."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment
from numpydoc import docscrape_sphinx
from sphinx import addnodes

from book.code import ROOT, source_link

PACKAGE = ROOT / "ddpm_np"
PAGES = ROOT / "docs" / "reference" / "api"  # git ignores it
EMPHASIS = re.compile(r"(?<![\w*\\])\*(?=[A-Za-z])[^*|`\n]*[A-Za-z.]\*(?![\w*])")
PARAMETER = re.compile(r"^\s*\*{1,2}\w+( :.*)?$")


def public_modules() -> dict[str, Path]:
    """Return the public modules and packages below ddpm_np by their full names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not any(part.startswith("_") for part in name.split(".")[1:]):
            found[name] = path
    return found


def written(name: str, modules: dict[str, Path]) -> str:
    """Return the page of a module; a package lists its modules with their first lines."""
    path = modules[name]
    title = name.removeprefix("ddpm_np.")
    lines = [title, "=" * len(title), "", f".. automodule:: {name}", "   :members:", ""]
    for op in ops(ast.parse(path.read_text("utf-8"))):  # to Sphinx they are not functions but values
        lines += [f".. autofunction:: {name}.{op}", ""]
    if path.name == "__init__.py":
        children = [child for child in modules if child.rpartition(".")[0] == name]
        if children:
            lines += [".. toctree::", "   :hidden:", "", *(f"   {child}" for child in children), ""]
        for child in children:
            documented = ast.get_docstring(ast.parse(modules[child].read_text("utf-8"))) or ""
            summary = escaped_line(" ".join(documented.partition("\n\n")[0].split()))
            lines += [f":doc:`{child.rpartition('.')[2]} <{child}>`", f"   {summary}", ""]
    return "\n".join(lines)


def ops(tree: ast.Module) -> list[str]:
    """Return the names of the functions that the decorator `op` turns into operations."""

    def called(decorator: ast.expr) -> str:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        return function.id if isinstance(function, ast.Name) else ""

    return [node.name for node in tree.body
            if isinstance(node, ast.FunctionDef) and "op" in map(called, node.decorator_list)]


def write_pages(app: Any) -> None:
    """Write the pages that differ from those in the folder, and remove those of modules that are gone."""
    modules = public_modules()
    PAGES.mkdir(parents=True, exist_ok=True)
    for stale in {path.stem for path in PAGES.iterdir()} - set(modules):
        path = PAGES / f"{stale}.rst"
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for name in modules:
        text, path = written(name, modules), PAGES / f"{name}.rst"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def escaped_line(text: str) -> str:
    """Return a line of a docstring with its stars and bars, which are mathematics there, kept from being markup."""
    parts = re.split(r"(``.*?``|`[^`]*`)", text)
    for at in range(0, len(parts), 2):
        kept = EMPHASIS.findall(parts[at])
        pieces = EMPHASIS.split(parts[at])
        pieces = [re.sub(r"(?<!\\)([*|])", r"\\\1", piece) for piece in pieces]
        parts[at] = "".join(piece + mark for piece, mark in zip(pieces, [*kept, ""], strict=True))
    return "".join(parts)


def escape(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring in place, but for its code and the names of its parameters."""
    example = literal = False
    if what == "module":  # it has no sections, so what is indented is code
        for at in range(len(lines) - 1, 0, -1):
            if indent(lines[at]) >= 4 and not lines[at - 1].strip() and not lines[at - 2].endswith(":"):
                earlier = next((text for text in reversed(lines[:at]) if text.strip()), "")
                if indent(earlier) < 4:
                    lines[at:at] = ["::", ""]
    for at in range(len(lines) - 2):
        announces = lines[at].endswith(":") and not lines[at].endswith("::") and not lines[at + 1].strip()
        if announces and indent(lines[at + 2]) >= indent(lines[at]) + 4:
            lines[at] += ":"  # the code that follows, written as it is in an editor
    for at, text in enumerate(lines):
        example = text.lstrip().startswith(">>>") or (example and bool(text.strip()))
        literal = literal and (not text.strip() or text.startswith("    "))
        if not (example or literal or PARAMETER.match(text)):
            lines[at] = escaped_line(text)
        literal = literal or text.rstrip().endswith("::")


def indent(text: str) -> int:
    """Return the number of spaces that a line begins with."""
    return len(text) - len(text.lstrip())


def add_source_links(app: Any, document: nodes.document) -> None:
    """Put a link to the source beside each signature of the reference."""
    if not app.env.docname.startswith("reference/api/"):
        return
    for signature in document.findall(addnodes.desc_signature):
        module, name = signature.get("module"), signature.get("fullname")
        at = _line(module, name) if module and name else 0
        if at:
            path = str(public_modules_cached()[module].relative_to(ROOT))
            link = source_link(path, "[source]", at)
            link["refdoc"] = app.env.docname
            link["classes"].append("viewcode-link")
            signature.append(link)


_TREES: dict[str, dict[str, int]] = {}
_MODULES: dict[str, Path] = {}


def public_modules_cached() -> dict[str, Path]:
    """Return the public modules, looked for once."""
    if not _MODULES:
        _MODULES.update(public_modules())
    return _MODULES


def _line(module: str, name: str) -> int:
    """Return the line at which a module defines a name; 0 if it does not."""
    if module not in public_modules_cached():
        return 0
    if module not in _TREES:
        lines: dict[str, int] = {}

        def walk(body: list[ast.stmt], before: str) -> None:
            for node in body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    lines[before + node.name] = node.lineno
                    if isinstance(node, ast.ClassDef):
                        walk(node.body, f"{before}{node.name}.")

        walk(ast.parse(public_modules_cached()[module].read_text("utf-8")).body, "")
        _TREES[module] = lines
    return _TREES[module].get(name, 0)


def setup(app: Any) -> None:
    """Register the events; let numpydoc compile its template once and not for every docstring."""
    templates = SandboxedEnvironment(loader=FileSystemLoader(Path(docscrape_sphinx.__file__).parent / "templates"))
    docscrape_sphinx.SandboxedEnvironment = lambda loader: templates
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", escape, priority=100)  # before numpydoc
    app.connect("doctree-read", add_source_links)
