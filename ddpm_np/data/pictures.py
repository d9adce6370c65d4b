"""One image file of any format, mode, depth and orientation, as bytes of the net's shape.

A file is read only if it is known which value is white. Bytes, bits and palettes say so. So do 16-bit files of PNG,
TIFF, JPEG 2000 and PGM: 65,535. Floats and 32-bit integers have no white of their own, and are refused.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.errors import DataError
from ddpm_np.data.reading import readable

_MOST_PIXELS = 100_000_000  # limit for one image: a small file can claim to unpack to many gigabytes
_NOT_DECODED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}  # by another program, or not at all
_ORIENTATION = 0x0112  # number of the EXIF tag
_ADVICE = "save it with 8 or 16 bits for each channel"


@cache
def suffixes() -> dict[str, str]:
    """Return the suffixes of the image files that Pillow reads here, with their formats.

    Returns
    -------
    dict
        Suffix, such as ``".png"``, to Pillow's name of the format.
    """
    from PIL import Image

    registered = Image.registered_extensions()  # imports all of Pillow's formats
    read = (Image.OPEN.keys() | {"MPO"}) - _NOT_DECODED  # Pillow opens MPO as a kind of JPEG
    return {suffix: kind for suffix, kind in registered.items() if kind in read}


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read an image file as bytes of the given shape.

    The image is turned upright by its EXIF tag, composited onto white where it is transparent, converted to grey or
    RGB, resized to cover the shape, and cropped at the centre. Of an animation the first frame is read. Colour profiles
    are not applied, and of 16-bit colours the upper 8 bits are read.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        (H, W, C) of the result, C being 1 or 3.

    Returns
    -------
    uint8 array of shape (H, W, C)
        The image.

    Raises
    ------
    DataError
        If the file is not an image, is damaged, claims more than 100 million pixels, or its white is not known.
    """
    from PIL import Image, ImageOps

    h, w, c = shape
    mode = "RGB" if c == 3 else "L"
    with readable(path, "is not a readable image"):
        try:
            image = _open(path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(f"{path} claims too many pixels: images of more than {_MOST_PIXELS:,} pixels are "
                            "refused") from None
        with image:
            _check_claim(image, path)
            image.draft(mode, (2 * w, 2 * h))  # a JPEG is decoded at a fraction of its size if that is enough
            solid = _solid(image, path)
            solid.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
            upright = ImageOps.exif_transpose(solid)
            fitted = ImageOps.fit(upright.convert(mode), (w, h), Image.Resampling.LANCZOS)
    return np.asarray(fitted, dtype=np.uint8).reshape(shape)


def _open(path: Path) -> Any:
    """Open an image of one of the known formats, whatever its suffix; a PNG after comparing its checksums."""
    from PIL import Image

    image = Image.open(path, formats=_formats(path.suffix.lower()))
    if image.format != "PNG":
        return image
    with image:
        image.verify()
    return Image.open(path, formats=["PNG"])


@cache
def _formats(suffix: str) -> list[str]:
    """Return the formats to try for a suffix: its own, and all that have a signature to be known by."""
    from PIL import Image

    own = suffixes().get(suffix, "PNG")
    signed = {kind for kind in suffixes().values() if Image.OPEN.get(kind, (None, None))[1] is not None}
    return ["JPEG" if own == "MPO" else own, *sorted(signed - {own})]


def _check_claim(image: Any, path: Path) -> None:
    """Refuse a size that is too large, or that a file of so few bytes does not hold: all of it would be allocated."""
    pixels, size = image.width * image.height, path.stat().st_size
    if pixels > _MOST_PIXELS:
        raise DataError(f"{path} claims {image.width}×{image.height} pixels: images of more than {_MOST_PIXELS:,} "
                        "pixels are refused")
    if pixels > _MOST_PIXELS // 10 and pixels > 10_000 * size:
        raise DataError(f"{path} claims {image.width}×{image.height} pixels in {size:,} bytes: it is damaged")


def _solid(image: Any, path: Path) -> Any:
    """Return an opaque 8-bit image, in a mode that converts to L and RGB."""
    from PIL import Image

    coded = image.tile[0][3] if image.tile else None  # Pillow's name of the layout in the file
    coded = coded[0] if isinstance(coded, tuple) and coded else coded
    if image.format == "TIFF" and set(image.tag_v2.get(339, (1,))) - {1, 4}:
        raise DataError(f"{path} holds signed or fractional numbers, whose white is not known: {_ADVICE}")
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey(image, path)
    transparent = image.info.get("transparency")
    if transparent is not None and coded == "RGB;16B":
        raise DataError(f"{path} has 16-bit colours one of which is transparent, and of which 8 bits are read: save it "
                        "with an alpha channel")
    if transparent is not None and coded in ("L;2", "L;4"):
        image.info["transparency"] = transparent * {"L;2": 85, "L;4": 17}[coded]  # in the scale of the pixels
    if image.mode in ("La", "LAB", "HSV"):
        image = image.convert("LA" if image.mode == "La" else "RGB")
    if not image.has_transparency_data:
        return image
    solid = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)


def _grey(image: Any, path: Path) -> Any:
    """Return a grey image of more than 8 bits as bytes, its white as 255."""
    from PIL import Image

    white = {"PNG": 65535, "JPEG2000": 65535, "PPM": 65535}.get(image.format) if image.mode != "F" else None
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        white = 2 ** int(image.tag_v2[258][0]) - 1
    if white is None:
        raise DataError(f"{path} has pixels of Pillow's mode {image.mode!r} in {image.format}, whose white is not "
                        f"known: {_ADVICE}")
    bytes_of = (np.arange(white + 1) * (255 / white) + 0.5).astype(np.uint8)  # by value: no array of floats is made
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:
        bytes_of = bytes_of[::-1]  # photometric interpretation WhiteIsZero
    transparent = image.info.get("transparency")
    if transparent is not None:
        bytes_of[transparent] = 255
    return Image.fromarray(bytes_of[np.clip(np.asarray(image), 0, white)])
