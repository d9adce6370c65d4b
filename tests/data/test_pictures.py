"""Picture files of every mode and depth: the level is known and kept, or the file is refused and named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from ddpm_np.data import DataError
from ddpm_np.data.pictures import read_image, suffixes

RAMP = np.linspace(0, 1, 64).reshape(8, 8)  # black to white


def read(path, channels=1):
    found = read_image(Path(path), (8, 8, channels)).astype(float)
    return found[..., 0] if channels == 1 else found


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(depth, kind, samples, palette=b"", transparency=b""):
    """Return a PNG by its specification: `kind` 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    h, w, _ = samples.shape
    rows = []
    for row in samples.reshape(h, -1):
        bits = "".join(format(int(value), f"0{depth}b") for value in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(b"\0" + bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, 0))
            + (chunk(b"PLTE", palette) if palette else b"") + (chunk(b"tRNS", transparency) if transparency else b"")
            + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("depth", "kind"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3),
                                             (4, 3), (8, 3), (8, 4), (16, 4), (8, 6), (16, 6)])
def test_png_of_every_depth_and_colour_type(tmp_path, depth, kind, clear):
    """Against the specification: samples over 2^depth − 1; what is transparent is white."""
    rng, top = np.random.default_rng(0), 2**depth - 1
    samples = rng.integers(0, top + 1, (8, 8, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]))
    colours, alpha = samples[..., :3 if kind in (2, 6) else 1] / top, np.ones((8, 8, 1))
    palette = transparency = b""
    if kind == 3:
        entries = rng.integers(0, 256, (top + 1, 3), dtype=np.uint8)
        palette, colours = entries.tobytes(), entries[samples[..., 0]] / 255
    if kind in (4, 6):
        alpha = samples[..., -1:] / top
    elif clear and kind == 3:
        opacity = rng.integers(0, 256, top + 1, dtype=np.uint8)
        transparency, alpha = opacity.tobytes(), opacity[samples] / 255
    elif clear:
        transparency = samples[3, 3].astype(">u2").tobytes()
        alpha = (samples != samples[3, 3]).any(-1, keepdims=True)
    (tmp_path / "a.png").write_bytes(png(depth, kind, samples, palette, transparency))
    if clear and (depth, kind) == (16, 2):
        with pytest.raises(DataError, match=r"a\.png has 16-bit colours one of which is transparent"):
            read(tmp_path / "a.png", 3)
        return
    expected = 255 * (colours * alpha + 1 - alpha)
    upper = 1 + 2 * (kind == 6) if depth == 16 and kind != 0 else 0  # of 16-bit colours and alpha 8 bits are read
    assert np.abs(read(tmp_path / "a.png", 3) - expected).max() <= 0.5 + upper


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2", ".pgm"])
@pytest.mark.parametrize("white", [65535, 300, 40])
def test_sixteen_bits_keep_their_level(tmp_path, suffix, white):
    """A dark image stays dark: its own maximum is not its white."""
    Image.fromarray(np.rint(RAMP * white).astype(np.uint16)).save(tmp_path / f"a{suffix}")
    assert np.abs(read(tmp_path / f"a{suffix}") - RAMP * white / 257).max() <= 0.51


def tiff(bits, samples, **tags):
    """Return a little-endian grey TIFF of one strip with the given tags, by its specification."""
    entries = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: 8, 279: len(samples),
               **{int(key[1:]): value for key, value in tags.items()}}
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + b"\0\0\0\0" + samples


def test_tiff_of_twelve_bits_and_with_white_as_zero(tmp_path):
    values = np.rint(RAMP * 4095).astype(int).ravel()
    bits = "".join(format(value, "012b") for value in values)
    packed = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
    (tmp_path / "a.tif").write_bytes(tiff(12, packed))
    assert np.abs(read(tmp_path / "a.tif") - RAMP * 255).max() <= 0.51
    deep, small = np.rint(RAMP * 65535).astype("<u2").tobytes(), np.rint(RAMP * 255).astype(np.uint8).tobytes()
    for depth, content in ((16, deep), (8, small)):
        (tmp_path / "b.tif").write_bytes(tiff(depth, content, t262=0))
        assert np.abs(read(tmp_path / "b.tif") - (255 - RAMP * 255)).max() <= 0.51


