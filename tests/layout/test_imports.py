"""Imports between packages: downward only, nothing heavy at start-up, no array library where a namespace serves."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import ddpm_np

ROOT = Path(ddpm_np.__file__).parent
DOCUMENTED = ROOT.parent / "docs" / "design" / "README.md"

# A part imports only parts that stand before it; docs/design/README.md shows the same order to readers.
ORDER = [
    "arguments", "formulas", "philox", "cuda", "special", "backend", "memory", "file_lock", "storage", "progress",
    "parallel", "autograd", "kernels", "nn", "presets", "trained", "models", "diffusion", "data", "config", "training",
    "sampling", "viz", "interop", "runs", "evaluate", "toys", "check", "bench", "cli", "__main__",
]
NAMESPACE_ONLY = {"autograd", "nn", "models", "diffusion", "training", "sampling"}
HOST_CODE = {"autograd.ops.examples"}  # inputs for tests
UPWARD = {("autograd.tensor", "autograd.ops")}  # the table of ops is filled when a Tensor first needs one


@cache
def modules():
    """Return {dotted name below ddpm_np: syntax tree} of every module; a package is its __init__."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def imported(name):
    """Yield the full names of a module's imports, in its functions too; for this package's modules the module."""
    is_package = name == "" or any(other.startswith(f"{name}.") for other in modules())
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["ddpm_np", *package.split(".")][: 2 + package.count(".") - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full.removeprefix("ddpm_np.") in modules() else base
        elif isinstance(node, ast.Constant) and name != "" and re.fullmatch(r"ddpm_np(\.[a-z_]+)+", str(node.value)):
            yield node.value  # of importlib.import_module


def own(name):
    """Return the modules of this package that a module imports."""
    found = {full.removeprefix("ddpm_np.") for full in imported(name) if full.startswith("ddpm_np.")}
    return {part for part in found if part in modules() and (name, part) not in UPWARD}


def test_every_package_has_a_place_in_the_order():
    parts = {name.partition(".")[0] for name in modules()} - {""}
    assert parts <= set(ORDER), f"give {sorted(parts - set(ORDER))} a place in ORDER and in {DOCUMENTED.name}"


def test_imports_run_downward():
    for name in modules():
        place = ORDER.index(name.partition(".")[0]) if name else -1
        for other in own(name):
            part = other.partition(".")[0]
            assert ORDER.index(part) <= place, f"{name or 'ddpm_np'} imports {other}, which stands after it"


def test_imports_within_a_package_have_no_cycle():
    seen, open_ = set(), []

    def visit(name):
        assert name not in open_, " imports ".join([*open_[open_.index(name):], name])
        if name not in seen:
            open_.append(name)
            for other in sorted(own(name)):
                visit(other)
            seen.add(open_.pop())

    for name in modules():
        visit(name)


def test_the_documented_order_is_the_tested_one():
    text = DOCUMENTED.read_text("utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    shown = [re.sub(r"(\.py|/)$", "", name) for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert [name for name in shown if name in ORDER] == [name for name in ORDER if name in shown]
    assert set(ORDER) - set(shown) == {"__main__"}


def test_namespace_only_packages_import_no_array_library():
    for name in modules():
        if name.partition(".")[0] in NAMESPACE_ONLY and name not in HOST_CODE:
            heavy = {full.partition(".")[0] for full in imported(name)} & {"numpy", "cupy", "scipy", "cupyx"}
            assert not heavy, f"{name} imports {heavy}"


def test_diffusion_imports_only_the_backend_and_checks_of_arguments():
    for name in modules():
        if name.partition(".")[0] == "diffusion":
            assert {other.partition(".")[0] for other in own(name)} <= {"arguments", "backend", "diffusion"}, name


def test_only_the_cifar_reader_unpickles():
    """CIFAR-10's python format needs it, and its unpickler resolves nothing but stand-ins of its own."""
    for name in modules():
        found = {full.partition(".")[0] for full in imported(name)} & {"pickle", "shelve", "marshal", "dill"}
        assert not found or name == "data.batch_pickle", f"{name} imports {found}"


def run(code):
    """Return the output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
                          cwd=ROOT.parent).stdout


HEAVY = ("scipy", "matplotlib", "cupy", "PIL", "tqdm", "hypothesis", "mpmath", "torch", "safetensors", "threadpoolctl")


@pytest.mark.parametrize("statement", ["import ddpm_np", "from ddpm_np import Tensor, Trainer, load, no_grad, sample"])
def test_importing_the_package_imports_nothing_heavy(statement):
    loaded = run(f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})").split()
    assert not set(loaded) & set(HEAVY)


def test_a_check_without_random_cases_imports_nothing_heavy_but_mpmath():
    """SciPy is imported only where this package itself computes ln Φ, as in (13), or Φ⁻¹, as in Algorithm 1."""
    code = """
import sys
import ddpm_np.check.equations
from ddpm_np.check import run
from ddpm_np.check.targets import ddpm_np
assert not run(ddpm_np, ["4", "7", "11", "log-normal", "oracle-mixture", "kl"], examples=0).failed
print(*{name.partition(".")[0] for name in sys.modules})
"""
    assert set(run(code).split()) & {*HEAVY, "sympy"} == {"mpmath"}


def test_importing_without_cupy():
    code = """
import sys
sys.modules["cupy"] = None  # as if it were not installed
import ddpm_np
from ddpm_np import Tensor, Trainer, load, no_grad, sample
from ddpm_np.backend import BackendError, get_backend
from ddpm_np.models import UNet, UNetConfig
assert ddpm_np.__version__ and set(ddpm_np.__all__) <= set(dir(ddpm_np))
try:
    get_backend("cupy")
except BackendError as error:
    print(error)
"""
    assert "needs CuPy, which is not installed: pip install" in run(code)


def test_tensor_imported_alone_finds_its_ops():
    """`ddpm_np.Tensor` imports only its own module; the ops are imported on first use."""
    assert run("from ddpm_np import Tensor; print((Tensor([1.0]) * 2).data[0])").strip() == "2.0"


def test_unknown_attributes_raise():
    with pytest.raises(AttributeError, match="module 'ddpm_np' has no attribute 'tensors'"):
        _ = ddpm_np.tensors


@pytest.mark.parametrize(("statement", "seconds"), [
    ("import ddpm_np", 0.1), ("from ddpm_np import Tensor, Trainer, load, no_grad, sample", 0.3)])
def test_import_time_is_small(statement, seconds):
    """Processor time beyond `import numpy`: the minimum of several processes, since other load only adds to it."""
    code = f"import numpy, time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    times = [float(run(code)) for _ in range(3)]
    assert min(times) <= seconds, f"median {statistics.median(times):.3f} s"
