"""Random numbers are a function of (seed, purpose, step, image): the same on every backend, in every batch."""

from __future__ import annotations

import math

import array_api_strict
import fake_cupy
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from ddpm_np.backend import Backend, Namespace, get_backend, of, to_host
from ddpm_np.philox import philox, philox_key

NUMPY = get_backend("numpy")
FALSE_ALARM = 1e-9  # of each statistical test; seeds are fixed, so a test that passes passes always

SEEDS = st.integers(0, 2**64 - 1)
PURPOSES = st.text(max_size=12)
STEPS = st.one_of(st.integers(0, 10**6), st.integers(0, 2**64 - 1))
FIRSTS = st.one_of(st.integers(0, 1000), st.integers(0, 2**56))
SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)


def philox_block(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox 4×64-10 as Salmon et al. (2011) state it, in Python's integers: the four words of one counter."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        low, mask = 64, 2**64 - 1
        c = [(p1 >> low) ^ c[1] ^ k0, p1 & mask, (p0 >> low) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return c


def words_of_image(seed: int, purpose: str, step: int, image: int, count: int) -> list[int]:
    """What `Backend.random` documents, image by image: the first `count` words of blocks image·B .. image·B + B − 1."""
    blocks, key = math.ceil(count / 4), philox_key(seed, purpose)
    words = [w for b in range(blocks) for w in philox_block((image * blocks + b, step, 0, 0), key)]
    return words[:count]


@pytest.fixture(scope="module", params=["numpy", "fake cupy", "array-api-strict"])
def namespace(request):
    """A namespace to run Philox in array operations on."""
    if request.param == "numpy":
        yield of(np.zeros(1))
    elif request.param == "array-api-strict":
        yield of(array_api_strict.zeros(1))
    else:
        with fake_cupy.installed():
            yield get_backend("cupy").xp


def on(namespace: Namespace) -> Backend:
    """A backend that draws by `philox` in array operations, NumPy's namespace included."""
    other = Backend(namespace)
    other.name = f"{namespace.name}, in array operations"
    return other


def test_philox_known_answers():
    """The two vectors of Random123's known-answer file for philox4x64, 10 rounds."""
    ones = 2**64 - 1
    assert philox_block((0, 0, 0, 0), (0, 0)) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_block((ones,) * 4, (ones, ones)) == [
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, purpose=PURPOSES, step=STEPS, first=FIRSTS, n=st.integers(0, 5), shape=SHAPES)
@example(seed=0, purpose="", step=0, first=0, n=2, shape=(4,))  # the counter before the first is all ones
@example(seed=2**64 - 1, purpose="t", step=2**64 - 1, first=2**56, n=1, shape=())
@example(seed=1, purpose="t", step=1, first=2**62 - 1, n=1, shape=(16,))  # up to the last counter there is
def test_host_words_follow_the_documented_layout(seed, purpose, step, first, n, shape):
    words = NUMPY.random(seed, purpose, step, first, n, shape)
    assert (words.shape, words.dtype) == ((n, *shape), np.uint64)
    for i in range(n):
        assert words[i].ravel().tolist() == words_of_image(seed, purpose, step, first + i, math.prod(shape))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, step=STEPS, block=FIRSTS)
def test_reference_philox_equals_numpys(seed, step, block):
    """`philox_block` against NumPy's generator, set to a counter: it adds 1 before it draws."""
    key = philox_key(seed, "purpose")
    counter = [(((step << 64) + block - 1) % 2**256 >> 64 * i) % 2**64 for i in range(4)]
    generator = np.random.Philox(counter=np.array(counter, np.uint64), key=np.array(key, np.uint64))
    assert generator.random_raw(4).tolist() == philox_block((block, step, 0, 0), key)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, purpose=PURPOSES, step=STEPS, first=FIRSTS, n=st.integers(0, 5), shape=SHAPES)
@example(seed=2**64 - 1, purpose="t", step=2**64 - 1, first=2**62 - 1, n=1, shape=(16,))
def test_philox_in_array_operations_gives_the_same_words(namespace, seed, purpose, step, first, n, shape):
    words = on(namespace).random(seed, purpose, step, first, n, shape)
    assert type(words) is type(namespace.zeros(1))
    assert words.dtype == namespace.uint64
    assert np.array_equal(to_host(words), NUMPY.random(seed, purpose, step, first, n, shape))


