"""The readers of data sets: correct files are read, damaged or foreign ones are refused in plain words."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_np.data import Batches, DataError, open_dataset
from ddpm_np.data.files import on_white

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside the project")


def idx(array, kind=8):
    """Return the bytes of an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """A folder with five images of 4×3 in MNIST's format, and the images."""
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(5, dtype=np.uint8)))
    return tmp_path, images


def test_mnist_gzipped_or_not(mnist):
    folder, images = mnist
    dataset = open_dataset("mnist", data_dir=folder)
    assert np.array_equal(dataset.images, images[..., None])
    assert dataset.labels.tolist() == [0, 1, 2, 3, 4]
    assert dataset.levels == 256


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty or truncated"),
        (idx(np.zeros(5, np.uint8)), "does not hold images"),
        (b"\x89PNG\r\n\x1a\n0000", "does not hold images"),
        (idx(np.zeros((5, 4, 3), np.uint8), kind=13), "does not hold images"),
        (idx(np.zeros((5, 4, 3), np.uint8))[:10], "truncated inside its header"),
        (idx(np.zeros((5, 4, 3), np.uint8))[:-1], "holds fewer than the 60 bytes"),
        (idx(np.zeros((5, 4, 3), np.uint8)) + b"x", "holds more than the 60 bytes"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**31, 2**31), "more than any data set of this kind"),
        (idx(np.zeros((4, 4, 3), np.uint8)), "has 4 images, but there are 5 labels"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_idx_is_refused(mnist, content, said, packed):
    folder, _ = mnist
    path = folder / "train-images-idx3-ubyte.gz"
    path.unlink()
    path = path if packed else path.with_suffix("")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=said):
        open_dataset("mnist", data_dir=folder)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:], lambda b: b"no"])
def test_damaged_gzip_is_refused(mnist, damage):
    path = mnist[0] / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="damaged or truncated"):
        open_dataset("mnist", data_dir=mnist[0])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no t10k-images-idx3-ubyte\.gz"):
        open_dataset("mnist", data_dir=tmp_path, split="test")
    with pytest.raises(DataError, match="there is no folder"):
        open_dataset("mnist", data_dir=tmp_path / "no")
    with pytest.raises(DataError, match=r"has no data_batch_1\.bin"):
        open_dataset("cifar10", data_dir=tmp_path)
    with pytest.raises(DataError, match="did you mean 'cifar10'"):
        open_dataset("cifar-10")
    with pytest.raises(DataError, match="split must be"):
        open_dataset("mnist", split="validation")


@pytest.fixture(scope="module")
def cifar():
    """Three images (3, 32, 32, 3), their labels, and their rows in the binary format."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8), np.array([3, 0, 9], np.uint8)
    rows = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(3, -1)], axis=1)
    return images, labels, rows


def python_form(rows, **other):
    """Return a batch in CIFAR's python format, pickled by Python 2: byte strings for keys."""
    return pickle.dumps({b"data": rows[:, 1:], b"labels": rows[:, 0].tolist(), b"batch_label": b"x", **other}, 2)


@pytest.mark.parametrize("form", ["bin", "xz", "python", "binary tar", "python tar"])
def test_cifar_in_each_form(tmp_path, cifar, form):
    images, labels, rows = cifar
    binary, pickled = rows.tobytes(), python_form(rows)
    if form == "bin":
        (tmp_path / "test_batch.bin").write_bytes(binary)
    elif form == "xz":
        (tmp_path / "test_batch.bin.xz").write_bytes(lzma.compress(binary))
    elif form == "python":
        (tmp_path / "cifar-10-batches-py").mkdir()
        (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickled)
    else:
        kind, content, name = (("binary", binary, "cifar-10-batches-bin/test_batch.bin") if form == "binary tar"
                               else ("python", pickled, "cifar-10-batches-py/test_batch"))
        with tarfile.open(tmp_path / f"cifar-10-{kind}.tar.gz", "w:gz") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    dataset = open_dataset("cifar10", data_dir=tmp_path, split="test")
    assert np.array_equal(dataset.images, images)
    assert dataset.labels.tolist() == labels.tolist()


