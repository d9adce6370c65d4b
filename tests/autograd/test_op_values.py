"""Values of ops against NumPy, SciPy and mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.signal
from gradient_inputs import generator

from ddpm_np import Tensor
from ddpm_np.autograd import ops
from ddpm_np.autograd.ops import REGISTRY, kernels
from ddpm_np.autograd.ops.examples import examples
from ddpm_np.check.gradients.derivatives import error
from ddpm_np.check.gradients.reference_ops import EXACT, EXPECTED, VALUE
from ddpm_np.check.gradients.rules import LAYOUTS, laid_out

pytestmark = pytest.mark.usefixtures("one_blas_thread")


def correlation(x, w, b, *, stride, padding):
    """Return SciPy's correlation over height, width and channels at every position, then every `stride`-th of them."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    n, o = x.shape[0], w.shape[3]
    each = [[scipy.signal.correlate(image, w[..., j], "valid", "direct") for j in range(o)] for image in padded]
    size = [padded.shape[1] - w.shape[0] + 1, padded.shape[2] - w.shape[1] + 1]
    y = np.array(each).reshape(n, o, *size)[:, :, ::stride, ::stride].transpose(0, 2, 3, 1)
    return y if b is None else y + b


def test_reference_convolution_equals_scipys_correlation():
    for example in examples("conv2d", generator("correlation")):
        expected = correlation(*example.inputs, **example.static)
        assert error(EXPECTED["conv2d"](*example.inputs, **example.static), expected) <= VALUE


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_op_values_equal_the_reference_implementation(name, layout):
    for example in (laid_out(e, layout) for e in examples(name, generator(name, layout))):
        expected = np.asarray(EXPECTED[name](*example.inputs, **example.static))
        for choice in ("reference", "fast"):
            with kernels(choice):
                y = REGISTRY[name](*example.inputs, **example.static)
            assert isinstance(y, np.ndarray)
            assert y.dtype == expected.dtype
            assert error(y, expected) <= (0 if name in EXACT else VALUE), f"{example}, {choice}"


@pytest.mark.parametrize("x", [-1e3, -40.0, -8.0, -5.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 5.0, 8.0, 30.0])
def test_activations_keep_full_relative_precision_in_the_tails(x):
    """Each value and derivative has full relative precision, however small it is."""
    with mpmath.workdps(600):
        at = mpmath.mpf(x)
        exact = {
            ops.silu: lambda a: a / (1 + mpmath.exp(-a)),
            ops.sigmoid: lambda a: 1 / (1 + mpmath.exp(-a)),
            ops.log_ndtr: lambda a: mpmath.log(mpmath.erfc(-a / mpmath.sqrt(2)) / 2),
        }
        sigma = exact[ops.sigmoid](at)
        slopes = {
            ops.silu: sigma + at * sigma * (1 - sigma),
            ops.sigmoid: sigma * (1 - sigma),
            ops.log_ndtr: mpmath.exp(-at * at / 2) / mpmath.sqrt(2 * mpmath.pi) / mpmath.exp(exact[ops.log_ndtr](at)),
        }
        expected = {op: (float(f(at)), float(slopes[op])) for op, f in exact.items()}
    for op, (value, slope) in expected.items():
        y, vjp = op.define(np.array([x]))
        g = vjp(np.array([1.7]))[0]
        rtol = 1e-15 * (1 + x * x) if op is ops.log_ndtr else 1e-14  # exp(−x²/2) has the exponent's digits
        np.testing.assert_allclose(y[0], value, rtol=max(rtol, 1e-14), atol=1e-323)
        absolute = 4e-16 if op is ops.sigmoid and x > 0 else 1e-323  # 1 − σ has the digits of 1
        np.testing.assert_allclose(g[0], 1.7 * slope, rtol=max(rtol, 1e-14), atol=absolute)


