"""Checks that a device computes the host's numbers, for the strict fake (test_device) and a GPU (test_gpu).

Each function runs the same computation on NumPy and on the given backend, in float64, and compares. Weights that
are initialised to nearly zero are randomised first, and cotangents are random: no gradient is zero by accident.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from diffusion_calls import arrays, results

from ddpm_np import Tensor, Trainer, load, sample
from ddpm_np.autograd import ops
from ddpm_np.autograd.ops.examples import examples
from ddpm_np.autograd.randomness import randomness
from ddpm_np.backend import Backend, get_backend, of, to_host
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.diffusion import Reverse, draw, linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs import checkpoint
from ddpm_np.sampling.predictor import predictor

NUMPY = get_backend("numpy")
# Ops whose forward CuPy runs on complex numbers: it has no complex ln Φ.
COMPLEX = {name for name, op in ops.REGISTRY.items() if op.analytic} - {"log_ndtr", "astype"}
TINY = UNetConfig(
    image_size=(4, 8), in_channels=2, channels=8, channel_multipliers=(1, 2), blocks_per_level=1,
    attention_resolutions=(2,), dropout=0.3, groups=4, heads=2, num_classes=3, downsample_padding="symmetric",
    flip_sin_to_cos=True, freq_shift=0,
)
UNLABELLED = UNetConfig(image_size=4, in_channels=1, channels=8, channel_multipliers=(1, 2), blocks_per_level=1,
                        attention_resolutions=(2,), dropout=0.3, groups=4)
SMALLEST = UNetConfig(image_size=4, in_channels=1, channels=8, channel_multipliers=(1,), blocks_per_level=1,
                      attention_resolutions=(), dropout=0.3, groups=4)


def generator(*names: Any) -> np.random.Generator:
    """Return a generator that depends on the names alone."""
    return np.random.default_rng([zlib.crc32(str(name).encode()) for name in names])


def assert_near(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Assert each number within `tolerance` of the expected one, relative to the larger of it and 1."""
    found, expected = to_host(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), what
    assert np.isfinite(expected).all(), f"{what}: compared where numbers are not finite"
    error = np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)), initial=0)
    assert error <= tolerance, f"{what}: {error:.1e}"


