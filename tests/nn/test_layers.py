"""Layers: their equations, parameters, initialisation and dropout."""

from __future__ import annotations

import collections
import copy
import functools
import math

import numpy as np
import pytest
import scipy.special
from gradient_inputs import generator

from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.check.gradients.derivatives import error
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.models.unet import Downsample, ResidualBlock, Upsample
from ddpm_np.nn import (
    Attention,
    Conv2d,
    Dropout,
    GroupNorm,
    Linear,
    Module,
    Parameter,
    count_parameters,
    host_state,
    ones,
    zeros,
)
from ddpm_np.parallel.contents import held_by
from ddpm_np.training.ema import EMA


def random_layer(layer, name="layer", dtype="float64"):
    """Return the layer with random parameters."""
    layer.initialise(dtype=dtype)
    for key, p in layer.named_parameters():
        p.data = generator(name, key).standard_normal(p.shape) * 0.5
    return layer


def normalised(x, weight, bias, groups, eps):
    """Return group normalisation, computed for each group of each image."""
    y = np.empty_like(x)
    for image, out in zip(x, y, strict=True):
        for channels in np.split(np.arange(x.shape[3]), groups):
            out[:, :, channels] = (image[:, :, channels] - image[:, :, channels].mean()) / np.sqrt(
                image[:, :, channels].var() + eps)
    return y * weight + bias


# What they compute


def test_linear_equals_its_equation():
    layer = random_layer(Linear(3, 5))
    x = generator("x").standard_normal((2, 4, 3))
    expected = np.array([[[sum(x[n, m, i] * layer.weight.data[i, j] for i in range(3)) + layer.bias.data[j]
                           for j in range(5)] for m in range(4)] for n in range(2)])
    assert error(layer(x).data, expected) <= 1e-15


