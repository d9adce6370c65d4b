"""Other people's code under the checker: docs/peers.md by running it, the adapters' work, scripts of a few functions.

Compared with, never used: where a library is absent, its tests are skipped.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import ddpm_np
from ddpm_np.check import run
from ddpm_np.check.targets.functions import from_functions
from ddpm_np.check.targets.peers import imported
from ddpm_np.diffusion import ddim_step, learned_range_variance, linear_schedule

PAGE = Path(ddpm_np.__file__).parent.parent / "docs" / "peers.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
LIBRARIES = {"diffusers": "diffusers", "lucidrains": "denoising_diffusion_pytorch"}
VERSIONS = {"diffusers": "0.42.1", "denoising_diffusion_pytorch": "2.3.4"}  # that the page is about
SHOWN = {"PASS": "pass", "PRECISION": "prec", "CONVENTION": "conv", "FAIL": "**FAIL**", "UNVERIFIED": "·"}


@pytest.fixture(autouse=True)
def _their_warnings():
    """Those of the peers are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def targets(library):
    """The factories of a library, or a skip in plain words."""
    try:
        found = import_module(f"ddpm_np.check.targets.{library}").TARGETS
    except ImportError as error:
        pytest.skip(str(error))
    name = LIBRARIES[library]
    if version(name) != VERSIONS[name]:
        pytest.skip(f"docs/peers.md is about {name} {VERSIONS[name]}, and {version(name)} is installed")
    return found


@pytest.mark.peers
@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=[f"block {i}" for i in range(1, 1 + len(BLOCKS))])
def test_code_blocks_of_the_page_print_what_it_shows(code, printed):
    targets("lucidrains" if "lucidrains" in code else "diffusers")
    found = io.StringIO()
    with contextlib.redirect_stdout(found), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    assert found.getvalue() == printed


def test_every_block_of_the_page_is_run():
    text = PAGE.read_text("utf-8")
    assert all(f"| {v} |" in text for v in VERSIONS.values())
    assert len(BLOCKS) == text.count("```python") == text.count("```text") > 10


def table(reports):
    """The page's table: a row for each equation that any target shows, a column for each target."""
    names = list(reports)
    rows = [["equation", *names], ["---"] * (1 + len(names))]
    rows += [[results[0].equation, *(SHOWN[result.verdict] for result in results)]
             for results in zip(*(report.results for report in reports.values()), strict=True)
             if any(result.verdict != "UNVERIFIED" for result in results)]
    return "\n".join(f"| {' | '.join(row)} |".replace(" --- ", "---") for row in rows)


