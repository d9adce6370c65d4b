"""The U-Net: parameters and their names, the time embedding, labels, and refused configurations and inputs."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import Parameter, count_parameters

SMALL = {"image_size": 8, "in_channels": 2, "channels": 8, "channel_multipliers": (1, 2), "blocks_per_level": 1,
         "attention_resolutions": (4,), "groups": 4}


def small(**changes):
    return UNetConfig(**{**SMALL, **changes})


@pytest.fixture
def unfilled(monkeypatch):
    """Build nets whose parameters are shapes without numbers: {name: shape}."""
    monkeypatch.setattr(UNet, "initialise", lambda self, *args: self)

    def shapes(config):
        def walk(module, prefix):
            for name, part in module.children():
                if isinstance(part, Parameter):
                    yield prefix + name, part.shape
                else:
                    yield from walk(part, f"{prefix}{name}.")

        return dict(walk(UNet(config), ""))

    return shapes


def expected_names(levels, blocks, attended, changes_width):
    """Return the published names by their pattern; `changes_width` lists the levels wider than the one above."""
    layers = ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2"]

    def resnet(at, shortcut):
        parts = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2", *["conv_shortcut"] * shortcut]
        return [f"{at}.{part}" for part in parts]

    def attention(at):
        return [f"{at}.{part}" for part in ("group_norm", "to_q", "to_k", "to_v", "to_out.0")]

    for i in range(levels):
        for j in range(blocks):
            layers += resnet(f"down_blocks.{i}.resnets.{j}", j == 0 and i in changes_width)
            layers += attention(f"down_blocks.{i}.attentions.{j}") if i in attended else []
        layers += [f"down_blocks.{i}.downsamplers.0.conv"] if i < levels - 1 else []
        up = levels - 1 - i  # up_blocks.0 has the resolution of the last level
        for j in range(blocks + 1):
            layers += resnet(f"up_blocks.{i}.resnets.{j}", True)
            layers += attention(f"up_blocks.{i}.attentions.{j}") if up in attended else []
        layers += [f"up_blocks.{i}.upsamplers.0.conv"] if i < levels - 1 else []
    layers += resnet("mid_block.resnets.0", False) + attention("mid_block.attentions.0")
    layers += [*resnet("mid_block.resnets.1", False), "conv_norm_out", "conv_out"]
    return {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


@pytest.mark.parametrize(("preset", "numbers", "names"), [
    ("cifar10", 35_746_307, expected_names(4, 2, {1}, {1})),
    ("ho256", 113_673_219, expected_names(6, 2, {4}, {2, 4})),
    ("digits", 701_345, expected_names(2, 1, {1}, {1})),
])
def test_parameter_counts_and_names_of_the_published_nets(unfilled, preset, numbers, names):
    found = unfilled(UNetConfig.preset(preset))
    assert sum(map(math.prod, found.values())) == numbers
    assert set(found) == names
    assert preset != "cifar10" or len(found) == 328


def test_skip_connection_widths_of_the_papers_net(unfilled):
    """The input widths of the blocks on the way up (reference: 512×3, 512×3, 512/512/384, 384/256/256)."""
    shapes = unfilled(UNetConfig.preset("cifar10"))
    widths = [[shapes[f"up_blocks.{i}.resnets.{j}.conv1.weight"][2] for j in range(3)] for i in range(4)]
    assert widths == [[512] * 3, [512] * 3, [512, 512, 384], [384, 256, 256]]
    assert shapes["conv_in.weight"] == (3, 3, 3, 128)
    assert shapes["time_embedding.linear_1.weight"] == (128, 512)
    assert shapes["time_embedding.linear_2.weight"] == (512, 512)
    assert shapes["down_blocks.1.resnets.0.conv_shortcut.weight"] == (1, 1, 128, 256)
    assert shapes["down_blocks.1.resnets.0.time_emb_proj.weight"] == (512, 256)
    assert shapes["conv_out.weight"] == (3, 3, 128, 3)
    assert shapes["up_blocks.2.attentions.0.to_out.0.weight"] == (256, 256)


@pytest.mark.parametrize("groups", [1, 8, 32])
def test_the_parameter_count_does_not_depend_on_groups(groups):
    config = UNetConfig(8, 1, 32, (1, 2), 1, (4,), groups=groups)
    assert count_parameters(UNet(config))[0] == 701_345


# The time embedding


@pytest.mark.parametrize("dim", [4, 8, 128])
@pytest.mark.parametrize("options", [{}, {"flip_sin_to_cos": True, "freq_shift": 0}])
def test_time_embedding_against_forty_digits(dim, options):
    t = np.array([0, 1, 7, 999])
    half, shift = dim // 2, options.get("freq_shift", 1)
    with mpmath.workdps(40):
        omega = [mpmath.exp(-i * mpmath.log(10000) / (half - shift)) for i in range(half)]
        sines = [[float(mpmath.sin(int(s) * w)) for w in omega] for s in t]
        cosines = [[float(mpmath.cos(int(s) * w)) for w in omega] for s in t]
    expected = np.hstack([cosines, sines] if options else [sines, cosines])
    found = time_embedding(t, dim, **options)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)  # 999·ω has an error of 999·2⁻⁵³


def test_time_embedding_at_0_and_its_last_frequency():
    np.testing.assert_array_equal(time_embedding(np.array([0]), 8), [[0, 0, 0, 0, 1, 1, 1, 1]])
    np.testing.assert_array_equal(time_embedding(np.array([0]), 8, flip_sin_to_cos=True), [[1, 1, 1, 1, 0, 0, 0, 0]])
    for dim in (4, 8, 128):
        np.testing.assert_allclose(time_embedding(np.array([1.0]), dim)[0, dim // 2 - 1], math.sin(1e-4), rtol=1e-12)


@pytest.mark.parametrize("dim", [0, 1, 2, 3, 7, 129])
def test_invalid_embedding_dimensions_are_refused(dim):
    with pytest.raises(ValueError, match=f"must be even and at least 4, got {dim}"):
        time_embedding(np.array([1]), dim)


def test_the_net_embeds_t_minus_1():
    """t counts from 1 here and from 0 in published networks."""
    net, seen = UNet(small(), dtype="float64"), []
    inner = net.time_embedding
    net.time_embedding = lambda embedding: (seen.append(embedding), inner(embedding))[1]
    net(np.zeros((3, 8, 8, 2)), np.array([1, 2, 1000]))
    np.testing.assert_array_equal(seen[0][0], [0] * 4 + [1] * 4)
    for row, s in zip(seen[0], (0, 1, 999), strict=True):
        angles = [s * 10000 ** (-i / 3) for i in range(4)]
        np.testing.assert_allclose(row, [*map(math.sin, angles), *map(math.cos, angles)], atol=1e-12)


# Configurations and inputs


@pytest.mark.parametrize(("changes", "words"), [
    ({"image_size": 7}, "image_size 7: 2 levels halve the side 1 times, so it must be a multiple of 2"),
    ({"image_size": (8, 6), "channel_multipliers": (1, 1, 1)}, r"image_size \(8, 6\): 3 levels .* a multiple of 4"),
    ({"image_size": 0}, "image_size must be at least 1, got 0"),
    ({"image_size": (8, 8, 2)}, r"image_size must be one side or \(H, W\), got \(8, 8, 2\)"),
    ({"groups": 3}, "8 channels do not divide into 3 groups: change channels or groups"),
    ({"channels": 2, "groups": 1}, "channels is also the size of the time embedding: even and at least 4, got 2"),
    ({"channels": 9, "groups": 1}, "even and at least 4, got 9"),
    ({"channel_multipliers": ()}, "channel_multipliers is empty: give one number for each level"),
    ({"channel_multipliers": (1, 0)}, "channel_multipliers: 0 times 8 channels must be a whole number"),
    ({"blocks_per_level": 0}, "blocks_per_level must be at least 1, got 0"),
    ({"groups": 0}, "groups must be at least 1, got 0"),
    ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
    ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ({"dropout": -0.1}, "dropout must be at least 0 and below 1, got -0.1"),
    ({"attention_resolutions": (5,)}, r"attention_resolutions \(5,\): the levels' heights are \[4, 8\]"),
    ({"downsample_padding": "same"}, "downsample_padding must be one of 'asymmetric', 'symmetric', got 'same'"),
    ({"heads": 3}, "16 channels do not divide into 3 heads: change heads"),
    ({"heads": 0}, "heads must be at least 1, got 0"),
])
def test_invalid_configurations_are_refused_in_one_line(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        UNet(small(**changes))
    assert "\n" not in str(caught.value)


def test_channels_need_not_be_a_power_of_two():
    net = UNet(small(channels=6, groups=6, channel_multipliers=(1, 2)))
    assert net(np.zeros((1, 8, 8, 2), np.float32), np.array([1])).shape == (1, 8, 8, 2)


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="no preset is called 'cifar': did you mean 'cifar10'"):
        UNetConfig.preset("cifar")


@pytest.mark.parametrize(("x", "t", "y", "words"), [
    ((2, 8, 8, 1), (2,), None, r"expected images of shape \(N, 8, 8, 2\), got \(2, 8, 8, 1\)"),
    ((2, 4, 8, 2), (2,), None, r"expected images of shape \(N, 8, 8, 2\), got \(2, 4, 8, 2\)"),
    ((8, 8, 2), (2,), None, r"got \(8, 8, 2\)"),
    ((2, 8, 8, 2), (1,), None, r"expected one t for each image, shape \(2,\), got \(1,\)"),
    ((2, 8, 8, 2), (2,), (2,), "this net has num_classes=None: it takes no labels y"),
])
def test_inputs_of_the_wrong_shape_are_refused(x, t, y, words):
    net = UNet(small())
    with pytest.raises(ValueError, match=words):
        net(np.zeros(x, np.float32), np.ones(t, np.int64), y if y is None else np.zeros(y, np.int64))


def test_labels_select_a_row_of_the_class_embedding():
    """A net with labels needs them; the label's row is added to the time embedding."""
    net = UNet(small(num_classes=3), dtype="float64")
    x, t = generator("labels").standard_normal((2, 8, 8, 2)), np.array([3, 4])
    with pytest.raises(ValueError, match=r"this net has num_classes=3: give labels y"):
        net(x, t)
    for p in net.parameters():
        p.data = generator("labels", p.shape).standard_normal(p.shape) * 0.3
    before = net(x, t, np.array([2, 0])).data.copy()
    net.class_embedding.data[1] += 1.0
    np.testing.assert_array_equal(net(x, t, np.array([2, 0])).data, before)
    net.class_embedding.data[0] += 1.0
    after = net(x, t, np.array([2, 0])).data
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("changes", [
    {}, {"image_size": (16, 8), "attention_resolutions": (16, 8)}, {"out_channels": 5, "num_classes": 2},
    {"channel_multipliers": (1,), "attention_resolutions": ()}, {"image_size": (2, 4), "attention_resolutions": (1,)},
])
def test_output_keeps_the_dtype_and_shape_of_the_input(dtype, changes):
    config = small(**changes)
    net = UNet(config, dtype=dtype)
    x = np.zeros((3, *config.size, 2), dtype)
    y = None if config.num_classes is None else np.array([0, 1, 1])
    out = net(x, np.array([1, 2, 3]), y)
    assert isinstance(out, Tensor)
    assert out.dtype == dtype
    assert out.shape == (3, *config.size, config.out_channels or 2)
    assert net(x[:0], np.zeros(0, np.int64), None if y is None else y[:0]).shape == (0, *out.shape[1:])