@pytest.mark.parametrize(("kernel", "stride", "padding", "offset"), [
    (3, 1, None, -1), (1, 1, None, 0), (3, 2, ((0, 1), (0, 1)), 0), (3, 2, None, -1), (5, 1, None, -2),
])
def test_convolution_equals_its_equation_pixel_by_pixel(kernel, stride, padding, offset):
    """At an output pixel in the middle and one in each corner; pixels outside the image count as 0."""
    layer = random_layer(Conv2d(2, 3, kernel, stride=stride, padding=padding))
    x = generator("x").standard_normal((2, 8, 6, 2))
    y = layer(x).data
    assert y.shape == (2, 8 // stride, 6 // stride, 3)
    for i, j in [(2, 1), (0, 0), (y.shape[1] - 1, y.shape[2] - 1)]:
        expected = layer.bias.data.copy()
        for p in range(kernel):
            for q in range(kernel):
                a, b = i * stride + p + offset, j * stride + q + offset
                if 0 <= a < 8 and 0 <= b < 6:
                    expected = expected + x[1, a, b] @ layer.weight.data[p, q]
        np.testing.assert_allclose(y[1, i, j], expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("silu", [False, True])
def test_group_norm_equals_its_equation(silu):
    layer = random_layer(GroupNorm(6, groups=3, eps=1e-2, silu=silu))
    x = generator("x").standard_normal((2, 3, 4, 6)) * 2 + 1
    expected = normalised(x, layer.weight.data, layer.bias.data, 3, 1e-2)
    assert error(layer(x).data, expected * scipy.special.expit(expected) if silu else expected) <= 1e-14


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_equals_its_equation_pixel_by_pixel(heads):
    """Head by head."""
    layer = random_layer(Attention(8, groups=2, eps=1e-3, heads=heads))
    x = generator("x").standard_normal((2, 3, 2, 8))
    w = {name: p.data for name, p in layer.named_parameters()}
    h = normalised(x, w["group_norm.weight"], w["group_norm.bias"], 2, 1e-3).reshape(2, 6, 8)
    q, k, v = (h @ w[f"to_{c}.weight"] + w[f"to_{c}.bias"] for c in "qkv")
    y, d = np.empty_like(v), 8 // heads
    for n in range(2):
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            for i in range(6):
                p = scipy.special.softmax(k[n, :, part] @ q[n, i, part] * d**-0.5)
                y[n, i, part] = p @ v[n, :, part]
    expected = x + (y @ w["to_out.0.weight"] + w["to_out.0.bias"]).reshape(x.shape)
    assert error(layer(x).data, expected) <= 1e-14


def test_a_residual_block_applies_its_layers_in_order():
    """In the order of its equation; with and without a shortcut."""
    config = UNetConfig(8, 1, 4, (1, 2), 1, (), groups=2)
    for c_out in (4, 6):
        block = random_layer(ResidualBlock(4, c_out, 5, config))
        assert (block.conv_shortcut is None) == (c_out == 4)
        x, temb = generator("x").standard_normal((2, 3, 4, 4)), generator("t").standard_normal((2, 5))
        h = block.conv1(block.norm1(x)).data
        h = h + (temb @ block.time_emb_proj.weight.data + block.time_emb_proj.bias.data)[:, None, None, :]
        h = block.conv2(block.norm2(h)).data
        shortcut = x if c_out == 4 else x @ block.conv_shortcut.weight.data[0, 0] + block.conv_shortcut.bias.data
        assert error(block(x, Tensor(temb)).data, shortcut + h) <= 1e-14


def test_dropout_stands_before_the_second_convolution():
    block = random_layer(ResidualBlock(4, 4, 5, UNetConfig(8, 1, 4, (1,), 1, (), groups=2, dropout=0.4)))
    x, temb = generator("x").standard_normal((2, 3, 4, 4)), generator("t").standard_normal((2, 5))
    with randomness(1, 2, 3):
        y = block(x, Tensor(temb)).data
    (mask,) = masks(0.4, n=2, seed=1, step=2, first=3, shape=(3, 4, 4))
    h = block.conv1(block.norm1(x)).data
    h = h + (temb @ block.time_emb_proj.weight.data + block.time_emb_proj.bias.data)[:, None, None, :]
    expected = x + block.conv2(mask * block.norm2(h).data).data
    assert error(y, expected) <= 1e-14


@pytest.mark.parametrize(("padding", "before"), [("asymmetric", 0), ("symmetric", 1)])
def test_downsampling_pads_where_the_paper_does(padding, before):
    layer = random_layer(Downsample(1, padding))
    layer.conv.weight.data = np.arange(1.0, 10.0).reshape(3, 3, 1, 1)
    layer.conv.bias.data = np.zeros(1)
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0] = 1.0
    y = layer(x).data[0, :, :, 0]
    assert y.shape == (2, 2)
    assert y[0, 0] == (5.0 if before else 1.0)  # the kernel's element that meets the first pixel
    assert np.count_nonzero(y) == 1


def test_upsampling_repeats_pixels():
    layer = Upsample(1).initialise(dtype="float64")
    layer.conv.weight.data = np.zeros((3, 3, 1, 1))
    layer.conv.weight.data[1, 1] = 1.0
    x = np.arange(6.0).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(layer(x).data[0, :, :, 0], np.kron(x[0, :, :, 0], np.ones((2, 2))))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: GroupNorm(6, groups=4), "6 channels do not divide into 4 groups: choose groups that divide them"),
    (lambda: Attention(6, groups=2, heads=4), "6 channels do not divide into 4 heads: choose heads that divide them"),
    (lambda: Dropout(1.0), r"dropout must be in \[0, 1\), got 1.0"),
])
def test_invalid_layer_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# What they own


class Pair(Module):
    def __init__(self):
        self.first = Parameter((2,), ones)
        self.name = "not a part"
        self.parts = [Linear(2, 3), Linear(3, 1)]
        self.second = Parameter((4,), zeros)