def test_philox_of_many_blocks_at_once(namespace):
    key = (2**64 - 1, 2**63)
    words = to_host(philox(namespace, key, 5, 10**12, 3000)).reshape(3000, 4)
    for i in (0, 1, 1499, 2999):
        assert words[i].tolist() == philox_block((10**12 + i, 5, 0, 0), key)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, step=st.integers(0, 100), total=st.integers(1, 9), shape=SHAPES, data=st.data())
def test_draws_of_a_slice_are_the_slice_of_the_batchs_draws(seed, step, total, shape, data):
    a = data.draw(st.integers(0, total), "first")
    k = data.draw(st.integers(0, total - a), "n")
    for draw in (NUMPY.random, NUMPY.uniform, NUMPY.normal):
        whole = draw(seed, "noise", step, 0, total, shape)
        assert np.array_equal(draw(seed, "noise", step, a, k, shape), whole[a : a + k])
    whole = NUMPY.integers(seed, "t", step, 0, total, 1, 1000)
    assert np.array_equal(NUMPY.integers(seed, "t", step, a, k, 1, 1000), whole[a : a + k])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**64 - 2), purpose=PURPOSES, step=st.integers(0, 2**64 - 2), first=FIRSTS)
def test_other_seed_purpose_step_or_image_gives_other_words(seed, purpose, step, first):
    """Two words agree by chance once in 2⁶⁴; here none of ten may."""
    base = {"seed": seed, "purpose": purpose, "step": step, "first": first}
    words = NUMPY.random(**base, n=2, shape=(5,))
    changes = [{"seed": seed + 1}, {"purpose": purpose + "'"}, {"step": step + 1}, {"first": first + 2}]
    for change in changes:
        assert not np.isin(NUMPY.random(**(base | change), n=2, shape=(5,)), words).any(), change
    assert np.unique(words).size == 10


class FixedWords(Backend):
    """A backend whose words are given."""

    def __init__(self, words):
        super().__init__(NUMPY.xp)
        self.words = np.array(words, dtype=np.uint64)

    def random(self, seed, purpose, step, first, n, shape):
        return self.words.reshape(n, *shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_lie_strictly_between_0_and_1(dtype):
    """At the ends, where rounding could reach 0 or 1, and in the middle."""
    words = [0, 1, 2**11, 2**40, 2**63 - 1, 2**63, 2**64 - 2**12, 2**64 - 2**41, 2**64 - 1]
    u = FixedWords(words).uniform(0, "", 0, 0, len(words), (), dtype)
    assert u.dtype == dtype
    assert (u > 0).all()
    assert (u < 1).all()
    bits = {"float32": 23, "float64": 52}[dtype]
    assert [float(x) for x in u] == [((w >> (64 - bits)) + 0.5) * 2.0**-bits for w in words]
    z = FixedWords(words).normal(0, "", 0, 0, len(words), (), dtype)
    assert np.isfinite(z).all()
    assert z[0] == -z[-1]
    assert -8.3 < z[0] < -8.1  # Φ⁻¹(2⁻⁵³)


def test_uniform_numbers_are_uniform():
    u = NUMPY.uniform(12, "ks", 3, 0, 200, (500,))
    assert stats.kstest(u.ravel(), "uniform").pvalue > FALSE_ALARM
    assert stats.kstest(NUMPY.uniform(12, "ks", 3, 0, 200, (500,), "float32").ravel(), "uniform").pvalue > FALSE_ALARM


def test_normal_numbers_are_normal():
    z = NUMPY.normal(34, "ks", 3, 0, 200, (500,))
    assert stats.kstest(z.ravel(), "norm").pvalue > FALSE_ALARM
    images = z.reshape(-1, 2)  # neighbours in one block: uncorrelated, so r·√n is standard normal
    assert abs(np.corrcoef(images.T)[0, 1]) * math.sqrt(len(images)) < stats.norm.isf(FALSE_ALARM / 2)
    across = np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]  # and neighbouring images
    assert abs(across) * math.sqrt(len(z)) < stats.norm.isf(FALSE_ALARM / 2)
    assert NUMPY.normal(34, "ks", 3, 0, 2, (3,), "float32").dtype == np.float32