def test_float32_activations_do_not_overflow():
    x = np.array([-1e4, -200, -89, 0, 89, 200, 1e4], np.float32)
    for op in (ops.sigmoid, ops.silu, ops.softmax, ops.tanh):
        y, vjp = op.define(x)
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        assert np.isfinite(vjp(np.full(x.shape, 0.3, np.float32))[0]).all()
    np.testing.assert_array_equal(ops.silu(x)[[0, 1, 3, 5, 6]], np.array([0, 0, 0, 200, 1e4], np.float32))


def test_softmax_of_complex_numbers_is_shifted_by_the_real_maximum():
    x = np.array([[800 + 1j, 801 - 2j, 799 + 0.5j]])
    expected = np.exp(x - 800) / np.exp(x - 800).sum()
    assert error(ops.softmax(x).real, expected.real) <= 1e-14
    assert error(ops.softmax(x).imag, expected.imag) <= 1e-13


@pytest.mark.parametrize(("name", "inputs", "static", "words"), [
    ("conv2d", [(2, 4, 4, 3), (3, 3, 2, 5)], {}, r"expected x of shape \(N, H, W, 2\), got \(2, 4, 4, 3\)"),
    ("conv2d", [(2, 4, 3), (3, 3, 3, 5)], {}, r"got \(2, 4, 3\)"),
    ("conv2d", [(2, 2, 4, 3), (3, 3, 3, 5)], {}, "an image of 2×4 is smaller than the 3×3 kernel"),
    ("group_norm", [(2, 4, 4, 6), (6,), (6,)], {"groups": 4, "eps": 1e-6}, "6 channels do not divide into 4 groups"),
    ("group_norm_silu", [(2, 4, 4, 6), (6,), (6,)], {"groups": 4, "eps": 1e-6}, "6 channels do not divide into 4"),
    ("linear", [(2, 4), (3, 5)], {}, r"expected x of shape \(N, …, 3\), got \(2, 4\)"),
    ("linear", [(3,), (3, 5)], {}, r"got \(3,\)"),
    ("matmul", [(3,), (3, 5)], {}, r"got shapes \(3,\) and \(3, 5\)"),
    ("matmul", [(2, 3), (2, 3)], {}, r"got shapes \(2, 3\) and \(2, 3\)"),
    ("add", [(2,), (3,)], {}, r"add: .*\(2,\) \(3,\)"),
    ("concat", [(2, 3), (2, 4)], {"axis": 0}, r"concat of \(2, 3\), \(2, 4\): "),
    ("concat", [(2, 3)], {"axis": 2}, "axis must be from -2 to 1, got 2"),
    ("concat", [], {"axis": 0}, "at least one array"),
    ("softmax", [()], {}, "at least one axis"),
    ("attention", [(2, 3), (2, 4), (2, 4)], {}, r"got \(2, 3\), \(2, 4\) and \(2, 4\)"),
    ("attention", [(2, 0), (2, 0), (2, 4)], {}, "D at least 1"),
    ("conv2d", [(2, 4, 4, 3), (3, 3, 3, 5), (4,)], {}, r"expected b of shape \(5,\), got \(4,\)"),
    ("conv2d", [(2, 4, 4, 3), (3, 3, 3, 5), (1,)], {}, r"expected b of shape \(5,\), got \(1,\)"),
    ("conv2d", [(2, 4, 4, 0), (3, 3, 0, 5)], {}, "expected w of shape"),
    ("conv2d", [(2, 4, 4, 3), (3, 3, 3, 5)], {"stride": 0}, "stride must be at least 1, got 0"),
    ("conv2d", [(2, 9, 9, 3), (3, 3, 3, 5)], {"padding": ((0, 0), (-1, 0))}, "padding must be at least 0, got -1"),
    ("upsample_conv2d", [(2, 4, 4, 3), (3, 3, 3, 5), (1,)], {}, r"expected b of shape \(5,\), got \(1,\)"),
    ("upsample_nearest", [(2, 4, 4, 3)], {"factor": 0}, "factor must be at least 1, got 0"),
    ("linear", [(2, 3), (3, 5), (1,)], {}, r"expected b of shape \(5,\), got \(1,\)"),
    ("group_norm", [(2, 4, 4, 6), (1,), (1,)], {"groups": 3, "eps": 1e-6}, r"\(1,\) and \(1,\)"),
    ("group_norm_silu", [(2, 4, 4, 6), (6,), ()], {"groups": 3, "eps": 1e-6}, r"\(6,\) and \(\)"),
    ("group_norm", [(2, 4, 4, 6), (6,), (6,)], {"groups": 0, "eps": 1e-6}, "groups must be at least 1, got 0"),
    ("sum", [(2, 3)], {"axis": (0, -2)}, "the same axis twice"),
    ("mean", [(0, 3)], {}, r"the mean of no elements is undefined: shape \(0, 3\)"),
    ("sum", [(2, 3)], {"axis": 2}, "axis 2 is out of range for an array of 2 dimensions"),
])
def test_wrong_shapes_get_one_plain_line(name, inputs, static, words):
    arrays = [np.ones(shape) for shape in inputs]
    for choice in ("reference", "fast"):
        with kernels(choice), pytest.raises(ValueError, match=words) as caught:
            REGISTRY[name](*arrays, **static)
        assert "\n" not in str(caught.value)