class Hostile:
    """An object whose unpickling would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_is_not_executed(tmp_path, cifar):
    (tmp_path / "test_batch").write_bytes(python_form(cifar[2], more=Hostile(tmp_path / "made")))
    with pytest.raises(DataError, match=r"refers to \w+\.mkdir, which is not data"):
        open_dataset("cifar10", data_dir=tmp_path, split="test")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("test_batch.bin", lambda rows: rows.tobytes()[:-1], "not a whole number of rows"),
        ("test_batch.bin", lambda rows: b"", "not a whole number of rows"),
        ("test_batch.bin", lambda rows: b"\x0b" + rows.tobytes()[1:], "has the label 11"),
        ("test_batch.bin.xz", lambda rows: lzma.compress(rows.tobytes())[:-30], "damaged or truncated"),
        ("test_batch", lambda rows: python_form(rows)[:500], "not CIFAR-10's Python version, or is damaged"),
        ("test_batch", lambda rows: python_form(rows[:, :100]), r"data of u1 \(3, 99\)"),
        ("test_batch", lambda rows: pickle.dumps([1, 2], 2), "not CIFAR-10's Python version"),
    ],
)
def test_damaged_cifar_is_refused(tmp_path, cifar, name, change, said):
    (tmp_path / name).write_bytes(change(cifar[2]))
    with pytest.raises(DataError, match=said):
        open_dataset("cifar10", data_dir=tmp_path, split="test")


def half(mode, size=(40, 20)):
    """Return an image whose left half is red and right half blue (or dark and light)."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def test_a_folder_of_any_sizes_modes_and_names(tmp_path):
    for folder in ("고양이", "a dog", ".hidden"):
        (tmp_path / folder).mkdir()
    half("RGB", (40, 20)).save(tmp_path / "고양이" / "그림 하나.JPG", quality=95)
    half("P").save(tmp_path / "a dog" / "b.png")
    half("CMYK", (300, 200)).save(tmp_path / "a dog" / "c.tiff")
    half("L").save(tmp_path / "a dog" / "d.webp", lossless=True)
    half("RGB").save(tmp_path / ".hidden" / "no.png")
    (tmp_path / "a dog" / "notes.txt").write_text("no image")
    said = []
    dataset = open_dataset(f"folder:{tmp_path}", shape=(8, 8, 3), say=said.append)
    assert len(dataset) == 4
    assert said == [f"folder:{tmp_path}: images used: 4; not used: hidden files or folders 1, .txt 1"]
    assert dataset.labels.tolist() == [0, 0, 0, 1]
    images = dataset.raw(slice(None))
    assert images.shape == (4, 8, 8, 3)
    assert images.dtype == np.uint8
    for colour in images[[0, 1, 3]]:  # the crop of a wide image keeps the middle: red on the left, blue on the right
        assert colour[:, 0, 0].min() > 200
        assert colour[:, -1, 2].min() > 200
        assert colour[:, 0, 2].max() < 60
    grey = open_dataset(f"folder:{tmp_path}", shape=(8, 8, 1), say=said.append)
    assert grey.raw(np.array([2, 0])).shape == (2, 8, 8, 1)
    x_0, labels = Batches(grey, 3, seed=1, flip=True)[5]
    assert x_0.shape == (3, 8, 8, 1)
    assert -1 <= x_0.min() < x_0.max() <= 1
    assert labels.shape == (3,)


