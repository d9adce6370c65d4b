"""The package on the strict fake of CuPy: a GPU's errors, transfers and silent mistakes show up here."""

from __future__ import annotations

import ast
from pathlib import Path

import device_checks as checks
import fake_cupy
import numpy as np
import pytest
from diffusion_calls import CALLS

import ddpm_np
from ddpm_np.autograd import ops
from ddpm_np.backend import backend_of, get_backend, of, to_host
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.diffusion import linear_schedule
from ddpm_np.interop import diffusers
from ddpm_np.models import UNetConfig
from ddpm_np.nn import host_state
from ddpm_np.runs import checkpoint
from ddpm_np.training.ema import EMA
from ddpm_np.training.trainer import TrainingDiverged

pytestmark = pytest.mark.usefixtures("one_blas_thread")
PACKAGE = Path(ddpm_np.__file__).parent
ROUNDING = 2e-14  # the fake's arithmetic is NumPy's, in other memory layouts; 7e-15 is met


@pytest.fixture(params=["awkward", "plain"])
def device(request):
    """The backend "cupy" on a fresh fake, with the ops' definitions."""
    with fake_cupy.installed(request.param), ops.kernels("reference"):
        yield get_backend("cupy")


def test_the_cupy_backend_is_the_strict_fake(device):
    x = device.to_device(np.arange(3.0))
    assert of(x) is device.xp
    assert backend_of(x) is device
    assert device.xp.module.__version__.startswith("14.")
    assert isinstance(to_host(x), np.ndarray)
    assert (fake_cupy.counts.uploads, fake_cupy.counts.transfers) == (1, 1)


@pytest.mark.parametrize("name", sorted(ops.REGISTRY))
def test_every_op_equals_the_host(device, name):
    checks.check_op(name, device, ROUNDING)


@pytest.mark.parametrize("name", sorted(checks.COMPLEX))
def test_complex_forwards_equal_the_host(device, name):
    checks.check_complex_forward(name, device, ROUNDING)


@pytest.mark.parametrize("kernels", ["reference", "fast"])
@pytest.mark.parametrize("config", [UNetConfig.preset("digits"), checks.TINY], ids=["digits", "tiny"])
def test_unet_output_and_gradients_equal_the_host(device, config, kernels):
    checks.check_unet(config, device, 1e-12, kernels)  # 1.2e-13 is met


def test_random_numbers_equal_the_host(device):
    checks.check_random(device)
    fake_cupy.counts.reset()
    device.normal(0, "noise", 1, 2, 3, (4,))
    assert fake_cupy.counts.uploads == 0


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_training_steps_equal_the_host(device, kernels):
    checks.check_training(device, 1e-11, kernels)  # 1.3e-12 is met


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_float32_training_steps_equal_the_host(device, kernels):
    checks.check_training(device, 1e-3, kernels, steps=2, dtype="float32")


def test_predictor_uses_the_weights_of_the_latest_step(device):
    checks.check_predictor_sees_steps(device)


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_a_training_step_transfers_nothing_to_the_host(device, kernels):
    """Once the schedule's tables are on the device, a step uploads its images and nothing else."""
    counts, uploads = fake_cupy.counts, []
    with ops.kernels(kernels):
        trainer = checks.make_trainer(device, checks.UNLABELLED)
        counts.reset()
        for k in range(4):
            trainer.step(checks.batch(k))
            uploads.append(counts.uploads)
        assert np.diff(uploads).tolist() == [1, 1, 1]
        assert uploads[0] <= 1 + 2  # √ᾱ and √(1 − ᾱ)
        assert (counts.transfers, counts.hidden_uploads) == (0, 0)
        images = device.to_device(checks.batch(9))
        counts.reset()
        trainer.step(images)
        assert (counts.uploads, counts.transfers, counts.hidden_uploads) == (0, 0, 0)


def test_a_log_record_costs_one_transfer(device):
    trainer = checks.make_trainer(device)
    batches = [(checks.batch(k), None) for k in range(5)]
    transfers, last = [], []
    fake_cupy.counts.reset()
    records = trainer.run(batches, 5, log_every=2, on_step=lambda step: last.append(fake_cupy.counts.transfers))
    for record in records:
        transfers.append(fake_cupy.counts.transfers)
        assert np.isfinite(record.loss)
    assert transfers == [1, 2, 3]  # after steps 2, 4 and 5
    assert last == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_a_non_finite_step_changes_nothing(device, kernels):
    with ops.kernels(kernels):
        checks.check_non_finite_step(device)


def test_a_non_finite_step_is_found_without_an_extra_transfer(device):
    trainer = checks.make_trainer(device)
    bad = np.full((5, 4, 4, 1), np.nan)
    fake_cupy.counts.reset()
    trainer.step(bad)
    assert fake_cupy.counts.transfers == 0
    with pytest.raises(TrainingDiverged, match="between steps 2 and 3"):
        list(trainer.run([(bad, None)] * 3, 3, log_every=10))
    assert fake_cupy.counts.transfers == 1


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_sampler_equals_the_host(device, kernels):
    checks.check_sampler(device, 5e-14, kernels)  # 3.4e-15 is met


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_the_sampler_transfers_nothing_to_the_host(device, kernels):
    model = checks.make_unet(checks.UNLABELLED, device)
    counted = []
    for T in (3, 6):
        fake_cupy.counts.reset()
        with ops.kernels(kernels):
            checks.run_sampler(device, model, T=T)
        assert (fake_cupy.counts.transfers, fake_cupy.counts.hidden_uploads) == (0, 0)
        counted.append(fake_cupy.counts.uploads)
    assert counted[0] == counted[1] <= 5  # the tables of a new schedule, however many steps it has