# State


def test_state_dict_round_trip():
    first, second = UNet(small(), seed=1), UNet(small(), seed=2)
    x, t = generator("state").standard_normal((2, 8, 8, 2)).astype(np.float32), np.array([5, 9])
    for i, p in enumerate(first.parameters()):
        p.data = generator("state", i).standard_normal(p.shape)
    kept = [p.data for p in second.parameters()]
    second.load_state_dict({name: array.copy() for name, array in first.state_dict().items()})
    assert all(p.data is array for p, array in zip(second.parameters(), kept, strict=True))  # copied into
    assert first(x, t).data.tobytes() == second(x, t).data.tobytes()
    assert list(first.state_dict()) == [name for name, _ in first.named_parameters()]
    assert all(first.state_dict()[name] is p.data for name, p in first.named_parameters())


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: s.pop("conv_in.bias"), r"1 missing \['conv_in.bias'\], 0 unknown"),
    (lambda s: s.update(extra=np.zeros(1)), r"0 missing \[\], 1 unknown \['extra'\]; build the net from the config"),
    (lambda s: s.update({"conv_out.bias": np.zeros(3)}), r"conv_out.bias: expected shape \(2,\), got \(3,\)"),
])
def test_state_dicts_of_another_net_are_refused(change, words):
    net = UNet(small())
    before = {name: array.tobytes() for name, array in net.state_dict().items()}
    state = {name: np.ones(array.shape, np.float32) for name, array in net.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=words) as caught:
        net.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert {name: array.tobytes() for name, array in net.state_dict().items()} == before


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_out_of_range_are_refused(labels):
    model = UNet(UNetConfig(8, 1, 8, (1,), 1, (), groups=4, num_classes=3))
    with pytest.raises(ValueError, match="y must be from 0 to 2, got"):
        model(np.zeros((2, 8, 8, 1), np.float32), np.array([1, 2]), np.array(labels))
