"""Pictures as bytes: small, and nothing in them but the picture."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from PIL import Image

from organome.compute.pictures.drawing import Picture

WANTED_BYTES: Final = 16_000  # of a picture, where quality allows it
_QUALITIES: Final = (80, 65, 50, 40, 30, 20, 10, 1)  # of WebP; from 50 on contours stay crisp


def encode_webps(pictures: Sequence[Picture], max_bytes: int) -> list[bytes]:
    """Encode as many pictures as there is room for, in the best common quality.

    Args:
        pictures: The most important one first.
        max_bytes: What all together may take.

    Returns:
        A WebP file for each; of the last ones none where there is no room.
    """
    for n in range(len(pictures), 0, -1):
        limit = min(max_bytes, n * WANTED_BYTES)
        for quality in _QUALITIES:
            files = [webp_of(one.image, quality) for one in pictures[:n]]
            if sum(map(len, files)) <= limit:
                return files
    return []


def webp_of(image: Image.Image, quality: int) -> bytes:
    """Encode one picture."""
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()