def test_parameters_in_the_order_of_assignment():
    pair = Pair()
    with pytest.raises(RuntimeError, match=r"first has no values yet: call initialise\(\) first"):
        pair.parameters()
    assert pair.initialise() is pair
    assert [name for name, _ in pair.named_parameters()] == [
        "first", "parts.0.weight", "parts.0.bias", "parts.1.weight", "parts.1.bias", "second"]
    assert all(p.requires_grad and p.dtype == np.float32 for p in pair.parameters())
    assert count_parameters(pair) == (2 + 6 + 3 + 3 + 1 + 4, 6)
    assert {name: array.tolist() for name, array in host_state(pair).items()}["first"] == [1, 1]
    with pytest.raises(NotImplementedError, match="Pair does not define __call__"):
        pair(1)


def test_train_and_eval_reach_every_submodule():
    net = UNet(UNetConfig(4, 1, 4, (1,), 1, (), groups=1))
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())
    assert sum(isinstance(module, Dropout) for module in net.modules()) == 5


def test_a_clone_is_another_net_of_the_same_structure():
    pair = Pair().initialise()
    clone = pair.clone(lambda p: Tensor(p.data * 2))
    assert [name for name, _ in clone.named_parameters()] == [name for name, _ in pair.named_parameters()]
    for p, q in zip(pair.parameters(), clone.parameters(), strict=True):
        assert p is not q
        np.testing.assert_array_equal(q.data, 2 * p.data)
    clone.eval()
    assert pair.training
    assert pair.parts[0].training
    assert pair.parts is not clone.parts


class Held(Module):
    """Parts in lists, tuples and dicts of any depth."""

    def __init__(self):
        self.layers = [Linear(1, 1), [Linear(1, 1), (Linear(1, 1),)]]
        self.heads = {"left": Linear(1, 1), 2: {"deep": [Linear(1, 1)]}}
        self.pair = (Parameter((2,), ones), 5)
        self.scales = [Parameter((3,), ones)]
        self.plain = [1, (2,), {"x": None}]
        self.child = Linear(1, 1)
        self.child.parent = self  # a cycle
        self.layers.append(self.layers)


def test_parts_are_found_in_containers_of_any_depth():
    held = Held().initialise(1)
    names = [name for name, _ in held.named_parameters()]
    assert names == [f"{layer}.{part}" for layer in ("layers.0", "layers.1.0", "layers.1.1.0", "heads.left",
                                                     "heads.2.deep.0") for part in ("weight", "bias")] + [
        "pair.0", "scales.0", "child.weight", "child.bias"]
    assert all(isinstance(p, Tensor) for p in held.parameters())
    assert len({p.data.tobytes() for name, p in held.named_parameters() if name.endswith("weight")}) == 6
    assert held.eval().layers[1][1][0].training is False
    assert count_parameters(held) == (17, 14)
    clone = held.clone(lambda p: Tensor(p.data + 1))
    assert [name for name, _ in clone.named_parameters()] == names
    assert clone.child.parent is clone
    assert clone.pair[1] == 5
    assert clone.layers[2] is clone.layers
    assert not {id(p) for p in clone.parameters()} & {id(p) for p in held.parameters()}
    other = Held().fill({name: np.full(p.shape, 7.0, np.float32) for name, p in held.named_parameters()})
    assert {float(x) for p in other.parameters() for x in p.data.ravel()} == {7.0}


def test_a_declared_parameter_that_is_shared_stays_one():
    class Tied(Module):
        def __init__(self):
            self.a, self.b = Linear(2, 2), Linear(2, 2)
            self.b.weight = self.a.weight

    for tied in (Tied().initialise(), Tied().fill({"a.weight": np.ones((2, 2)), "a.bias": np.ones(2),
                                                   "b.bias": np.ones(2)})):
        assert tied.a.weight is tied.b.weight
        assert count_parameters(tied) == (8, 3)
        again = copy.deepcopy(tied)
        assert again.a.weight is again.b.weight
        assert again.a.weight is not tied.a.weight