def assert_gradients_near(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """Assert each gradient within `tolerance` of its largest number (or a thousandth of the largest of all)."""
    assert found.keys() == expected.keys()
    largest = max(np.abs(to_host(g)).max() for g in expected.values())
    for name in expected:
        g, other = to_host(expected[name]), to_host(found[name])
        assert (g.shape, g.dtype) == (other.shape, other.dtype), name
        scale = max(np.abs(g).max(), 1e-3 * largest)
        error = np.abs(other - g).max() / scale
        assert error <= tolerance, f"{name}: {error:.1e}"


def run_op(name: str, example: Any, g: Any, backend: Backend) -> tuple[Any, list[Any]]:
    """Return an op's output and gradients through the tape, one gradient for each float operand."""
    operands = [Tensor(backend.to_device(a), requires_grad=True) if a is not None and a.dtype == np.float64
                else None if a is None else backend.to_device(a) for a in example.arrays]
    y = ops.REGISTRY[name](*operands, *example.extra, **example.static)
    y.backward(backend.to_device(g, y.dtype))
    return y.data, [x.grad for x in operands if isinstance(x, Tensor)]


def check_op(name: str, backend: Backend, tolerance: float, kernels: str = "reference") -> None:
    """Check forward and vjp of an op on all its examples."""
    rng = generator(name)
    for example in examples(name, rng):
        with ops.kernels("reference"):
            g = rng.standard_normal(np.shape(ops.REGISTRY[name](*example.inputs, **example.static)))
            y, gradients = run_op(name, example, g, NUMPY)
        with ops.kernels(kernels):
            found, found_gradients = run_op(name, example, g, backend)
        assert_near(found, y, tolerance, f"{name}({example})")
        for i, (new, old) in enumerate(zip(found_gradients, gradients, strict=True)):
            assert_near(new, old, tolerance, f"{name}({example}), gradient {i}")


def check_complex_forward(name: str, backend: Backend, tolerance: float) -> None:
    """Check the forward of an op on complex128 numbers near its real examples, as the complex step needs it."""
    rng = generator("complex", name)
    for example in examples(name, rng):
        arrays = [None if a is None else a if a.dtype == bool else a + 1e-3j * rng.standard_normal(a.shape)
                  for a in example.arrays]
        with ops.kernels("reference"):
            y = ops.REGISTRY[name](*arrays, *example.extra, **example.static)
            on_device = [None if a is None else backend.to_device(a) for a in arrays]
            found = ops.REGISTRY[name](*on_device, *example.extra, **example.static)
        assert y.dtype == np.complex128
        assert_near(found, y, tolerance, f"{name}({example})")


def make_unet(config: UNetConfig, backend: Backend, dtype: str = "float64") -> UNet:
    """Return a net with weights of ordinary size everywhere, the same on every backend."""
    model = UNet(config, dtype=dtype, backend=backend)
    for name, p in model.named_parameters():
        change = NUMPY.normal(7, f"weights/{name}", 0, 0, 1, tuple(p.shape))[0]
        p.data = to_host(p.data) + change / np.sqrt(max(np.prod(p.shape[:-1]), 4))
    return model


def run_unet(config: UNetConfig, backend: Backend) -> tuple[Any, dict[str, Any]]:
    """Return output and gradients, of the images and of every parameter, of a net in training mode."""
    model, rng, n = make_unet(config, backend).train(), generator("unet"), 3
    x = Tensor(backend.to_device(rng.standard_normal((n, *config.size, config.in_channels))), requires_grad=True)
    t = backend.to_device(np.array([1, 77, 1000]))
    labels = () if config.num_classes is None else (backend.to_device(np.array([2, 0, 1])),)
    with randomness(seed=5, step=2, first=4):
        y = model(x, t, *labels)
    y.backward(backend.to_device(rng.standard_normal(y.shape)))
    return y.data, {"x": x.grad} | {name: p.grad for name, p in model.named_parameters()}


def unseen(name: str, config: UNetConfig) -> bool:
    """Whether the net may not see a parameter, whose gradient is then rounding alone.

    A softmax does not see a shift of all its keys, nor a normalisation the shift of a whole group: where a group is
    one channel, that is any bias before one, and the time.
    """
    alone = config.channels == config.groups
    return name.endswith("to_k.bias") or (alone and (name.endswith(".bias") or "time_emb" in name))


def check_unet(config: UNetConfig, backend: Backend, tolerance: float, kernels: str = "reference") -> None:
    """Check the forward and all gradients of a U-Net."""
    with ops.kernels("reference"):
        y, gradients = run_unet(config, NUMPY)
    with ops.kernels(kernels):
        found, found_gradients = run_unet(config, backend)
    for name, g in gradients.items():
        assert np.abs(g).max() > 1e-4 or unseen(name, config), f"{name}: no gradient to compare"
    assert_near(found, y, tolerance, "output")
    assert_gradients_near(found_gradients, gradients, tolerance)


def make_trainer(backend: Backend, config: UNetConfig = SMALLEST, dtype: str = "float64") -> Trainer:
    """Return a Trainer with a large learning rate; warm-up is over at the third step."""
    return Trainer(make_unet(config, backend, dtype), linear_schedule(50), lr=1e-2, warmup=2, clip=0.5, ema=0.9, seed=3,
                   shards=2, workers=1)


def batch(step: int) -> np.ndarray:
    """Return images (5, 4, 4, 1); five images do not divide into two shards."""
    return np.clip(generator("images", step).standard_normal((5, 4, 4, 1)), -1, 1)


def state(trainer: Trainer) -> dict[str, Any]:
    """Return host copies of every number that a step changes."""
    parts = {"weights": trainer.flat.data, "m": trainer.adam.m, "v": trainer.adam.v, "updates": trainer.adam.updates,
             "average": trainer.ema.data}
    return {name: to_host(array).copy() for name, array in parts.items()}


def check_training(backend: Backend, tolerance: float, kernels: str = "reference", steps: int = 3,
                   dtype: str = "float64") -> None:
    """Check weights, moments and average after some steps, and each step's result."""
    results = []
    for where, choice in ((NUMPY, "reference"), (backend, kernels)):
        trainer = make_trainer(where, UNLABELLED, dtype)
        assert trainer.flat.data.dtype == trainer.adam.m.dtype == trainer.ema.data.dtype == dtype
        start = state(trainer)
        with ops.kernels(choice):
            reports = [trainer.step(batch(k)) for k in range(steps)]
        results.append((start, state(trainer), [{k: to_host(v) for k, v in r.items()} for r in reports]))
    (start, expected, reports), (other_start, found, found_reports) = results
    moved = np.abs(expected["weights"] - start["weights"])
    assert np.mean(moved > 1e-3) > 0.9, "the weights should have moved"
    for name in expected:
        assert np.array_equal(start[name], other_start[name]), name
        # Adam divides small gradients by themselves: the weights know them less well than the moments do
        allowed = tolerance if name in ("weights", "average") else tolerance / 1000
        assert_near(found[name] / np.abs(expected[name]).max(), expected[name] / np.abs(expected[name]).max(), allowed,
                    name)
    for report, other in zip(reports, found_reports, strict=True):
        assert_near(other["loss"], report["loss"], tolerance / 1000, "loss")
        assert_near(other["grad_norm"], report["grad_norm"], tolerance / 1000, "grad_norm")


def check_non_finite_step(backend: Backend) -> None:
    """Check that a step with a non-finite gradient changes no bit, and that the next step works again."""
    trainer = make_trainer(backend)
    for k in range(2):
        trainer.step(batch(k))
    before = state(trainer)
    bad = batch(2)
    bad[3, 1, 2, 0] = np.inf
    report = trainer.step(bad)
    assert not np.isfinite(to_host(report["grad_norm"]))
    after = state(trainer)
    for name in before:
        assert np.array_equal(before[name], after[name]), name
    assert np.isfinite(to_host(trainer.step(batch(3))["grad_norm"]))
    assert not np.array_equal(state(trainer)["weights"], before["weights"])


def run_sampler(backend: Backend, model: Any, first: int = 0, T: int = 6) -> list[Any]:
    """Every image on the way from noise, as the device has it."""
    reverse = Reverse(linear_schedule(T, 0.1, 0.6), predictor(model, workers=1), variance="large", clip=True)
    steps = draw(reverse, 3, (4, 4, 1), seed=2, first=first, dtype="float64", backend=backend)
    return [x for _, x, _ in steps]


def check_predictor_sees_steps(backend: Backend) -> None:
    """Check that the predictors of a Trainer follow its weights and its average."""
    trainer = make_trainer(backend)
    x, t = backend.to_device(batch(5)), backend.to_device(np.array([1, 2, 30, 40, 50]))
    nets = {weights: predictor(trainer, weights, workers=1) for weights in ("ema", "model")}
    before = {weights: to_host(net(x, t)) for weights, net in nets.items()}
    assert_near(before["ema"], before["model"], 1e-12, "the average starts from the weights")
    for k in range(3):
        trainer.step(batch(k))
    after = {weights: to_host(net(x, t)) for weights, net in nets.items()}
    moved = {weights: np.abs(after[weights] - before[weights]).max() for weights in nets}
    assert 1e-3 < moved["ema"] < moved["model"]
    assert_near(after["model"], to_host(trainer.model.eval()(x, t).data), 1e-12, "the weights as they are")


def check_sampler(backend: Backend, tolerance: float, kernels: str = "reference") -> None:
    """Check Algorithm 2 with a net, and the same images in another batch."""
    with ops.kernels("reference"):
        expected = run_sampler(NUMPY, make_unet(UNLABELLED, NUMPY))
    with ops.kernels(kernels):
        model = make_unet(UNLABELLED, backend)
        found, later = run_sampler(backend, model), run_sampler(backend, model, first=2)
    assert np.abs(to_host(found[-1])).max() <= 1, "clipped"
    for step, (new, old) in enumerate(zip(found, expected, strict=True)):
        assert_near(new, old, tolerance, f"step {step}")
    assert_near(later[-1][:1, ...], to_host(found[-1])[2:], tolerance, "image 2 in another batch")


def check_mathematics(name: str, backend: Backend, tolerance: float) -> None:
    """Check that a function of `diffusion` gives NumPy's numbers on the device, and leaves its results there."""
    rng = generator("mathematics", name)
    schedule = linear_schedule(5, 0.05, 0.6)
    values = arrays(rng, 5, (3, 2, 3, 1), np.float64)
    expected = results(name, schedule, values)
    found = results(name, schedule, {key: backend.to_device(value) for key, value in values.items()})
    for i, (new, old) in enumerate(zip(found, expected, strict=True)):
        assert of(new) is backend.xp, f"{name}: result {i} is on the host"
        assert_near(to_host(new), old, tolerance, f"{name}: result {i}")


def check_checkpoint(backend: Backend, folder: Any, tolerance: float) -> None:
    """Check that a checkpoint saved from the device opens on both sides with the same weights and samples."""
    config = Config(SMALLEST, DiffusionConfig(T=4, beta_start=0.1, beta_end=0.6))
    trainer = make_trainer(backend)
    trainer.step(batch(0))
    checkpoint.save(folder / "checkpoint-00000001.safetensors", trainer, config)
    images = {}
    for where in (NUMPY, backend):
        loaded = load(folder, dtype="float64", backend=where.name)
        for name, p in loaded.ema.model.named_parameters():
            assert np.array_equal(to_host(p.data), to_host(dict(trainer.ema.model.named_parameters())[name].data)), name
        with ops.kernels("reference"):
            images[where.name] = sample(loaded, 3, seed=4, batch_size=2, workers=1)
    assert_near(images[backend.name], images["numpy"], tolerance, "samples")


def check_random(backend: Backend) -> None:
    """Check that the words are the same, and that numbers differ by rounding alone."""
    where = {"seed": 2**63 + 1, "purpose": "π", "step": 9, "first": 2**40 + 3, "n": 5, "shape": (3, 7)}
    assert np.array_equal(to_host(backend.random(**where)), NUMPY.random(**where))
    for dtype in ("float32", "float64"):
        assert np.array_equal(to_host(backend.uniform(**where, dtype=dtype)), NUMPY.uniform(**where, dtype=dtype))
        assert_near(backend.normal(**where, dtype=dtype), NUMPY.normal(**where, dtype=dtype),
                    {"float32": 1e-6, "float64": 1e-14}[dtype], f"normal, {dtype}")
    ints = {"seed": 1, "purpose": "t", "step": 0, "first": 0, "n": 1000, "low": -3, "high": 11}
    assert np.array_equal(to_host(backend.integers(**ints)), NUMPY.integers(**ints))