def test_an_image_whose_white_is_not_known_is_refused_and_named(tmp_path):
    whole = np.rint(RAMP * 65535)
    for name, image in (("a.tif", RAMP.astype(np.float32)), ("a.pfm", RAMP.astype(np.float32)),
                        ("b.tif", whole.astype(np.int32))):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "c.tif").write_bytes(tiff(16, whole.astype("<i2").tobytes(), t339=2))
    (tmp_path / "d.tif").write_bytes(tiff(8, bytes(64), t339=2))
    (tmp_path / "e.tif").write_bytes(tiff(32, whole.astype("<u4").tobytes()))
    for name in ("a.tif", "a.pfm", "b.tif", "c.tif", "d.tif", "e.tif"):
        with pytest.raises(DataError, match=rf"{name} (has|holds) .*white is not known: save it with 8 or 16 bits"):
            read(tmp_path / name)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bit_modes_keep_their_level(tmp_path, mode, channels):
    grey = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8))
    via = {"LAB": "RGB", "PA": "P", "RGBX": "RGB"}.get(mode, "L")
    grey.convert(via).convert(mode).save(tmp_path / "a.tif")
    expected = RAMP if channels == 1 else RAMP[..., None]
    assert np.abs(read(tmp_path / "a.tif", channels) - expected * 255).max() <= (2 if mode == "LAB" else 0.51)


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(RAMP > 0.5).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), 255 * (RAMP > 0.5))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "L", "RGBA", "P"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_mode_is_turned_upright(tmp_path, mode, orientation):
    stored = np.zeros((8, 8))
    stored[:2, :3] = 1  # a mark near the corner, not symmetric
    upright = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.T,
               6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored)}[orientation]
    if mode.startswith("I"):
        data = (stored * 65535).astype("<u2" if mode == "I;16" else ">u2").tobytes()
        image = Image.frombytes(mode, (8, 8), data)
    else:
        image = Image.fromarray((stored * 255).astype(np.uint8)).convert(mode)
    suffix = ".tif" if mode == "I;16B" else ".png"
    if suffix == ".png":
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(tmp_path / "a.png", exif=exif)
    else:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = orientation
        image.save(tmp_path / "a.tif", tiffinfo=tags)
    assert np.array_equal(read(tmp_path / f"a{suffix}"), 255 * upright)


def test_suffixes_are_those_that_pillow_reads():
    found = suffixes()
    assert {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm",
            ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".sgi", ".qoi"} <= found.keys()
    assert set(found.values()) <= Image.OPEN.keys() | {"MPO"}
    assert not found.keys() & {".eps", ".ps", ".pdf", ".wmf", ".mpg", ".h5", ".txt"}  # EPS would run Ghostscript


def test_the_content_decides_the_format_but_an_eps_is_never_opened(tmp_path):
    grey = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8))
    grey.save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "a.jpg")
    assert np.abs(read(tmp_path / "a.jpg") - RAMP * 255).max() <= 0.5
    grey.save(tmp_path / "b.eps")
    (tmp_path / "b.eps").rename(tmp_path / "b.png")
    grey.save(tmp_path / "c.tga")  # has no signature, so only its suffix can name it
    assert np.abs(read(tmp_path / "c.tga") - RAMP * 255).max() <= 0.5
    (tmp_path / "c.tga").rename(tmp_path / "c.png")
    for name in ("b.png", "c.png"):
        with pytest.raises(DataError, match=rf"{name} is not a readable image"):
            read(tmp_path / name)


def test_a_size_that_the_file_cannot_hold_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 4000, 4000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(DataError, match="claims 4000×4000 pixels in 69 bytes: it is damaged"):
        read(tmp_path / "a.png")


def test_a_png_whose_checksum_is_wrong_is_refused(tmp_path):
    content = bytearray(png(8, 0, np.zeros((8, 8, 1), int)))
    place = content.index(b"IDAT")
    length = int.from_bytes(content[place - 4:place], "big")
    content[place + 4 + length] ^= 1  # of the pixels' chunk, which Pillow alone would read
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        read(tmp_path / "a.png")