def test_orientation_transparency_and_sixteen_bits(tmp_path):
    turned = half("RGB", (20, 20)).rotate(90)  # stored lying, marked to be turned upright
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 270°" to show it
    turned.save(tmp_path / "a.png", exif=exif)
    clear = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    clear.save(tmp_path / "b.png")
    Image.fromarray(np.full((9, 9), 65535 // 2, np.uint16)).save(tmp_path / "c.png")
    dataset = open_dataset(f"folder:{tmp_path}", shape=(8, 8, 3))
    assert dataset.labels is None
    upright, white, middle = dataset.raw(slice(None))
    assert upright[:, 0, 0].min() > 200
    assert upright[:, -1, 2].min() > 200
    assert (white == 255).all()
    assert (abs(middle.astype(int) - 127) <= 1).all()


def png_that_claims(width, height):
    """Return a PNG of a few bytes that declares a huge size."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a readable image"),
        (b"not an image", "is not a readable image"),
        (png_that_claims(60000, 60000), "bad one.png claims too many pixels: images of more than 100,000,000"),
        (png_that_claims(12000, 12000), "claims too many pixels|claims 12000×12000 pixels"),
        (png_that_claims(100, 100), "is not a readable image"),
    ],
)
def test_an_unreadable_image_is_named(tmp_path, content, said):
    (tmp_path / "bad one.png").write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        open_dataset(f"folder:{tmp_path}", shape=(8, 8, 3)).raw([0])
    assert "bad one.png" in str(error.value)


def test_invalid_image_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no images"):
        open_dataset(f"folder:{tmp_path}", shape=(8, 8, 3))
    with pytest.raises(DataError, match="there is no folder"):
        open_dataset(f"folder:{tmp_path / 'no'}", shape=(8, 8, 3))
    with pytest.raises(DataError, match="1 or 3 channels, but the net takes 4"):
        open_dataset(f"folder:{tmp_path}", shape=(8, 8, 4))


def test_npz_and_npy_files_are_read(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(4))
    np.save(tmp_path / "b.npy", images[..., 0])
    with gzip.open(tmp_path / "c.npy.gz", "wb") as file:
        np.save(file, images)
    first = open_dataset(str(tmp_path / "a.npz"))
    assert np.array_equal(first.images, images)
    assert first.labels.tolist() == [0, 1, 2, 3]
    assert open_dataset(str(tmp_path / "b.npy")).images.shape == (4, 6, 5, 1)
    assert np.array_equal(open_dataset(str(tmp_path / "c.npy.gz")).images, images)


def test_transparency_is_composited_on_white():
    rgba = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 4), dtype=np.uint8)
    opacity = rgba[..., 3:] / 255
    expected = rgba[..., :3] * opacity + 255 * (1 - opacity)
    assert abs(on_white(rgba) - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": np.zeros((2, 4, 4), np.uint8)}, "has no array called images; it has pictures"),
        ({"images": np.zeros((2, 4, 4))}, "images must be uint8"),
        ({"images": np.zeros((2, 4, 4, 2), np.uint8)}, "images must be uint8"),
        ({"images": np.array([{"a": 1}], dtype=object)}, "holds Python objects"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, int)}, "2 images and labels of shape"),
    ],
)
def test_array_files_of_another_shape_or_dtype_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=said):
        open_dataset(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.npy.gz"])
def test_missing_and_unreadable_array_files_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="there is no file"):
        open_dataset(str(tmp_path / name))
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not a readable array file"):
        open_dataset(str(tmp_path / name))


@shared
def test_the_real_mnist_and_cifar10_files():
    counts = {"train": (60_000, 5923), "test": (10_000, 980)}
    for split, (n, zeros) in counts.items():
        dataset = open_dataset("mnist", data_dir=SHARED / "mnist", split=split)
        assert dataset.images.shape == (n, 28, 28, 1)
        assert (dataset.labels == 0).sum() == zeros
    fashion = open_dataset("fashion-mnist", data_dir=SHARED / "fashion-mnist", split="test")
    assert np.bincount(fashion.labels).tolist() == [1000] * 10
    cifar10 = open_dataset("cifar10", data_dir=SHARED / "cifar-10", split="test")
    assert cifar10.images.shape == (9_975, 32, 32, 3)
    emoji = open_dataset(str(SHARED / "noto-emoji-32" / "emoji-32-rgba.npy.gz"))
    assert emoji.images.shape == (3_583, 32, 32, 3)
    assert emoji.images[:, 0, 0].mean() > 200  # what is transparent is white


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["{dashed}", "{dotted}", "{dashed}/{dashed}", "{dotted}/{dotted}",
                                    "{dotted}/{dashed}"])
def test_mnist_under_kaggles_names(tmp_path, layout, packed):
    """With a dot for a dash, and in a folder of the file's name, as Kaggle's archive has both."""
    images, labels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3), np.array([2, 0, 9], np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        dashed = f"train-{name}-ubyte"
        path = tmp_path / (layout.format(dashed=dashed, dotted=dashed.replace("-idx", ".idx")) + ".gz" * packed)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    for name in ("mnist", "fashion-mnist"):
        dataset = open_dataset(name, data_dir=tmp_path)
        assert np.array_equal(dataset.images[..., 0], images)
        assert dataset.labels.tolist() == [2, 0, 9]


def test_labels_above_nine_are_refused(mnist):
    (mnist[0] / "train-labels-idx1-ubyte").write_bytes(idx(np.array([0, 1, 10, 2, 3], np.uint8)))
    with pytest.raises(DataError, match=r"labels-idx1-ubyte has the label 10: the labels of mnist are 0 to 9"):
        open_dataset("mnist", data_dir=mnist[0])


def npy(header, content=b""):
    """Return a file in NumPy's format with the given header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def header(shape, dtype="|u1", fortran=False):
    return f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


HOSTILE = {
    "a.npy": [npy(header((2**33, 1, 1))), npy(header((2**62, 2**62, 2))), npy(header((-1, 4, 4)), bytes(16)),
              npy(header((1, 4, 4), "|O")), npy(header((1, 4, 4), "<U0")), npy("(" * 900), npy("{'descr': '|u1'}"),
              npy(header((2, 4, 4)), bytes(33)), npy(header((2, 4, 4)), bytes(31)), npy(header((0, 4, 4))),
              npy(header("(1e9, 4, 4)")), npy(header((True, 4, 4)), bytes(17)), b"\x93NUMPY\x03\x00", b"\x93NUMPY"],
    "test_batch": [b"\x80\x02}r\xff\xff\xff\x7f.", b"\x80\x02}p2147483647\n.", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f",
                   b"\x80\x02cnumpy\nndarray\n(J\0\0\0\x40J\0\0\0\x40tR.", b"(" * 5000, b"\x80\x02c\n\n.", b"\x82\1.",
                   b"\x80\x02ccodecs\nopen\n.", b"\x80\x02" + b"]" * 2000 + b"a" * 1999 + b"."],
    "test_batch.bin.xz": [lzma.compress(bytes(1 << 26), preset=0), lzma.compress(b"") + b"x",
                          lzma.compress(bytes(3073)) * 2, lzma.compress(bytes(3073), lzma.FORMAT_ALONE)],
}


@pytest.mark.parametrize(("name", "number"), [(name, i) for name, files in HOSTILE.items() for i in range(len(files))])
def test_hostile_files_are_refused_in_a_line_and_little_memory(tmp_path, monkeypatch, name, number):
    monkeypatch.setattr("ddpm_np.data.cifar._MOST_BYTES", 1 << 23)
    (tmp_path / name).write_bytes(HOSTILE[name][number])
    options = {"split": "test", "data_dir": tmp_path}
    tracemalloc.start()
    with pytest.raises(DataError) as error:
        open_dataset(str(tmp_path / name)) if name == "a.npy" else open_dataset("cifar10", **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
    assert peak < 1 << 25


def test_a_header_by_python_2_and_fortrans_order_are_read(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)
    np.save(tmp_path / "a.npy", np.asfortranarray(images))
    (tmp_path / "b.npy").write_bytes(npy(header("(4L, 6L, 5L)"), images.tobytes()))
    for name in ("a.npy", "b.npy"):
        assert np.array_equal(open_dataset(str(tmp_path / name)).images[..., 0], images)


@pytest.mark.parametrize("place", [-1, -5])
def test_the_checksum_of_npy_gz_is_compared(tmp_path, place):
    """NumPy alone reads the elements and stops before it."""
    file = io.BytesIO()
    np.save(file, np.zeros((2, 4, 4), np.uint8))
    content = bytearray(gzip.compress(file.getvalue()))
    content[place] ^= 1
    (tmp_path / "a.npy.gz").write_bytes(content)
    with pytest.raises(DataError, match="not a readable array file"):
        open_dataset(str(tmp_path / "a.npy.gz"))


def test_an_archive_is_read_to_its_checksum(tmp_path, cifar):
    entry = tarfile.TarInfo("test_batch.bin")
    entry.size = cifar[2].size
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(entry, io.BytesIO(cifar[2].tobytes()))
    content = bytearray(packed.getvalue())
    content[-5] ^= 1
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"tar\.gz is damaged or truncated"):
        open_dataset("cifar10", data_dir=tmp_path, split="test")


def test_a_member_of_npz_under_a_changed_name_is_found(tmp_path):
    """The archive's directory has no checksum: a bit of it would hide the labels."""
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    whole = (tmp_path / "a.npz").read_bytes()
    name, length = whole.rindex(b"labels.npy"), whole.rindex(b"images.npy") - 46 + 33  # high byte, comment's length
    for place, said in ((name, "not a readable array file"), (length, "states 2 arrays and lists 1")):
        content = bytearray(whole)
        content[place] ^= 1
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match=said):
            open_dataset(str(tmp_path / "a.npz"))