def test_computed_tensors_are_no_parameters():
    layer = Linear(1, 1).initialise()
    layer.last = layer(np.ones((1, 1), np.float32))
    layer.all = [layer.last]
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    with pytest.raises(TypeError, match=r"computed cannot be copied or pickled with its tape: take Tensor\(x.data\)"):
        copy.deepcopy(layer)


class Box:
    def __init__(self, part):
        self.part = part


@pytest.mark.parametrize(("hide", "kind"), [
    (lambda part: {part}, "set"), (Box, "Box"), (lambda part: lambda x: part(x) + 1, "function"),
    (lambda part: functools.partial(print, part), "partial"), (lambda part: collections.deque([part]), "deque"),
    (lambda part: [Box([part])], "list"), (lambda part: part.__call__, "method"),
])
def test_parts_that_would_not_be_trained_are_refused(hide, kind):
    class Hiding(Module):
        def __init__(self, part):
            self.hidden = hide(part)

    words = f"Hiding.hidden holds a Linear with parameters inside a {kind}, where they would not be trained: hold it in"
    with pytest.raises(TypeError, match=words):
        Hiding(Linear(1, 1)).initialise()
    with pytest.raises(TypeError, match=words):
        EMA(Hiding(Linear(1, 1).initialise()))
    found = Hiding(Linear(1, 1))
    found.part = next(iter(_linears_in(found.hidden)))
    found.initialise()  # held twice, once where it is found


def _linears_in(value):
    return [x for x in (*held_by(value), *(y for x in held_by(value) for y in held_by(x)),
                        *(z for x in held_by(value) for y in held_by(x) for z in held_by(y))) if isinstance(x, Linear)]


def test_names_that_are_not_unique_or_not_stable_are_refused():
    for keys, kind, words in (((1, "1"), ValueError, r"two parameters are called parts.1.weight"),
                               ((None,), TypeError, "parts holds a Linear under the key None: a part's name needs")):
        module = Module()
        module.parts = {key: Linear(1, 1) for key in keys}
        with pytest.raises(kind, match=words):
            module.initialise()


# How they begin


def test_first_weights_are_fan_average_uniform():
    """U(−l, l), l = √(6·scale/(fan_in + fan_out)); biases 0, norms 1; 1e-10 for the last layer of each branch."""
    net = UNet(UNetConfig(8, 3, 32, (1, 2), 1, (4,), groups=8), dtype="float64")
    for name, p in net.named_parameters():
        array = p.data
        if name.endswith("bias"):
            assert not array.any(), name
        elif "norm" in name:
            assert (array == 1).all(), name
        else:
            taps = math.prod(array.shape[:-2])
            scale = 1e-10 if name.split(".")[-2] in ("conv2", "conv_out") or "to_out.0" in name else 1.0
            limit = math.sqrt(6 * scale / (taps * (array.shape[-2] + array.shape[-1])))
            assert np.abs(array).max() <= limit, name
            assert np.abs(array).max() >= limit * (1 - 10 / array.size), name
            spread = 6 / math.sqrt(array.size)  # of the mean and of the mean square, in units of their own size
            assert abs(array.mean()) <= spread * limit, name
            assert abs(np.mean(array**2) / (limit**2 / 3) - 1) <= spread, name


def test_a_weight_depends_on_the_seed_and_its_name_alone():
    small, large = UNetConfig(8, 1, 8, (1, 2), 1, (), groups=4), UNetConfig(8, 1, 8, (1, 2), 2, (4,), groups=2)
    first, second = UNet(small, seed=5).state_dict(), UNet(large, seed=5).state_dict()
    shared = [name for name in first if name in second and first[name].shape == second[name].shape]
    assert len(shared) > 40
    for name in shared:
        assert first[name].tobytes() == second[name].tobytes()
    other = UNet(small, seed=6).state_dict()
    weights = [name for name in first if first[name].ndim > 1]
    assert all(first[name].tobytes() != other[name].tobytes() for name in weights)
    assert len({first[name].tobytes() for name in weights}) == len(weights)
    double = UNet(small, seed=5, dtype="float64").state_dict()
    for name in first:
        np.testing.assert_array_equal(first[name], double[name].astype(np.float32))


