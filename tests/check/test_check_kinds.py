"""Adapters for checkouts of a kind, on small code of their shape in tests/support/shapes: right, and with mistakes."""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from ddpm_np.check import run
from ddpm_np.check.targets.checkouts import load
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.noise import drawing
from ddpm_np.check.targets.stubs import Inert
from ddpm_np.check.targets.tensorflow_as_numpy import tensor, tensorflow

pytestmark = pytest.mark.peers  # with PyTorch, where it is

SHAPES = Path(__file__).resolve().parent.parent / "support" / "shapes"
NEEDS_TORCH = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('torch')",
                                 reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
HOLD = ("PASS", "PRECISION", "CONVENTION")
CASES = {  # kind: folder in SHAPES, target, equations that its small code holds, and mistakes of it
    "monai DDPM": ("monai", "monai", "DDPMScheduler", ["1", "4", "7", "9", "11", "15", "clip", "sigma", "algorithm-2",
                                                     "timesteps", "linear-schedule"], {
        "4": ("scheduler.py", "(1 - bar).sqrt() * noise", "(1 - bar) * noise"),
        "11": ("ddpm.py", "(1 - before) * x)", "(1 - before) * x0)"),
        "algorithm-2": ("ddpm.py", "if t == 0:", "if t < 0:"),
        "clip": ("ddpm.py", "clamp(-1, 1)", "clamp(-2, 2)")}),
    "monai DDIM": ("monai", "monai", "DDIMScheduler", ["ddim-12", "ddim-16", "timesteps"], {
        "ddim-12": ("ddim.py", "+ (1 - before - sigma**2).sqrt()", "- (1 - before - sigma**2).sqrt()"),
        "ddim-16": ("ddim.py", "eta * (", "eta**2 * (")}),
    "compvis": ("ldm", "compvis", "DDPM", ["4", "15", "ddim-12", "ddim-16", "timesteps", "linear-schedule"], {
        "4": ("ddpm.py", "bar.sqrt() * x_start", "bar * x_start"),
        "ddim-12": ("ddim.py", "np.append(1.0, here[:-1])", "np.append(here[0], here[:-1])"),
        "timesteps": ("util.py", "np.arange(num_ddim_timesteps) * (num_ddpm_timesteps // num_ddim_timesteps)",
                      "np.arange(0, num_ddpm_timesteps, num_ddpm_timesteps // num_ddim_timesteps)")}),
    "k-diffusion": ("k_diffusion", "k_diffusion", "denoisers", ["11", "15", "eps", "alpha-bar", "ddim-12", "ddim-16"], {
        "ddim-16": ("sampling.py", "up = eta *", "up = eta**2 *"),
        "15": ("external.py", "x - column * self", "x - column**2 * self"),
        "eps": ("sampling.py", "(x - denoised)", "(denoised - x)")}),
    "authors": ("diffusion_tf", "authors", "GaussianDiffusion2", ["4", "14", "alpha-bar", "kl"], {
        "4": ("diffusion_utils_2.py", "np.sqrt(1 - bars)", "1 - bars"),
        "14": ("nn.py", "reduce_mean", "reduce_sum"),
        "kl": ("diffusion_utils_2.py", "tf.exp(-logvar2)", "tf.exp(-logvar1)")}),
}


def checkout(folder, tmp_path, mistake=None):
    """Return a copy of a shape as a checkout, with one text replaced."""
    shutil.copytree(SHAPES / folder, tmp_path / folder)
    if mistake is not None:
        name, right, wrong = mistake
        (file,) = tmp_path.rglob(name)
        before = file.read_text("utf-8")
        assert right in before
        file.write_text(before.replace(right, wrong), "utf-8")
    return tmp_path


def verdicts(case, tmp_path, equations, mistake=None):
    folder, module, target, _, _ = CASES[case]
    factories = import_module(f"ddpm_np.check.targets.{module}").targets(str(checkout(folder, tmp_path, mistake)))
    return {result.equation: result for result in run(factories[target], equations, examples=2).results}


def parameters():
    return [pytest.param(case, marks=() if case == "authors" else NEEDS_TORCH) for case in CASES]


@pytest.mark.parametrize("case", parameters())
def test_right_code_of_the_shape_has_no_failure(case, tmp_path):
    found = verdicts(case, tmp_path, CASES[case][3])
    assert not [f"{r.equation}: {r.counterexample}" for r in found.values() if r.verdict == "FAIL"]
    lacking = {r.equation for r in found.values() if r.verdict not in HOLD}
    assert lacking <= {"1", "sigma", "algorithm-2", "linear-schedule"}, lacking


@pytest.mark.parametrize(("case", "equation"), [
    pytest.param(case, equation, marks=() if case == "authors" else NEEDS_TORCH)
    for case in CASES for equation in CASES[case][4]])
def test_a_mistake_in_the_code_is_found(case, equation, tmp_path):
    found = verdicts(case, tmp_path, [equation], CASES[case][4][equation])[equation]
    assert found.verdict == "FAIL"
    assert "raised" not in found.counterexample


@pytest.mark.parametrize("kind", ["compvis", "monai", "k_diffusion", "edm", "authors"])
def test_a_folder_without_the_code_is_one_plain_line(kind, tmp_path):
    if kind == "compvis":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    targets = import_module(f"ddpm_np.check.targets.{kind}").targets
    with pytest.raises(ValueError, match=r"has no .*: give a checkout of the repository") as caught:
        targets(str(tmp_path))
    assert "\n" not in str(caught.value)
    for nowhere in ("", str(tmp_path / "nowhere")):
        with pytest.raises(ValueError, match="there is no file or folder"):
            targets(nowhere)


