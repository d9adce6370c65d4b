"""The readers of data as cases for `damage`: arrays, IDX, CIFAR-10 and pictures of each format."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from damage import Case
from PIL import Image

from ddpm_np.data import DataError, open_dataset

PICTURES = {  # suffix -> options of Pillow's save
    ".png": {}, ".jpg": {}, ".gif": {}, ".bmp": {}, ".tif": {}, ".webp": {"lossless": True}, ".avif": {}, ".jp2": {},
    ".ppm": {}, ".tga": {}, ".pcx": {}, ".ico": {"sizes": [(16, 16)]}, ".sgi": {}, ".qoi": {}, ".dds": {},
    ".xbm": {},
}


def data_cases(folder: Path) -> dict[str, Case]:
    """Return the cases of all readers of data; they read in the given folder."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8), np.array([0, 1, 2, 2, 1, 0])
    cases = {}
    for name, array in (("npy", images), ("npy.gz", images), ("npz", None), ("npz deflated", None)):
        file = io.BytesIO()
        if array is None:
            (np.savez if name == "npz" else np.savez_compressed)(file, images=images, labels=labels)
        else:
            np.save(file, array)
        content, read = file.getvalue(), _reader(folder / f"a.{name.partition(' ')[0]}")
        if name == "npy.gz":
            cases[name] = Case(_gz(content), read, (DataError,), True, content, _gz)
        else:
            inside, pack = (_member(labels), _npz_with(images)) if array is None else (None, None)
            cases[name] = Case(content, read, (DataError,), array is None, inside, pack)
    for name, packed in (("idx", False), ("idx.gz", True)):
        for part, array in (("images", images), ("labels", labels.astype(np.uint8))):
            content, place = _idx(array), folder / f"{name} {part}"
            place.mkdir(exist_ok=True)
            other = "labels" if part == "images" else "images"
            (place / f"train-{other}-idx{4 - len(array.shape)}-ubyte").write_bytes(
                _idx(labels.astype(np.uint8) if part == "images" else images))
            path = place / f"train-{part}-idx{len(array.shape)}-ubyte{'.gz' if packed else ''}"
            read = _reader(path, "mnist", data_dir=place)
            cases[f"{name} {part}"] = (Case(_gz(content), read, (DataError,), True, content, _gz) if packed
                                       else Case(content, read, (DataError,)))
    cases.update(_cifar_cases(folder, rng))
    cases.update(_picture_cases(folder, rng))
    return cases


def _reader(path: Path, name: str | None = None, shape: tuple[int, int, int] | None = None,
            **options: Any) -> Callable[[bytes], Any]:
    """Return a function that writes bytes to a path and reads the data set there, as values that `==` compares."""
    def read(content: bytes) -> Any:
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, over metadata
            dataset = open_dataset(str(path) if name is None else name, shape=shape, **options)
            images = dataset.scaled(slice(None))
        labels = None if dataset.labels is None else dataset.labels.tolist()
        assert images.dtype == np.float32
        assert labels is None or (len(labels) == len(images) and min(labels) >= 0)
        return images.shape, images.tobytes(), labels

    return read


def _gz(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def _member(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz_with(images: np.ndarray) -> Callable[[bytes], bytes]:
    """Return a function that makes an .npz of these images and the bytes of labels.npy."""
    import zipfile

    def pack(labels: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("images.npy", _member(images))
            packed.writestr("labels.npy", labels)
        return file.getvalue()

    return pack


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _cifar_cases(folder: Path, rng: np.random.Generator) -> dict[str, Case]:
    pixels, labels = rng.integers(0, 256, (2, 3072), dtype=np.uint8), np.array([3, 9], np.uint8)
    rows = np.concatenate([labels[:, None], pixels], axis=1).tobytes()
    pickled = pickle.dumps({b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}, 2)
    cases = {}
    for name, file, inside, pack in (
            ("cifar binary", "test_batch.bin", rows, None), ("cifar xz", "test_batch.bin.xz", rows, lzma.compress),
            ("cifar pickle", "test_batch", pickled, None),
            ("cifar binary tar", "cifar-10-binary.tar.gz", _tar("test_batch.bin", rows), _gz),
            ("cifar pickle tar", "cifar-10-python.tar.gz", _tar("test_batch", pickled), _gz)):
        place = folder / name
        place.mkdir(exist_ok=True)
        cases[name] = Case(inside if pack is None else pack(inside),
                           _reader(place / file, "cifar10", split="test", data_dir=place), (DataError,),
                           pack is not None, None if pack is None else inside, pack)
    return cases


def _tar(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo(f"cifar/{name}")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def _picture_cases(folder: Path, rng: np.random.Generator) -> dict[str, Case]:
    smooth = np.linspace(0, 200, 16 * 16 * 3).reshape(16, 16, 3) + rng.integers(0, 50, (16, 16, 3))
    colour = Image.fromarray(smooth.astype(np.uint8))
    clear = colour.copy()
    clear.putalpha(Image.fromarray(smooth[..., 0].astype(np.uint8)))
    deep = Image.fromarray((smooth[..., 0] * 257).astype(np.uint16))
    pictures = [(suffix[1:], suffix, colour.convert("1") if suffix == ".xbm" else colour, options)
                for suffix, options in PICTURES.items()]
    pictures += [("png 16 bits", ".png", deep, {"transparency": 257}), ("png palette", ".png", clear.quantize(9), {}),
                 ("tif 16 bits", ".tif", deep, {}), ("tif deflated", ".tif", colour, {"compression": "tiff_deflate"}),
                 ("tga packed", ".tga", clear, {"compression": "tga_rle"}), ("webp lossy", ".webp", clear, {})]
    cases, written = {}, Image.registered_extensions()
    for name, suffix, picture, options in pictures:
        if written.get(suffix) not in Image.SAVE:
            continue  # Pillow was built without the library for it
        file, place = io.BytesIO(), folder / f"picture {name}"
        place.mkdir(exist_ok=True)
        picture.save(file, written[suffix], **options)
        png = suffix == ".png"
        cases[f"picture {name}"] = Case(
            file.getvalue(), _reader(place / f"a{suffix}", f"folder:{place}", (8, 8, 3)), (DataError,), png,
            file.getvalue() if png else None, _with_checksums if png else None)
    (folder / "picture icns").mkdir(exist_ok=True)
    one = cases["picture png"].content  # Pillow would write ten sizes, up to 1024×1024
    packed = b"icns" + struct.pack(">I", 16 + len(one)) + b"icp4" + struct.pack(">I", 8 + len(one)) + one
    read = _reader(folder / "picture icns" / "a.icns", f"folder:{folder / 'picture icns'}", (8, 8, 3))
    return {**cases, "picture icns": Case(packed, read, (DataError,))}


def _with_checksums(content: bytes) -> bytes:
    """Return a PNG with the right checksum after each chunk that is still where its length says."""
    data, place = bytearray(content), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place:place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            break
        data[end:end + 4] = zlib.crc32(data[place + 4:end]).to_bytes(4, "big")
        place = end + 4
    return bytes(data)