def test_fancy_indices_are_refused():
    for index in (np.array([0, 1]), True, [0], "a", 1.0, (0, True)):
        with pytest.raises(TypeError, match="indexed by ints, slices, None and"):
            ops.getitem(np.ones((3, 2)), index)


def test_axes_and_sizes_that_are_no_ints_are_refused():
    x = np.ones((2, 3, 4, 1))
    for call, words in [
        (lambda: ops.sum_(x, axis=True), "axis must be an int or a tuple of ints, got True"),
        (lambda: ops.mean(x, axis=(0, 1.0)), r"axis must be an int or a tuple of ints, got \(0, 1.0\)"),
        (lambda: ops.concat(x, axis=None), "axis must be an int, got None"),
        (lambda: ops.upsample_nearest(x, factor=1.5), "factor must be an int, got 1.5"),
        (lambda: ops.add(x, [1.0]), "expected an array or a Tensor, got list: convert it with numpy.asarray first"),
        (lambda: ops.add(x, "a"), "expected an array or a Tensor, got str"),
    ]:
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(ValueError, match=r"axes must be a permutation of \(0, 1, 2, 3\), got \(0, 0, 1, 2\)"):
        ops.permute_dims(x, (0, 0, 1, 2))


def test_integers_have_no_gradient_after_a_conversion():
    x = Tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match="astype has no gradient"):
        ops.astype(ops.astype(x, np.int64), np.float64).sum().backward()


def test_the_zeroth_power_has_gradient_zero_everywhere():
    x = Tensor(np.array([0.0, -0.0, 2.0, np.inf, np.nan]), requires_grad=True)
    (x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, np.zeros(5))


def test_log_ndtr_slope_in_float32_far_below_zero():
    """φ/Φ = −x + O(1/x): the exponent −x²/2 − ln Φ has no digits left there."""
    x = np.array([-1e2, -1e3, -1e6, -1e18, -np.inf], np.float32)
    leaf = Tensor(x, requires_grad=True)
    with np.errstate(divide="ignore", over="ignore"):
        ops.log_ndtr(leaf).sum().backward()
    np.testing.assert_allclose(leaf.grad, -x, rtol=2e-4)


def test_a_tensor_of_another_library_is_refused_with_its_conversion():
    torch = pytest.importorskip("torch")
    for call in (Tensor, lambda x: ops.add(Tensor([1.0]), x), lambda x: Tensor([1.0]) * x):
        with pytest.raises(TypeError, match=r"got torch.Tensor: convert it with .detach\(\).cpu\(\).numpy\(\) first"):
            call(torch.ones(1, requires_grad=True))


def test_an_unknown_kernel_choice_is_refused():
    with pytest.raises(ValueError, match="'fast' or 'reference', got 'slow'"), kernels("slow"):
        pass