# Dropout


def masks(p=0.3, n=8, seed=1, step=2, first=0, calls=1, shape=(10, 10, 4)):
    """Return dropout of ones in each of several calls."""
    layer = Dropout(p)
    with randomness(seed, step, first):
        return [layer(np.ones((n, *shape))) for _ in range(calls)]


def test_dropout_drops_and_scales():
    p, (y,) = 0.3, masks(0.3, n=50)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-15)
    assert abs(kept.mean() - (1 - p)) <= 5 * math.sqrt(p * (1 - p) / y.size)
    neighbours = np.corrcoef(kept[:, :, :-1].ravel(), kept[:, :, 1:].ravel())[0, 1]
    assert abs(neighbours) <= 5 / math.sqrt(y.size)


def test_dropout_draws_depend_on_seed_step_call_and_image():
    """A shard gets the rows of the whole batch; another seed, step or call gets others."""
    (whole,) = masks(n=8)
    (shard,) = masks(n=3, first=4)
    np.testing.assert_array_equal(shard, whole[4:7])
    first, second = masks(calls=2)
    np.testing.assert_array_equal(first, whole)
    different = [second, masks(seed=2)[0], masks(step=3)[0], masks(first=1)[0]]
    for other in different:
        assert 0.3 < (other == whole).mean() < 0.8  # 0.58 where they are independent


def test_dropout_is_the_identity_in_evaluation_and_at_0():
    x = generator("x").standard_normal((2, 3))
    layer = Dropout(0.5)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
    with pytest.raises(RuntimeError, match=r"call the net inside randomness\(seed, step\) of ddpm_np\.autograd\."
                                           r"randomness, or call model\.eval\(\) first"):
        layer.train()(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_keeps_the_dtype_and_passes_the_gradient_it_passed_forward(dtype):
    x = Tensor(generator("x").standard_normal((4, 5, 6)).astype(dtype), requires_grad=True)
    with randomness(0, 1):
        y = Dropout(0.4)(x)
    assert y.dtype == dtype
    g = generator("g").standard_normal(y.shape).astype(dtype)
    y.backward(g)
    np.testing.assert_allclose(x.grad, g * np.where(y.data != 0, 1 / 0.6, 0), rtol=1e-6)


def test_sizes_that_no_layer_has_are_refused_in_one_line():
    for make, error_type, words in [
        (lambda: Linear(0, 2), ValueError, "d_in must be at least 1, got 0"),
        (lambda: Linear(2, 2.5), TypeError, "d_out must be an int, got 2.5"),
        (lambda: Conv2d(1, -1), ValueError, "c_out must be at least 1, got -1"),
        (lambda: Conv2d(1, 1, kernel=0), ValueError, "kernel must be at least 1, got 0"),
        (lambda: Conv2d(1, 1, stride=0), ValueError, "stride must be at least 1, got 0"),
        (lambda: GroupNorm(4, 0), ValueError, "groups must be at least 1, got 0"),
        (lambda: GroupNorm(0, 1), ValueError, "channels must be at least 1, got 0"),
        (lambda: GroupNorm(4, 2, -1.0), ValueError, "eps must be at least 0, got -1"),
        (lambda: GroupNorm(4, 2, float("nan")), ValueError, "eps must be at least 0, got nan"),
        (lambda: Attention(4, 2, heads=0), ValueError, "heads must be at least 1, got 0"),
    ]:
        with pytest.raises(error_type, match=words) as caught:
            make()
        assert "\n" not in str(caught.value)