@pytest.mark.peers
def test_the_table_of_the_page_is_that_of_a_run():
    reports = {name: run(factory) for library in LIBRARIES for name, factory in targets(library).items()}
    shown = re.search(r"^\| equation .*?(?=\n\n)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    want = table(reports)
    assert shown is not None
    assert shown[0] == want, f"docs/peers.md should show\n{want}"


@pytest.mark.peers
@pytest.mark.parametrize(("library", "name", "equation", "counterexample", "hint"), [
    ("diffusers", "DDPMScheduler trailing", "timesteps", "timesteps(61) got 1000, 984, 967, …, 33, 16, 0: 62 steps",
     ""),
    ("diffusers", "DDIMScheduler linspace", "ddim-12", "t=3, s=1", ""),
    ("diffusers", "DDIMScheduler trailing", "ddim-16", "t=2, s=0, η=1/2: σ_t got", ""),
    ("diffusers", "DDPMScheduler log", "sigma", "nan", ""),
    ("diffusers", "DDPMScheduler log", "algorithm-2", "nan", ""),
    ("lucidrains", "GaussianDiffusion", "log-variance", "t=1: ln β̃_t (of t = 2 at t = 1) got -46.05170059, expected "
     "-1.402042718", "ln max(β̃_t, 1e-20)"),
    ("lucidrains", "GaussianDiffusion", "linear-schedule", "β_t (linear, T=2) got 1/20, expected 1/10000", "1000/T"),
    ("lucidrains", "LearnedGaussianDiffusion", "learned-range", "t=1, v=1/2: Σ_θ got 4.64758", ""),
    ("lucidrains", "LearnedGaussianDiffusion", "13", "ln p got", "tanh"),
])
def test_the_counterexamples_of_the_page_are_reproduced(library, name, equation, counterexample, hint):
    result = run(targets(library)[name], equations=[equation])[equation]
    assert result.verdict == "FAIL"
    assert counterexample in result.counterexample
    assert hint in result.hint


@pytest.mark.peers
def test_lucidrains_unclipped_ddim_is_equation_12():
    """All states of `ddim_sample`, from a net that knows that the data are 0.3, against our step."""
    targets("lucidrains")
    lucidrains, torch = import_module("ddpm_np.check.targets.lucidrains"), import_module("torch")
    library = lucidrains.library(lucidrains.PACKAGE)
    schedule, n = linear_schedule(50), 7

    def model(x, t):
        a = schedule.alpha_bar[t].reshape(-1, 1, 1, 1)
        return (x - np.sqrt(a) * (0.3 + 0.1 * np.sin(t)).reshape(a.shape)) / np.sqrt(1 - a)

    target = lucidrains.Gaussian(schedule.beta[1:])
    chain = [t + 1 for t in target.timesteps(n)]
    assert (len(chain), chain[0]) == (n, 50)
    for eta in (0.0, 0.7):
        diffusion = target.diffusion
        diffusion.model.answer = lambda x, t: torch.from_numpy(model(x.numpy().astype(float), t.numpy() + 1))
        diffusion.sampling_timesteps, diffusion.ddim_sampling_eta = n, eta
        drawn = iter(np.random.default_rng(0).standard_normal((1 + n, 2, 1, 1, 1)))
        noises = []

        def draw(*args, drawn=drawn, noises=noises, **options):
            noises.append(next(drawn))
            return torch.from_numpy(noises[-1])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", draw)
            patch.setattr(torch, "randn_like", draw)
            patch.setattr(library, "tqdm", lambda items, **options: items)
            states = diffusion.ddim_sample((2, 1, 1, 1), return_all_timesteps=True).numpy()  # (2, n + 1, 1, 1, 1)
        x = states[:, 0]
        for i, (t, s) in enumerate(zip(chain, [*chain[1:], 0], strict=True)):
            noise = noises[1 + i] if s else 0 * x
            x = ddim_step(schedule, model, x, np.full(2, t), np.full(2, s), eta, noise)
            np.testing.assert_allclose(states[:, i + 1], x, atol=1e-5)


@pytest.mark.peers
def test_an_adapter_calls_the_library_with_each_images_own_step():
    """A batch of different t gives what its images give alone, whatever their shape; and nothing is left patched."""
    module = import_module("ddpm_np.check.targets.diffusers")
    targets("diffusers")
    betas, rng = np.array([0.1, 0.2, 0.3, 0.4]), np.random.default_rng(1)
    before = import_module("diffusers.schedulers.scheduling_ddpm").randn_tensor
    for shape in [(4,), (4, 3), (4, 2, 1, 3)]:
        x, eps, noise = rng.standard_normal((3, *shape))
        t = np.array([3, 0, 2, 3])
        for kind, ask in ((module.DDPM, lambda o, x, t, e, z: o.p_sample(lambda *a: e, x, t, z)),
                          (module.DDIM, lambda o, x, t, e, z: o.ddim_step(lambda *a: e, x, t, t - 1, 1.0, z))):
            target = kind(betas)
            together = ask(target, x, t, eps, noise)
            for i in range(4):
                one = slice(i, i + 1)
                np.testing.assert_array_equal(ask(target, x[one], t[one], eps[one], noise[one]), together[one])
    assert import_module("diffusers.schedulers.scheduling_ddpm").randn_tensor is before


@pytest.mark.peers
def test_lucidrains_learned_variance_is_right_except_at_the_first_step():
    schedule, v, t = linear_schedule(1000), np.array([[-1.0, 0.0], [0.4, 1.0], [1.5, -0.2]]), np.array([2, 3, 1000])
    want = learned_range_variance(schedule, v, t)
    got = targets("lucidrains")["LearnedGaussianDiffusion"](schedule.beta[1:]).learned_range_variance(v, t - 1)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.peers
def test_the_torchvision_stub_is_removed_afterwards():
    targets("lucidrains")
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    assert [name for name in names if name in sys.modules and not hasattr(sys.modules[name], "__file__")] == []


@pytest.mark.parametrize(("library", "absent"), [*LIBRARIES.items(), *((library, "torch") for library in LIBRARIES)])
def test_an_absent_library_is_reported_in_one_line(library, absent):
    """In a process of its own, where it cannot be imported; the module itself can be."""
    code = (f"import sys; sys.modules[{absent!r}] = None; import ddpm_np.check.targets.{library} as m\n"
            "try: m.TARGETS\nexcept ImportError as error: print(error)")
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    line, = found.stdout.splitlines()
    assert "is not installed: pip install" in line


def test_the_absent_library_is_named():
    with pytest.raises(ImportError, match=r"^Nothing is not installed: pip install 'ddpm_np\[peers\]' "):
        imported("nothing_of_that_name", "Nothing")


# Course notes (docs/notes-checked.md), in other words: what a student's script would have


def noisy(x_0, t, noise, alphas_cumprod):  # note 000, right
    a = alphas_cumprod[t].reshape(-1, *[1] * (x_0.ndim - 1))
    return a**0.5 * x_0 + (1 - a) ** 0.5 * noise


def noisy_by_one_step(x_0, noise, alpha_t):  # finding 73: α for ᾱ
    return np.sqrt(alpha_t) * x_0 + np.sqrt(1 - alpha_t) * noise


def step_without_a_root(x_prev, noise, beta_t):  # finding 16: √ over a bracket only
    return (1 - beta_t) * x_prev + np.sqrt(beta_t) * noise


def uniform(rng, shape):  # finding 59: rand_like
    return rng.random(shape)


def mean_and_log_variance(x_t, eps, t, alpha_t, alpha_bar_t, beta_t, alpha_bar_prev, alpha_bar):  # finding 66
    mean = (x_t - beta_t / np.sqrt(1 - alpha_bar_t) * eps) / np.sqrt(alpha_t)
    first = (1 - alpha_bar[1]) / (1 - alpha_bar[2]) * (1 - alpha_bar[2] / alpha_bar[1])
    tilde = np.where(t.reshape(beta_t.shape) == 1, first, (1 - alpha_bar_prev) / (1 - alpha_bar_t) * beta_t)
    x0 = (x_t - np.sqrt(1 - alpha_bar_t) * eps) / np.sqrt(alpha_bar_t)
    return mean, np.log(tilde) + 0 * x_t, x0


def loss_without_data(model, x_0, t, noise, alpha_bar_t):  # finding 72
    x_t = np.sqrt(alpha_bar_t) + np.sqrt(1 - alpha_bar_t) * noise
    return ((noise - model(x_t, t)) ** 2).reshape(len(x_0), -1).mean(axis=1)


@pytest.mark.parametrize(("functions", "equation", "hint"), [
    ({"q_sample": noisy_by_one_step}, "4", "α_t for ᾱ_t"),
    ({"q_step": step_without_a_root}, "2", "α_t·x_{t−1}: a missing root"),
    ({"draw_noise": uniform}, "algorithm-1", ""),
    ({"p_mean_variance": mean_and_log_variance}, "sigma", "a logarithm"),
    ({"simple_loss": loss_without_data}, "14", ""),
], ids=["alpha", "root", "uniform", "log variance", "no data"])
def test_mistakes_of_course_notes_fail(functions, equation, hint):
    result = run(from_functions(**functions), equations=[equation])[equation]
    assert result.verdict == "FAIL"
    assert result.counterexample
    assert hint in result.hint


def test_the_correct_course_note_passes_as_a_convention():
    result = run(from_functions(q_sample=noisy, index_base=0), equations=["4"])["4"]
    assert (result.verdict, result.hint) == ("CONVENTION", "declared: index_base 0")
    assert run(from_functions(q_sample=noisy), equations=["4"])["4"].verdict == "FAIL"


@pytest.mark.peers
def test_pytorch_functions_can_be_checked():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")

    def noisy(x_0, t, noise, alphas_cumprod):
        assert all(isinstance(v, torch.Tensor) for v in (x_0, t, noise, alphas_cumprod))
        a = alphas_cumprod.gather(0, t).view(-1, *[1] * (x_0.dim() - 1))
        return a.sqrt() * x_0 + (1 - a).sqrt() * noise

    def loss(model, x_0, t, noise, alphas_cumprod):
        return torch.nn.functional.mse_loss(model(noisy(x_0, t, noise, alphas_cumprod), t), noise,
                                            reduction="none").reshape(len(x_0), -1).mean(1)

    report = run(from_functions(q_sample=noisy, simple_loss=loss, index_base=0, array=torch.from_numpy),
                 equations=["4", "14"])
    assert [r.verdict for r in report.results] == ["CONVENTION", "CONVENTION"], report


def test_functions_receive_their_arguments_by_name():
    got = {}

    def keep(x_t, t, v=7, *, T, betas, alphas, alphas_cumprod, beta, alpha, alpha_bar, beta_t, alpha_t, alpha_bar_t,
             alpha_bar_prev, eps):
        got.update(locals())
        return 0 * x_t

    betas, t, x = np.array([0.1, 0.5]), np.array([1, 0, 1]), np.arange(6.0).reshape(3, 2)
    target = from_functions(p_sample=keep, index_base=0)(betas)
    target.p_sample(lambda x, t: x + t[:, None], x, t, x, variance="small", clip=False)
    assert (got["T"], got["v"]) == (2, 7)
    for name, want in {"x_t": x, "t": t, "betas": [0.1, 0.5], "alphas": [0.9, 0.5], "alphas_cumprod": [0.9, 0.45],
                       "beta": [0, 0.1, 0.5], "alpha": [1, 0.9, 0.5], "alpha_bar": [1, 0.9, 0.45],
                       "beta_t": [[0.5], [0.1], [0.5]], "alpha_t": [[0.5], [0.9], [0.5]],
                       "alpha_bar_t": [[0.45], [0.9], [0.45]], "alpha_bar_prev": [[0.9], [1], [0.9]],
                       "eps": x + t[:, None]}.items():
        assert np.shape(got[name]) == np.shape(want), name
        np.testing.assert_allclose(got[name], want, rtol=1e-15, err_msg=name)
    for options in ({"variance": "large"}, {"clip": True}):
        with pytest.raises(NotImplementedError):
            target.p_sample(lambda x, t: x, x, t, x, **options)
    large = from_functions(p_sample=keep, variance="large", clip=True, index_base=0)(betas)
    large.p_sample(lambda x, t: x, x, t, x, variance="large", clip=True)
    with pytest.raises(NotImplementedError):
        large.p_sample(lambda x, t: x, x, t, x, variance="small", clip=True)
    chooses = from_functions(eq12_weight=lambda t, variance: t + (variance == "large"))(betas)
    assert chooses.eq12_weight(t, variance="large")[0] == 2
    assert not hasattr(target, "q_sample")
    assert target.conventions == {"index_base": 0}


@pytest.mark.parametrize(("call", "message"), [
    (lambda: from_functions(q_smaple=noisy), "'q_smaple' is no method of a check target: did you mean 'q_sample'?"),
    (lambda: from_functions(q_sample=3), "q_sample must be a function, got int"),
    (lambda: from_functions(q_sample=lambda x0, t: x0), "q_sample: the function asks for 'x0', which is not known: did "
     "you mean 'x_0'?"),
    (lambda: from_functions(q_sample=lambda x_0, model: x_0), "'model', which is not known"),
    (lambda: from_functions(q_sample=lambda x_0, /: x_0), "'x_0', which is not known"),
    (lambda: from_functions(kl=lambda mean1, beta_t: mean1), "'beta_t', which is not known: did you mean 'beta'?"),
    (lambda: from_functions(q_sample=noisy, index_base=2), "index_base must be one of 1, 0, got 2"),
    (lambda: from_functions(q_sample=noisy, conventions={"units": "nats"}), "'units' is not known"),
])
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()