def test_a_stand_in_can_be_imported_and_subclassed_and_decorates_but_does_not_compute(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text("import absent.deep as a\nfrom absent import Base, decorate, configured\n\n\n"
                    "class Kind(Base):\n    @decorate\n    def two(self):\n        return 2\n\n"
                    "    @configured(3)\n    def three(self):\n        return a.compute(3)\n", "utf-8")
    path, modules = list(sys.path), set(sys.modules)
    module = load(file, "theirs")
    assert (sys.path, {name for name in sys.modules if "absent" in name}) == (path, set())
    assert set(sys.modules) <= modules | {"theirs"} | {name for name in sys.modules if name.startswith("torch")}
    assert module.Kind.two(None) == 2
    with pytest.raises(NotImplementedError, match=r"it needs absent\.deep\.compute, which cannot be imported"):
        module.a.compute(3)


def test_only_imports_of_the_checkout_get_stand_ins(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text("from importlib import import_module\nimport absent_here\n", "utf-8")
    load(file, "theirs")
    with pytest.raises(ImportError):
        import_module("absent_here")


def test_a_class_with_a_stand_in_as_its_base_works_except_for_what_the_base_has(tmp_path):
    file = tmp_path / "theirs.py"
    file.write_text("from absent import Base, Other, PI\n\nHALF = PI / 2\n\n\nclass Kind(Base, Other):\n"
                    "    def __init__(self):\n        super().__init__(1, name='x')\n        self.two = 2\n\n"
                    "    def three(self, x: 'int' | PI = 1):\n        return self.three_of_base()\n", "utf-8")
    module = load(file, "theirs")
    kind = module.Kind()
    assert kind.two == 2
    assert not hasattr(kind, "anything")
    assert not isinstance(kind, module.Other)
    with pytest.raises(NotImplementedError, match=r"Kind lacks three_of_base, and absent\.\w+, its base, cannot be"):
        kind.three()
    with pytest.raises(NotImplementedError, match=r"it needs absent\.PI, which cannot be imported"):
        _ = 2 * module.HALF


def test_what_an_import_raises_because_a_package_is_absent_is_no_error(tmp_path):
    (tmp_path / "theirs.py").write_text("try:\n    import absent\nexcept ImportError as error:\n"
                                        "    raise RuntimeError('please install it') from error\n"
                                        "from theirs_too.lost import part\n", "utf-8")
    (tmp_path / "theirs_too").mkdir()
    module = load(tmp_path / "theirs.py", "theirs")
    with pytest.raises(NotImplementedError, match=r"it needs theirs_too\.lost\.part, which cannot be imported"):
        module.part()
    assert not list(tmp_path.rglob("__pycache__"))


def test_what_a_stand_in_is_given_is_imported_by_a_star_too(tmp_path):
    (tmp_path / "theirs.py").write_text("from utils import *\nfrom utils import lost\nTWO = two()\n", "utf-8")
    (tmp_path / "utils.py").write_text("1 / 0\n", "utf-8")
    module = load(tmp_path / "theirs.py", "theirs", given={"utils": {"two": lambda: 2}}, replaced=("utils",))
    assert module.TWO == 2


def test_noise_is_drawn_in_turn_by_either_function_and_by_modules_that_imported_one(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    (tmp_path / "theirs.py").write_text("from torch import randn_like\n", "utf-8")
    module, first, last = load(tmp_path / "theirs.py", "theirs"), torch.ones(2, 3), torch.zeros(2, 3)
    with drawing(first, last, modules=[module]) as drawn:
        assert module.randn_like(torch.empty(2, 3, 1)).shape == (2, 3, 1)
        assert torch.equal(torch.randn(2, 3), last)
        assert torch.equal(torch.randn_like(first), last)
    assert [noise is first for noise in drawn] == [True, False, False]
    with drawing(first, again=False), pytest.raises(NotImplementedError, match="draws noise more than once a step"):
        torch.randn(2, 3) + torch.randn(2, 3)


def test_what_a_file_raises_on_import_is_one_line(tmp_path):
    (tmp_path / "theirs.py").write_text("raise RuntimeError('no\\n GPU')", "utf-8")
    with pytest.raises(ValueError, match=r"importing .*theirs\.py raised RuntimeError: no GPU"):
        load(file_in(str(tmp_path), "theirs.py"), "theirs")


def test_a_stand_in_names_what_is_lacking():
    with pytest.raises(NotImplementedError, match=r"it needs wandb\.init, which cannot be imported"):
        Inert("wandb").init()


def test_shapes_of_the_stand_in_for_tensorflow_are_equal_to_lists():
    tf = tensorflow()
    x = tf["convert_to_tensor"](np.ones((2, 3)), dtype=tf["float32"])
    assert x.shape == [2, 3]
    assert x.shape == (2, 3)
    assert x.shape != [3, 2]
    assert x.shape.as_list() == [2, 3]
    assert (tf["exp"](x) + 1).shape == [2, 3]
    assert tf["while_loop"](lambda i: i < 3, lambda i: [i + 1], [tensor(0)]) == [3]
    with pytest.raises(NotImplementedError, match="noise is handed over"):
        tf["random_normal"]([2])