@pytest.mark.parametrize(("low", "high"), [(1, 10), (-3, 3), (0, 1), (5, 5)])
def test_integers_are_uniform_with_both_ends_included(low, high):
    values = NUMPY.integers(56, "t", 0, 0, 20_000, low, high)
    assert values.dtype == np.int64
    found, counts = np.unique(values, return_counts=True)
    assert found.tolist() == list(range(low, high + 1))
    if high > low:
        assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_integers_reach_both_ends():
    """The smallest and the largest word give the ends themselves, however wide the range."""
    for low, high in [(1, 1000), (-7, 12), (0, 2**51), (0, 3 * 2**50), (4, 4)]:
        ends = FixedWords([0, 2**64 - 1]).integers(0, "", 0, 0, 2, low, high)
        assert ends[0] == low
        assert high - ends[1] <= (high - low) * 2**-51


def test_numpy_integer_arguments_act_like_python_ints(namespace):
    """Arguments that come out of an array mean what Python's ints mean."""
    place = {"seed": np.int64(3), "purpose": "p", "step": np.int64(4), "first": np.uint8(5), "n": np.int32(2)}
    expected = NUMPY.random(3, "p", 4, 5, 2, (6,))
    assert np.array_equal(to_host(on(namespace).random(**place, shape=(np.int64(6),))), expected)


GOOD = {"seed": 0, "purpose": "p", "step": 0, "first": 0, "n": 1, "shape": (2,)}


@pytest.mark.parametrize(("bad", "line"), [
    ({"seed": -1}, "seed must be an int .* got -1"), ({"seed": 2**64}, f"seed .* got {2**64}"),
    ({"seed": 0.5}, "seed .* got 0.5"), ({"seed": None}, "seed .* got None"), ({"step": -3}, "step .* got -3"),
    ({"step": 1.5}, "step .* got 1.5"), ({"step": 2**64}, "step .* got"), ({"first": -2}, "first .* got -2"),
    ({"n": -4}, "n must be .* got -4"), ({"n": 2.0}, "n must be .* got 2.0"), ({"shape": (2, -5)}, "shape .* got -5"),
    ({"first": 2**63, "shape": (9,)}, f"first={2**63} is too large"),
])
def test_out_of_range_arguments_are_refused(bad, line):
    for backend in (NUMPY, on(of(np.zeros(1)))):
        with pytest.raises(ValueError, match=line) as caught:
            backend.random(**(GOOD | bad))
        assert "\n" not in str(caught.value)


def test_invalid_integer_ranges_are_refused():
    for low, high in [(3, 2), (0, 2**52), (10, 1)]:
        with pytest.raises(ValueError, match=f"low={low}, high={high}"):
            NUMPY.integers(0, "t", 0, 0, 1, low, high)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, step=STEPS, first=st.integers(0, 2**40), n=st.integers(0, 4), shape=SHAPES, p=st.floats(0, 1))
@example(seed=0, step=0, first=0, n=2, shape=(3,), p=1.0)
@example(seed=0, step=0, first=0, n=2, shape=(3,), p=0.0)
def test_bernoulli_compares_32_bit_halves_of_words(namespace, seed, step, first, n, shape, p):
    """Lower half first; the same on every backend, and of an image in any batch."""
    count = math.prod(shape)
    found = NUMPY.bernoulli(seed, "dropout", step, first, n, shape, p)
    assert (found.shape, found.dtype) == ((n, *shape), np.bool_)
    for i in range(n):
        words = words_of_image(seed, "dropout", step, first + i, -(-count // 2))
        halves = [half for word in words for half in (word % 2**32, word >> 32)][:count]
        assert found[i].ravel().tolist() == [half < round(p * 2**32) for half in halves]
    other = on(namespace).bernoulli(seed, "dropout", step, first, n, shape, p)
    assert type(other) is type(namespace.zeros(1))
    assert np.array_equal(to_host(other), found)


def test_bernoulli_frequency_is_p():
    for p in (0.001, 0.1, 0.9):
        share = NUMPY.bernoulli(3, "dropout", 1, 0, 10, (20_000,), p).mean()
        assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / 200_000)