@pytest.mark.parametrize("name", sorted(CALLS))
def test_diffusion_functions_equal_the_host(device, name):
    checks.check_mathematics(name, device, 5e-14)


def test_a_checkpoint_opens_on_host_and_device_with_the_same_samples(device, tmp_path):
    checks.check_checkpoint(device, tmp_path, 5e-14)


def test_a_checkpoint_is_copied_as_four_arrays_and_its_numbers(device, tmp_path):
    """Each copy waits for the device. The file has the same bytes as one that the host writes of the same state."""
    config = Config(checks.SMALLEST, DiffusionConfig(T=4, beta_start=0.1, beta_end=0.6))
    trainer, host = checks.make_trainer(device), checks.make_trainer(checks.NUMPY)
    frozen = trainer.model.parameters()[3]
    for k, frozen.requires_grad in enumerate((True, False, True)):  # so that there are counts of single parameters
        trainer.step(checks.batch(k))
    trainer.unlogged = trainer.unlogged[0] + 0.3, trainer.unlogged[1] + 1e-9, 3
    fake_cupy.counts.reset()
    checkpoint.save(tmp_path / "device", trainer, config)
    assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (4 + 1, 0)
    saved = checkpoint.read(tmp_path / "device")
    assert (saved.updates, set(saved.counts.values()), saved.unlogged) == (3, {2}, (0.3, 1e-9, 3))
    checkpoint.restore(host, saved)
    checkpoint.save(tmp_path / "host", host, config)
    assert (tmp_path / "host").read_bytes() == (tmp_path / "device").read_bytes()
    again = checks.make_trainer(device)
    fake_cupy.counts.reset()
    checkpoint.restore(again, saved)
    assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (0, 4)
    checkpoint.save(tmp_path / "again", again, config)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "device").read_bytes()


def test_the_weights_of_a_net_are_copied_at_once(device, tmp_path):
    """For an export, a digest, a state; and up again."""
    model = checks.make_unet(checks.UNLABELLED, device, "float32")
    host = checks.make_unet(checks.UNLABELLED, checks.NUMPY, "float32")
    fake_cupy.counts.reset()
    state = host_state(model)
    assert fake_cupy.counts.transfers == 1
    model.load_state_dict(state)
    assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (1, 1)
    diffusers.save_unet(model, tmp_path / "device")
    assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (2, 1)
    diffusers.save_unet(host, tmp_path / "host")
    for file in (tmp_path / "host").iterdir():
        assert (tmp_path / "device" / file.name).read_bytes() == file.read_bytes()
    for name, array in host_state(host).items():
        assert np.array_equal(state[name], array), name


def test_samples_are_transferred_once_per_batch(device):
    net = checks.make_unet(checks.SMALLEST, device)
    fake_cupy.counts.reset()
    images = ddpm_np.sample(net, 3, batch_size=2, schedule=linear_schedule(3, 0.1, 0.6), variance="small")
    assert isinstance(images, np.ndarray)
    assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (2, 5)  # two batches; the schedule's tables


def test_ema_update_takes_a_python_flag(device):
    trainer = checks.make_trainer(device)
    average = EMA(trainer.model, 0.5)
    trainer.flat.data += 1.0
    before = to_host(average.data)
    average.update(False)
    assert np.array_equal(to_host(average.data), before)
    average.update()
    assert np.allclose(to_host(average.data), before + 0.5, rtol=0, atol=1e-15)


def test_state_dicts_load_from_host_and_device(device):
    model = checks.make_unet(checks.UNLABELLED, device)
    state = ddpm_np.nn.module.host_state(model)
    assert all(isinstance(a, np.ndarray) for a in state.values())
    other = ddpm_np.models.UNet(checks.UNLABELLED, seed=1, dtype="float64", backend=device)
    other.load_state_dict(state)  # from the host
    model.load_state_dict(other.state_dict())  # on the device
    for name, array in ddpm_np.nn.module.host_state(model).items():
        assert np.array_equal(array, state[name]), name


def sources(*names: str) -> list[Path]:
    """Return the package's files below these names, or all files without names."""
    below = [PACKAGE / name for name in names] or [PACKAGE]
    files = [f for path in below for f in (path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])]
    assert files
    assert all(f.is_file() for f in files)
    return sorted(files)


def ways_back(tree: ast.AST) -> list[str]:
    """Return the device-to-host copies in a module: every asnumpy, and ``x.get()`` unless x is a ContextVar."""
    variables = {
        target.id
        for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith("ContextVar")
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target]) if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if (isinstance(node, ast.Attribute) and node.attr == "asnumpy") or (
                isinstance(node, ast.Constant) and node.value == "asnumpy"):
            found.append(f"line {node.lineno}: asnumpy")
        is_get = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        if is_get and not node.args and ast.unparse(node.func.value) not in variables:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def imports(tree: ast.AST) -> set[str]:
    """Return the packages imported anywhere in a module."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_only_backend_copies_from_the_device():
    for file in sources():
        found = ways_back(ast.parse(file.read_text(encoding="utf-8")))
        assert bool(found) == (file.name == "backend.py"), f"{file.relative_to(PACKAGE)}: {found}"


def test_computing_modules_import_no_array_library():
    host = {"examples.py"}  # inputs for tests
    for file in sources("autograd", "nn", "models", "diffusion", "training", "sampling"):
        if file.name not in host:
            found = imports(ast.parse(file.read_text(encoding="utf-8"))) & {"numpy", "cupy", "cupyx", "scipy"}
            assert not found, f"{file.relative_to(PACKAGE)} imports {sorted(found)}"
