"""Targets openai:PATH: mistakes found through the adapter, copies of every form, and imports that leave no trace."""

from __future__ import annotations

import json
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from mistakes import openai_shape as shape  # noqa: E402 - after the skip

from ddpm_np.check import FAIL, UNVERIFIED, run  # noqa: E402
from ddpm_np.check.targets.openai import targets  # noqa: E402
from ddpm_np.cli import main  # noqa: E402

pytestmark = pytest.mark.peers  # with PyTorch, where it is


@pytest.fixture
def copy(tmp_path):
    """Return a function that writes a copy's text and returns its factory."""
    def written(text: str, name: str = "gaussian_diffusion.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return next(iter(targets(str(tmp_path / name)).values()))

    return written


def changed(*pairs: tuple[str, str]) -> str:
    """Return the class's text with texts replaced."""
    text = shape.SHAPE
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def named(values: list) -> list:
    return [pytest.param(value, id=str(value)) for value in values]


@pytest.mark.parametrize("change", named(shape.MISTAKES))
def test_a_mistake_is_found_through_the_adapter(copy, change):
    for result in run(copy(shape.changed_shape(change)), change.equations, examples=0).results:
        assert result.verdict == FAIL, f"{change}: ({result.equation}) is {result.verdict}, error {result.error}"
        assert result.counterexample


@pytest.mark.parametrize("change", named(shape.EQUIVALENT))
def test_a_rewrite_is_no_mistake(copy, change):
    for result in run(copy(shape.changed_shape(change)), change.equations, examples=0).results:
        assert result.verdict not in (FAIL, UNVERIFIED), f"{change}: ({result.equation}) {result.counterexample}"


@pytest.mark.parametrize("change", named(shape.CONVENTIONS))
def test_a_convention_is_found_by_asking(copy, change):
    fork, (setting, *equations) = copy(shape.changed_shape(change)), change.equations
    name, _, value = setting.partition("=")
    assert str(fork.conventions.get(name, "float64")).replace(" ", "") == value
    for result in run(fork, equations, examples=0).results:
        assert result.verdict not in (FAIL, UNVERIFIED), f"{change}: ({result.equation}) {result.counterexample}"


def test_the_right_class_has_no_failure(copy):
    fork = copy(shape.SHAPE)
    report = run(fork, examples=1)
    assert not report.failed
    assert sum(result.verdict != UNVERIFIED for result in report.results) == 30
    assert fork.conventions == {"precision": "float32", "index_base": 0, "embedding": "cos_sin_half"}


RANGE = "        if self.model_var_type == ModelVarType.LEARNED_RANGE:\n"
LEARNED = tuple((f"{RANGE}            {then}", f"        if True:\n            {then}") for then in ("assert", "share"))
ASKED = "output, values = model(x, t,"
SAMPLE = "    def p_sample(self, model, x, t, clip_denoised=True, model_kwargs=None"
TABLE, PREV, NUMPY = "self.alphas_cumprod", "self.alphas_cumprod_prev", "self.alphas_cumprod.numpy()"
FORMS = {  # the texts to replace, and what the notes say
    "learned ranges only": (LEARNED, "learned ranges only"),
    "no choice of a variance": ([
        *LEARNED, ("*, betas, model_mean_type, model_var_type, loss_type", "*, betas"),
        ("= model_mean_type, model_var_type, loss_type",
         "= ModelMeanType.EPSILON, ModelVarType.LEARNED_RANGE, LossType.MSE")], "learned ranges only"),
    "SpacedDiffusion only": ([
        (ASKED, "output, values = model(x, self._scale_timesteps(t),"),
        ("    def _wrap_model", "    def _scale_timesteps(self, t):\n        return t\n\n    def _wrap_model")],
        "SpacedDiffusion only"),
    "a mask": ([(ASKED, f"assert model_kwargs['y']['mask'].all()\n        {ASKED}")], "a mask"),
    "a conf": ([
        ("model_var_type, loss_type):", "model_var_type, loss_type, conf=None):"),
        ("        self.betas = np", "        self.conf = conf\n        self.betas = np"),
        (f"{SAMPLE}):\n", f"{SAMPLE}, conf=None):\n        assert not conf.inject and conf.pget('a.b') is None\n"),
        ('clip_denoised, model_kwargs)["sample"]', 'clip_denoised, model_kwargs, self.conf)["sample"]')], ""),
    "a GPU": ([("torch.tensor([i] * shape[0])", "torch.tensor([i] * shape[0]).cuda()")], ""),
    "videos": ([("output.shape[1] == 2 * x.shape[1]", "output.shape[2] == 2 * x.shape[2]"),
                ("output.chunk(2, 1)", "output.chunk(2, 2)")], ""),
    "tables that are tensors": ([
        (f"{TABLE} = np.cumprod(alphas)", f"{TABLE} = torch.cumprod(torch.tensor(alphas), 0)"),
        (f"np.append(1.0, {TABLE}[:-1])", f"np.append(1.0, {NUMPY}[:-1])"),
        (f"/ (1 - {TABLE})", f"/ (1 - {NUMPY})")], ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_of_another_form_has_no_failure(copy, form):
    pairs, said = FORMS[form]
    fork = copy(changed(*pairs))
    report = run(fork, examples=0)
    assert [f"{r.equation}: {r.counterexample}" for r in report.results if r.verdict == FAIL] == []
    assert report["algorithm-2"].verdict == report["1"].verdict == report["learned-range"].verdict == "PRECISION"
    assert said in " ".join(report.notes)


@pytest.mark.parametrize(("pairs", "equation", "words"), [
    ((("torch.exp(out[\"log_variance\"] / 2) * torch.randn_like(x)", "torch.exp(out[\"log_variance\"] / 2) * "
       "torch.empty_like(x).normal_()"),), "algorithm-2", "draws its noise by a function that is not known"),
    ((("torch.exp(out[\"log_variance\"] / 2) * torch.randn_like(x)", "torch.exp(out[\"log_variance\"] / 2) * "
       "(torch.randn_like(x) + torch.randn_like(x)) / 2**0.5"),), "algorithm-2", "draws noise more than once a step"),
    ((("def ddim_sample", "def ddim"),), "ddim-12", "it has no ddim_sample"),
    ((("import torch\n", "import torch\nfrom no_such_library_.tables import embed\n"),
      ("    half = dim // 2\n", "    half = embed(dim) // 2\n")), "time-embedding",
     "it needs no_such_library_.tables.embed, which cannot be imported")])
def test_what_cannot_be_asked_is_unverified_with_the_reason(copy, pairs, equation, words):
    result = run(copy(changed(*pairs)), [equation], examples=0)[equation]
    assert result.verdict == UNVERIFIED
    assert words in result.hint


def package(folder, half: str) -> None:
    """Write a checkout whose packages have the names that many have, and whose mathematics is in `utils`."""
    text = changed(("import torch\n", "import torch\nimport no_such_library_\nfrom utils.halves import HALF\n"
                    "from .nn import mean_flat as flat\n\n\n@no_such_library_.jit(fast=True)\n"
                    "def unused():\n    pass\n\n\n"
                    "class Unused(no_such_library_.Base):\n    pass\n"),
                   ("mean_flat((target - output) ** 2)", "flat((target - output) ** 2) * HALF"))
    for name, content in (("diffusion/__init__.py", ""), ("diffusion/gaussian_diffusion.py", text),
                          ("diffusion/nn.py", "def mean_flat(x):\n    return x.flatten(1).mean(1)\n"),
                          ("utils/halves.py", f"HALF = {half}\n"), ("setup.py", "raise SystemExit\n")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_two_checkouts_with_packages_of_one_name(tmp_path):
    for name, half in (("one", "1.0"), ("other", "0.5")):
        package(tmp_path / name, half)
    before = dict(sys.modules), sys.path[:], sys.meta_path[:]
    made = {name: next(iter(targets(str(tmp_path / name)).values())) for name in ("one", "other")}
    verdicts = {name: run(made[name], ["14"], examples=0)["14"].verdict for name in ("one", "other", "one", "other")}
    assert verdicts == {"one": "PRECISION", "other": FAIL}
    assert made["one"].notes[-1] == "stubs stand for modules that cannot be imported here: no_such_library_"
    assert (sys.path, sys.meta_path) == before[1:]
    ours = {name: module for name, module in sys.modules.items()
            if name.partition(".")[0] in ("diffusion", "utils", "no_such_library_", "gaussian_diffusion")}
    assert ours == {name: module for name, module in before[0].items() if name in ours}
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_command_names_what_it_found(tmp_path, capsys):
    package(tmp_path / "one", "1.0")
    assert main(["check", "--target", f"openai:{tmp_path / 'one'}:diffusion", "--equation", "14", "--json",
                 str(tmp_path / "r.json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("conventions, each the only one that fits: precision 'float32', index_base 0, embedding")
    assert "stubs stand for modules that cannot be imported here: no_such_library_\nequation" in out
    assert json.loads((tmp_path / "r.json").read_text("utf-8"))["notes"][-1].endswith("no_such_library_")


@pytest.mark.parametrize(("where", "words"), [
    ("{}/nowhere", "there is no file or folder"), ("", "there is no file or folder"),
    ("{}/empty", "there is no class GaussianDiffusion in any gaussian_diffusion.py below"),
    ("{}/two", "is in one/diffusion, other/diffusion of"),
    ("{}/two:third", "there is no package third"),
    ("{}/broken.py", "broken raised ZeroDivisionError: division by zero"),
    ("{}/lacks.py", "lacks raised ModuleNotFoundError: No module named 'two.nothing'"),
    ("{}/empty.py", "there is no class GaussianDiffusion in")])
def test_bad_input_is_one_line(tmp_path, capsys, where, words):
    for name in ("one", "other"):
        package(tmp_path / "two" / name, "1.0")
    (tmp_path / "empty").mkdir()
    for name, text in (("broken", "1 / 0"), ("lacks", "import two.nothing"), ("empty", "")):
        comment = "# class GaussianDiffusion\n" if text else ""
        (tmp_path / f"{name}.py").write_text(f"{comment}{text}\n", encoding="utf-8")
    assert main(["check", "--target", f"openai:{where.format(tmp_path)}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ddpm-np: error: --target: ")
    assert words in error
    assert error.count("\n") == 1


def test_without_pytorch(tmp_path, capsys, monkeypatch):
    package(tmp_path / "one", "1.0")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["check", "--target", f"openai:{tmp_path / 'one'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ddpm-np: error: PyTorch is not installed: pip install 'ddpm_np[peers]'")
    assert error.count("\n") == 1
