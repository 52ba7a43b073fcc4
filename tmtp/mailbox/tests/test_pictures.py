"""Pictures are shown small and clean, or not at all."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tmtp.mailbox.pictures import NoPicture, may_be_picture, reduced

pytestmark = pytest.mark.once


def encoded(form, size=(800, 400), mode="RGB", **options):
    written = io.BytesIO()
    Image.new(mode, size, 1).save(written, form, **options)
    return written.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_picture_gets_small_and_keeps_its_proportions(form):
    shown = Image.open(io.BytesIO(reduced(io.BytesIO(encoded(form)), 200)))
    assert (shown.format, shown.size) == ("WEBP", (200, 100))
    assert Image.open(io.BytesIO(reduced(io.BytesIO(encoded(form, (20, 10))), 200))).size == (20, 10)


def test_metadata_is_removed_and_the_picture_is_upright():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"
    made = reduced(io.BytesIO(encoded("JPEG", exif=exif)), 200)
    assert b"home" not in made
    shown = Image.open(io.BytesIO(made))
    assert (shown.size, dict(shown.getexif())) == ((100, 200), {})


def test_transparency_stays():
    made = reduced(io.BytesIO(encoded("PNG", mode="RGBA")), 200)
    assert Image.open(io.BytesIO(made)).mode == "RGBA"


def bomb():
    """A PNG of 30,000 by 30,000 pixels in some octets."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def repeated(scans, tail=b""):
    """A progressive JPEG with its last scan so many times more. Each of them costs the time to decode all pixels."""
    octets = encoded("JPEG", progressive=True)
    last = octets[octets.rindex(b"\xff\xda") : -2]
    return octets[:-2] + last * scans + octets[-2:] + tail


def test_a_usual_progressive_picture_is_shown_whatever_follows_it():
    """Phones append a film, in whose octets there may be any markers."""
    assert reduced(io.BytesIO(repeated(20, b"\xff\xda\x00\x02" * 1000)), 200)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        repeated(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        encoded("TIFF"),
        encoded("PNG")[:100],
        encoded("JPEG")[:200],
        bomb(),
        encoded("PNG", (6000, 4001), "1"),
    ],
)
def test_what_is_no_picture_or_too_large_is_not_shown(octets):
    with pytest.raises(NoPicture):
        reduced(io.BytesIO(octets), 200)


def test_pictures_are_known_by_their_names():
    assert may_be_picture("Board.JPG", 10)
    assert not may_be_picture("board.svg", 10) and not may_be_picture("board.png", 2**40)
