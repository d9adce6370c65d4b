"""The package on a GPU equals the package on NumPy: the checks of test_device on real CuPy."""

from __future__ import annotations

import device_checks as checks
import pytest
from diffusion_calls import CALLS

from ddpm_np.autograd import ops
from ddpm_np.backend import BackendError, get_backend
from ddpm_np.models import UNetConfig

pytestmark = pytest.mark.gpu

KERNELS = ["reference", "fast"]
ROUNDING = 1e-12  # float64; CUDA's exp and log are within 1 or 2 units in the last place, and sums run in other orders


@pytest.fixture(scope="module")
def device():
    """The backend "cupy", where there is a GPU."""
    try:
        return get_backend("cupy")
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", sorted(ops.REGISTRY))
def test_every_op_equals_the_host(device, name, kernels):
    checks.check_op(name, device, ROUNDING, kernels)


@pytest.mark.parametrize("name", sorted(checks.COMPLEX))
def test_complex_forwards_equal_the_host(device, name):
    checks.check_complex_forward(name, device, ROUNDING)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("config", [UNetConfig.preset("digits"), checks.TINY], ids=["digits", "tiny"])
def test_unet_output_and_gradients_equal_the_host(device, config, kernels):
    checks.check_unet(config, device, 1e-10, kernels)


def test_random_numbers_equal_the_host(device):
    checks.check_random(device)


@pytest.mark.parametrize("kernels", KERNELS)
def test_training_steps_equal_the_host(device, kernels):
    checks.check_training(device, 1e-9, kernels)


@pytest.mark.parametrize("kernels", KERNELS)
def test_float32_training_steps_equal_the_host(device, kernels):
    checks.check_training(device, 1e-2, kernels, steps=2, dtype="float32")


def test_predictor_uses_the_weights_of_the_latest_step(device):
    checks.check_predictor_sees_steps(device)


def test_a_non_finite_step_changes_nothing(device):
    checks.check_non_finite_step(device)


@pytest.mark.parametrize("kernels", KERNELS)
def test_sampler_equals_the_host(device, kernels):
    checks.check_sampler(device, 1e-11, kernels)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_diffusion_functions_equal_the_host(device, name):
    checks.check_mathematics(name, device, 1e-11)


def test_a_checkpoint_opens_on_host_and_device_with_the_same_samples(device, tmp_path):
    checks.check_checkpoint(device, tmp_path, 1e-11)
