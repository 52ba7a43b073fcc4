"""Pictures among attachments, made small enough for a page.

A picture is decoded and encoded again, so that nothing of the sender's file reaches the page: no metadata, no other
format in disguise. The size is checked before anything is decoded, and few pictures are decoded at a time.
"""

from __future__ import annotations

import io
import re
import warnings
from threading import BoundedSemaphore
from typing import BinaryIO

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp")
OCTETS_MAX = 20 * 2**20
PIXELS_MAX = 24_000_000
SIDES = {"small": 360, "large": 1600}  # pixels of the longer side
TYPE = "image/webp"
SCANS_MAX = 64  # of a JPEG. Each may be some octets only, and costs as much as decoding all pixels; usual are 1 to 20
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # a marker with parameters (ITU-T T.81, B.1.1.3)
_EOI, _SOS = 0xD9, 0xDA
_AT_ONCE = BoundedSemaphore(2)


class NoPicture(Exception):
    """The file cannot be shown as a picture: it is none, is broken, or is too large."""


def may_be_picture(name: str, size: int) -> bool:
    """Return whether a file's name and its size in octets are those of a picture that can be shown."""
    return name.lower().endswith(SUFFIXES) and 0 < size <= OCTETS_MAX


def reduced(file: BinaryIO, side: int) -> bytes:
    """Return the first frame of a picture as WebP, upright, at most `side` pixels wide and high. Raise NoPicture."""
    with _AT_ONCE, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            if _has_many_scans(file):
                raise NoPicture
            with Image.open(file, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > PIXELS_MAX:
                    raise NoPicture
                picture.draft("RGB", (side, side))  # JPEG is decoded at a fraction of its size
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((side, side))
                return _encoded(upright)
        except NoPicture:
            raise
        except Exception as error:  # a broken file raises almost anything: OSError, SyntaxError, ValueError, …
            raise NoPicture from error


def _has_many_scans(file: BinaryIO) -> bool:
    """Return whether a file is a JPEG with more than SCANS_MAX scans."""
    octets = file.read()
    file.seek(0)
    place, scans = 2, 0
    while octets.startswith(b"\xff\xd8") and scans <= SCANS_MAX and (found := _MARKER.search(octets, place)):
        marker = found[1][0]
        if marker == _EOI:
            break
        scans += marker == _SOS
        place = found.end() + int.from_bytes(octets[found.end() : found.end() + 2])
    return scans > SCANS_MAX


def _encoded(picture: Image.Image) -> bytes:
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    plain = picture.convert("RGBA" if has_alpha else "RGB")
    plain.info = {}
    written = io.BytesIO()
    plain.save(written, "WEBP", quality=80, method=2)
    return written.getvalue()
